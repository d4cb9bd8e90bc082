import socket
import threading

import pytest

from builder.errors import FailedError
from builder.stream import PlainStream, demultiplex, upgrade

TIMEOUT_S = 20


def pair() -> tuple[PlainStream, socket.socket]:
    ours, theirs = socket.socketpair()
    theirs.settimeout(TIMEOUT_S)
    return PlainStream(ours, timeout_s=TIMEOUT_S), theirs


def test_an_upgrade_asks_for_the_protocol() -> None:
    stream, peer = pair()
    with peer:
        peer.sendall(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        upgrade(stream, "/session", protocol="h2c", headers=[("X-Name", "value")], body=b"{}")
        stream.close()
        assert peer.recv(4096).decode().split("\r\n") == [
            "POST /session HTTP/1.1",
            "Host: docker",
            "Connection: Upgrade",
            "Upgrade: h2c",
            "X-Name: value",
            "Content-Type: application/json",
            "Content-Length: 2",
            "",
            "{}",
        ]


def test_bytes_that_came_with_the_answer_are_read_first() -> None:
    stream, peer = pair()
    with peer:
        peer.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\nPRI * HTTP/2.0")
        upgraded = upgrade(stream, "/session", protocol="h2c")
        peer.sendall(b" later")
        assert [upgraded.recv(3), upgraded.recv(100), upgraded.recv(100)] == [b"PRI", b" * HTTP/2.0", b" later"]
        upgraded.close()


def test_a_refused_upgrade_tells_the_reason() -> None:
    stream, peer = pair()
    with peer:
        peer.sendall(b'HTTP/1.1 400 Bad Request\r\n\r\n{"message":"no"}')
        with pytest.raises(FailedError, match='does not open a h2c stream: {"message":"no"}') as caught:
            upgrade(stream, "/session", protocol="h2c")
        stream.close()
    assert caught.value.hint == "a proxy before the engine has to let `POST /session` through"


def test_a_connection_that_ends_before_the_answer_is_an_error() -> None:
    stream, peer = pair()
    peer.close()
    with pytest.raises(OSError, match="Broken pipe|ended before an answer"):
        upgrade(stream, "/session", protocol="h2c")
    stream.close()


def test_a_shutdown_wakes_a_reader_and_keeps_the_descriptor() -> None:
    ours, peer = socket.socketpair()
    descriptor = ours.fileno()
    stream = PlainStream(ours, timeout_s=TIMEOUT_S)
    with peer:
        reader = threading.Thread(target=stream.recv, args=[1])
        reader.start()
        stream.shutdown()
        reader.join(TIMEOUT_S)
        assert (reader.is_alive(), ours.fileno()) == (False, descriptor)
        stream.close()


def test_output_is_joined_by_stream() -> None:
    def frame(number: int, content: bytes) -> bytes:
        return bytes([number, 0, 0, 0]) + len(content).to_bytes(4, "big") + content

    assert demultiplex(frame(1, b"o") + frame(2, b"err") + frame(1, b"ut")) == {1: b"out", 2: b"err"}


def test_no_output_is_two_empty_streams() -> None:
    assert demultiplex(b"") == {1: b"", 2: b""}
