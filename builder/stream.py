"""Own duplex byte streams over connected sockets, plain, TLS or upgraded from HTTP; it knows no protocol above."""

import select
import socket
import ssl
import threading
from collections.abc import Iterable
from contextlib import suppress
from typing import Protocol

from builder.errors import FailedError

RECEIVE_BYTES = 1 << 16
FRAME_HEADER_BYTES = 8


class ByteStream(Protocol):
    """A duplex stream that one thread may read while another writes; silence beyond its time-out is TimeoutError.

    It ends in two steps. A thread that waits for a descriptor does not notice that it is closed, and the next
    connection gets the same number: the thread would wait for that one, and take its bytes.
    """

    def recv(self, size: int, /) -> bytes:
        """Read at most `size` bytes, none at the end."""

    def sendall(self, data: bytes, /) -> None:
        """Write all of `data`."""

    def shutdown(self) -> None:
        """End both directions, from any thread, and wake the reader."""

    def close(self) -> None:
        """Give the descriptor back, once no thread uses it any more."""


class PlainStream:
    """A stream over a unix or TCP socket."""

    def __init__(self, connection: socket.socket, *, timeout_s: float) -> None:
        self._socket = connection
        self._socket.settimeout(timeout_s)

    def recv(self, size: int, /) -> bytes:
        """Read at most `size` bytes, none at the end."""
        return self._socket.recv(size)

    def sendall(self, data: bytes, /) -> None:
        """Write all of `data`."""
        self._socket.sendall(data)

    def shutdown(self) -> None:
        """End both directions, from any thread, and wake the reader."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Give the descriptor back, once no thread uses it any more."""
        self._socket.close()


class ChannelStream(PlainStream):
    """A stream over an SSH channel that looks like a socket; it has no descriptor, and only its end wakes a reader."""

    def shutdown(self) -> None:
        """End both directions, from any thread, and wake the reader."""
        self.close()


class TlsStream:
    """A stream over TLS; OpenSSL's state is not for two threads, so each turn is under a lock and no turn waits."""

    def __init__(self, connection: ssl.SSLSocket, *, timeout_s: float) -> None:
        self._socket = connection
        self._socket.setblocking(False)
        self._timeout_s = timeout_s
        self._turn = threading.Lock()

    def recv(self, size: int, /) -> bytes:
        """Read at most `size` bytes, none at the end."""
        while True:
            try:
                with self._turn:
                    return self._socket.recv(size)
            except ssl.SSLWantReadError:
                self._wait(select.POLLIN)
            except ssl.SSLWantWriteError:
                self._wait(select.POLLOUT)

    def sendall(self, data: bytes, /) -> None:
        """Write all of `data`."""
        rest = memoryview(data)
        while rest:
            try:
                with self._turn:
                    sent = self._socket.send(rest)
                rest = rest[sent:]
            except ssl.SSLWantReadError:
                self._wait(select.POLLIN)
            except ssl.SSLWantWriteError:
                self._wait(select.POLLOUT)

    def shutdown(self) -> None:
        """End both directions, from any thread, and wake the reader."""
        with self._turn, suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Give the descriptor back, once no thread uses it any more."""
        self._socket.close()

    def _wait(self, event: int) -> None:
        poll = select.poll()
        poll.register(self._socket, event)
        if not poll.poll(self._timeout_s * 1000):
            raise TimeoutError(f"nothing for {self._timeout_s:g} s")


class _Resumed:
    """A stream of which the first bytes were read already."""

    def __init__(self, stream: ByteStream, *, read: bytes) -> None:
        self._stream = stream
        self._read = read
        self.sendall = stream.sendall
        self.shutdown = stream.shutdown
        self.close = stream.close

    def recv(self, size: int, /) -> bytes:
        if self._read:
            data, self._read = self._read[:size], self._read[size:]
            return data
        return self._stream.recv(size)


def check_unix_socket(address: str) -> None:
    """Raise OSError where `address` is a unix socket that nobody serves: docker-py would leave its own socket open."""
    if address.startswith("unix://"):
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect("/" + address.removeprefix("unix://").lstrip("/"))


def upgrade(
    stream: ByteStream, path: str, *, protocol: str, headers: Iterable[tuple[str, str]] = (), body: bytes = b""
) -> ByteStream:
    """Ask for `protocol` by HTTP/1.1's Upgrade and return the stream that follows; a refusal is FailedError."""
    fields = [("Host", "docker"), ("Connection", "Upgrade"), ("Upgrade", protocol), *headers]
    fields += [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields)]
    stream.sendall("\r\n".join([*lines, "", ""]).encode() + body)
    answer = b""
    while b"\r\n\r\n" not in answer:
        if not (data := stream.recv(RECEIVE_BYTES)):
            raise ConnectionResetError("the connection ended before an answer")
        answer += data
    head, _, rest = answer.partition(b"\r\n\r\n")
    if head.split(maxsplit=2)[1] != b"101":
        hint = f"a proxy before the engine has to let `POST {path}` through"
        reason = rest.decode(errors="replace").strip()
        raise FailedError(f"the engine does not open a {protocol} stream: {reason}", hint=hint)
    return _Resumed(stream, read=rest)


def demultiplex(frames: bytes) -> dict[int, bytes]:
    """Join the output of a container's process by stream: 1 is stdout, 2 stderr."""
    output: dict[int, bytes] = {1: b"", 2: b""}
    while frames:  # each frame: stream number, three zeros, 32-bit length, content
        end = FRAME_HEADER_BYTES + int.from_bytes(frames[4:FRAME_HEADER_BYTES], "big")
        output[frames[0]] = output.get(frames[0], b"") + frames[FRAME_HEADER_BYTES:end]
        frames = frames[end:]
    return output
