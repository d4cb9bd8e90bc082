import os
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, ResponseReceived, SettingsAcknowledged, StreamEnded, TrailersReceived
from h2.settings import SettingCodes

from builder.errors import InternalError
from builder.grpc import Call, CallError, Status
from builder.session import Session, Streaming, Unary
from builder.stream import PlainStream

TIMEOUT_S = 20


class Client:
    """The engine's side of a session: one call at a time over a real socket."""

    def __init__(self, connection: socket.socket, *, window_bytes: int = 65535) -> None:
        self.socket = connection
        self.http = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self.http.initiate_connection()
        self.http.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: window_bytes})
        self.headers: dict[str, str] = {}
        self.content = bytearray()
        self.ended = False
        self.acknowledged = 0
        self.flush()
        while self.acknowledged < 2:  # the preface's settings and the window's
            self.read()

    def flush(self) -> None:
        self.socket.sendall(self.http.data_to_send())

    def open(self, method: str, **metadata: str) -> int:
        stream_id = self.http.get_next_available_stream_id()
        base = [(":method", "POST"), (":path", method), (":scheme", "http"), (":authority", "test"), ("te", "trailers")]
        self.http.send_headers(stream_id, [*base, *metadata.items()])
        self.flush()
        return stream_id

    def send(self, stream_id: int, message: bytes) -> None:
        rest = b"\0" + len(message).to_bytes(4, "big") + message
        while rest:
            allowed = min(self.http.local_flow_control_window(stream_id), self.http.max_outbound_frame_size)
            if not allowed:
                self.read()
                continue
            self.http.send_data(stream_id, rest[:allowed])
            rest = rest[allowed:]
            self.flush()

    def half_close(self, stream_id: int) -> None:
        self.http.end_stream(stream_id)
        self.flush()

    def read(self) -> None:
        data = self.socket.recv(65536)
        assert data, "the session closed the connection"
        for event in self.http.receive_data(data):
            match event:
                case ResponseReceived() | TrailersReceived():
                    self.headers |= {str(name): str(value) for name, value in event.headers}
                case DataReceived():
                    self.content += event.data
                    self.http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                case SettingsAcknowledged():
                    self.acknowledged += 1
                case StreamEnded():
                    self.ended = True
        self.flush()

    def finish(self) -> None:
        while not self.ended:
            self.read()

    def messages(self) -> list[bytes]:
        rest, messages = bytes(self.content), []
        while rest:
            end = 5 + int.from_bytes(rest[1:5], "big")
            messages.append(rest[5:end])
            rest = rest[end:]
        return messages

    def call(self, method: str, message: bytes = b"") -> None:
        stream_id = self.open(method)
        self.send(stream_id, message)
        self.half_close(stream_id)
        self.finish()


@contextmanager
def session(
    unary: Mapping[str, Unary] | None = None,
    streaming: Mapping[str, Streaming] | None = None,
    *,
    window_bytes: int = 65535,
) -> Iterator[Client]:
    ours, theirs = socket.socketpair()
    theirs.settimeout(TIMEOUT_S)
    stream = PlainStream(ours, timeout_s=TIMEOUT_S)
    with theirs, Session(stream, unary=unary or {}, streaming=streaming or {}):
        yield Client(theirs, window_bytes=window_bytes)


def refuse(_: bytes) -> bytes:
    raise CallError(Status.NOT_FOUND, "secret näme: 100% absent")


def echo(call: Call) -> None:
    while (message := call.receive()) is not None:
        call.send(message)


def test_a_unary_call_is_answered_with_status_ok() -> None:
    with session({"/test/Upper": bytes.upper}) as client:
        client.call("/test/Upper", b"hello")
    assert (client.messages(), client.headers) == (
        [b"HELLO"],
        {":status": "200", "content-type": "application/grpc", "grpc-status": "0"},
    )


def test_an_empty_answer_is_a_message() -> None:
    with session({"/test/Nothing": lambda _: b""}) as client:
        client.call("/test/Nothing")
    assert (client.messages(), client.headers["grpc-status"]) == ([b""], "0")


def test_a_method_that_is_not_served_is_unimplemented() -> None:
    with session() as client:
        client.call("/test/Absent")
    assert (client.headers["grpc-status"], client.headers["grpc-message"]) == ("12", "/test/Absent is not served")


def test_a_refusal_carries_status_and_message() -> None:
    with session({"/test/Refuse": refuse}) as client:
        client.call("/test/Refuse")
    assert (client.headers["grpc-status"], client.headers["grpc-message"]) == ("5", "secret n%C3%A4me: 100%25 absent")


def test_a_bug_in_a_handler_is_answered_and_reported() -> None:
    with (
        pytest.raises(InternalError, match="a session handler failed: integer division"),
        session({"/test/Bug": lambda _: bytes(1 // 0)}) as c,
    ):
        c.call("/test/Bug")
    assert (c.headers["grpc-status"], c.headers["grpc-message"]) == ("13", "the handler failed")


def test_messages_flow_both_ways_while_a_call_runs() -> None:
    with session(streaming={"/test/Echo": echo}) as client:
        stream_id = client.open("/test/Echo")
        for count, message in enumerate([b"one", b"two"], start=1):
            client.send(stream_id, message)
            while len(client.messages()) < count:
                client.read()
        client.half_close(stream_id)
        client.finish()
    assert (client.messages(), client.headers["grpc-status"]) == ([b"one", b"two"], "0")


def test_a_call_knows_its_metadata() -> None:
    def tell(call: Call) -> None:
        call.send(call.metadata["dir-name"][0].encode())

    with session(streaming={"/test/Tell": tell}) as client:
        client.open("/test/Tell", **{"dir-name": "context"})
        client.finish()
    assert client.messages() == [b"context"]


@pytest.mark.parametrize("window_bytes", [1000, 65535, 10_000_000])
def test_large_messages_pass_both_ways_within_flow_control(window_bytes: int) -> None:
    message = os.urandom(1_000_000)
    with session({"/test/Reverse": lambda message: message[::-1]}, window_bytes=window_bytes) as client:
        client.call("/test/Reverse", message)
    assert client.messages() == [message[::-1]]


def test_a_slow_call_does_not_hold_up_another() -> None:
    release = threading.Event()

    def wait(_: bytes) -> bytes:
        release.wait(TIMEOUT_S)
        return b""

    with session({"/test/Wait": wait, "/test/Upper": bytes.upper}) as client:
        waiting = client.open("/test/Wait")
        client.send(waiting, b"")
        client.half_close(waiting)
        client.call("/test/Upper", b"answered")
        release.set()
    assert client.messages() == [b"ANSWERED"]


def test_closing_ends_a_call_that_waits() -> None:
    started, ended = threading.Event(), threading.Event()

    def wait(call: Call) -> None:
        started.set()
        try:
            call.receive()
        finally:
            ended.set()

    with session(streaming={"/test/Wait": wait}) as client:
        client.open("/test/Wait")
        started.wait(TIMEOUT_S)
    assert ended.is_set()


def test_a_reset_ends_a_call_that_sends_without_a_window() -> None:
    began, ended = threading.Event(), threading.Event()

    def flood(call: Call) -> None:
        began.set()
        try:
            call.send(bytes(10_000_000))
        finally:
            ended.set()

    with session(streaming={"/test/Flood": flood}) as client:
        stream_id = client.open("/test/Flood")
        assert began.wait(TIMEOUT_S)
        client.http.reset_stream(stream_id)
        client.flush()
        assert ended.wait(TIMEOUT_S)


def test_a_lost_connection_is_told() -> None:
    ours, theirs = socket.socketpair()
    lost = threading.Event()
    with Session(PlainStream(ours, timeout_s=TIMEOUT_S), unary={}, streaming={}) as served:
        served.call_when_lost(lost.set)
        theirs.close()
        assert lost.wait(TIMEOUT_S)


def test_silence_counts_as_a_lost_connection() -> None:
    ours, theirs = socket.socketpair()
    lost = threading.Event()
    with theirs, Session(PlainStream(ours, timeout_s=0.01), unary={}, streaming={}) as served:
        served.call_when_lost(lost.set)
        assert lost.wait(TIMEOUT_S)


def test_a_peer_that_speaks_no_http2_is_a_lost_connection() -> None:
    ours, theirs = socket.socketpair()
    lost = threading.Event()
    with theirs, Session(PlainStream(ours, timeout_s=TIMEOUT_S), unary={}, streaming={}) as served:
        served.call_when_lost(lost.set)
        theirs.sendall(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        assert lost.wait(TIMEOUT_S)


class Watched:
    """A stream that tells whether anybody read it while it was closed."""

    def __init__(self) -> None:
        self.ended = threading.Event()
        self.reading = threading.Event()
        self.read_when_closed: list[bool] = []

    def recv(self, _: int, /) -> bytes:
        self.reading.set()
        self.ended.wait(TIMEOUT_S)
        self.reading.clear()
        return b""

    def sendall(self, _: bytes, /) -> None:
        """Send it nowhere."""

    def shutdown(self) -> None:
        self.ended.set()

    def close(self) -> None:
        self.read_when_closed.append(self.reading.is_set())
        self.ended.set()


def test_a_descriptor_is_given_back_only_once_nobody_reads_it() -> None:
    stream = Watched()
    with Session(stream, unary={}, streaming={}):
        stream.reading.wait(TIMEOUT_S)
    assert stream.read_when_closed == [False]


def test_closing_is_not_told_as_a_loss() -> None:
    ours, theirs = socket.socketpair()
    lost = threading.Event()
    with theirs, Session(PlainStream(ours, timeout_s=TIMEOUT_S), unary={}, streaming={}) as served:
        served.call_when_lost(lost.set)
    assert not lost.is_set()
