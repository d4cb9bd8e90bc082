"""Own gRPC over one HTTP/2 connection: its calls, their messages, flow control; which side opens them is not known."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from types import TracebackType
from typing import Self, TypeAlias

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RequestReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes

from builder.stream import RECEIVE_BYTES, ByteStream

# What one turn at the connection sends at most, so that a large message does not keep short answers waiting.
TURN_BYTES = 1 << 17
PREFIX_BYTES = 5  # gRPC's frame around a message: a compression flag and a 32-bit length
HEADERS_BYTES = 1 << 24  # what gRPC for Go takes: the trailers of an error may hold the whole Dockerfile

Headers: TypeAlias = list[tuple[str, str]]

RESPONSE_HEADERS: Headers = [(":status", "200"), ("content-type", "application/grpc")]


class Status(IntEnum):
    """Status codes of gRPC, those that are used here."""

    OK = 0
    UNKNOWN = 2
    NOT_FOUND = 5
    UNIMPLEMENTED = 12
    INTERNAL = 13


class CallError(Exception):
    """A call's answer is this status and message."""

    def __init__(self, status: Status, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class CallCancelledError(Exception):
    """The other side has gone: reset the call's stream or lost the connection."""


class Call:
    """One call while it runs: what the other side says of it, its messages in and out."""

    def __init__(self, connection: "Connection", *, stream_id: int, headers: Headers) -> None:
        self._connection = connection
        self.stream_id = stream_id
        self.metadata: dict[str, list[str]] = {}
        self.describe(headers)
        self.method = self.metadata.get(":path", [""])[0]
        self.messages: deque[bytes] = deque()
        self.buffer = bytearray()
        self.half_closed = False
        self.cancelled = False
        self.has_headers = False

    def receive(self) -> bytes | None:
        """Wait for the other side's next message; None when it has sent its last."""
        return self._connection.receive(self)

    def send(self, message: bytes) -> None:
        """Send one message, as fast as the other side's flow control lets."""
        self._connection.send(self, message)

    def describe(self, headers: Iterable[tuple[str, str]]) -> None:
        """Take headers or trailers off the wire."""
        for name, value in headers:
            self.metadata.setdefault(name, []).append(value)

    def feed(self, data: bytes) -> None:
        """Take bytes off the wire and split the messages that are whole."""
        self.buffer += data
        while len(self.buffer) >= PREFIX_BYTES:
            end = PREFIX_BYTES + int.from_bytes(self.buffer[1:PREFIX_BYTES], "big")
            if len(self.buffer) < end:
                return
            self.messages.append(bytes(self.buffer[PREFIX_BYTES:end]))
            del self.buffer[:end]


class Connection:
    """Runs calls over a stream until it is closed."""

    def __init__(self, stream: ByteStream, *, opens_calls: bool) -> None:
        self._stream = stream
        self._http = H2Connection(H2Configuration(client_side=opens_calls, header_encoding="utf-8"))
        self._http.initiate_connection()  # to be sent with what is sent first
        self._http.update_settings({SettingCodes.MAX_HEADER_LIST_SIZE: HEADERS_BYTES})
        # One lock for the connection's state and the stream's write side, so frames leave in the order made.
        self._changed = threading.Condition()
        self._calls: dict[int, Call] = {}
        self._closing = False
        self._lost = False
        self._on_lost: Callable[[], None] = lambda: None
        self._reader = threading.Thread(target=self._read, name=type(self).__name__, daemon=True)

    def __enter__(self) -> Self:
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection and every call."""
        self._end()
        self._stream.close()

    def _end(self) -> None:
        self._closing = True
        self._stream.shutdown()
        self._reader.join()

    def call_when_lost(self, callback: Callable[[], None]) -> None:
        """Have `callback` called when the connection ends before `close`, at once where it already has."""
        with self._changed:
            self._on_lost = callback
            lost = self._lost
        if lost:
            callback()

    def receive(self, call: Call) -> bytes | None:
        """Wait for the next message of `call`; see `Call.receive`."""
        with self._changed:
            self._changed.wait_for(lambda: call.messages or call.half_closed or call.cancelled)
            if call.messages:
                return call.messages.popleft()
            if not call.half_closed:
                raise CallCancelledError
            return None

    def send(self, call: Call, message: bytes) -> None:
        """Send one message of `call`; see `Call.send`."""
        rest = memoryview(b"\0" + len(message).to_bytes(4, "big") + message)
        while rest:
            with self._writing():
                self._changed.wait_for(lambda: call.cancelled or self._window(call) > 0)
                if call.cancelled:
                    raise CallCancelledError
                rest = self._send_turn(call, rest)

    def _send_turn(self, call: Call, rest: memoryview) -> memoryview:
        """Send what the window allows now, in frames of the other side's size, and return what is left."""
        if not call.has_headers:
            self._send_headers(call, RESPONSE_HEADERS)
        allowed = min(self._window(call), TURN_BYTES, len(rest))
        turn, rest = rest[:allowed], rest[allowed:]
        frame_bytes = self._http.max_outbound_frame_size
        for start in range(0, len(turn), frame_bytes):
            self._http.send_data(call.stream_id, bytes(turn[start : start + frame_bytes]))
        self._flush()
        return rest

    def _send_headers(self, call: Call, headers: Headers, *, ends_call: bool = False) -> None:
        self._http.send_headers(call.stream_id, headers, end_stream=ends_call)
        call.has_headers = True

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Keep other threads off the connection; raises CallCancelledError where that has ended."""
        with self._changed:
            try:
                yield
            except (OSError, ProtocolError) as error:
                raise CallCancelledError from error

    def _window(self, call: Call) -> int:
        return self._http.local_flow_control_window(call.stream_id)

    def _flush(self) -> None:
        # to send nothing would still wait until the kernel has room, and a caller that resets its call reads no more
        if data := self._http.data_to_send():
            self._stream.sendall(data)

    def _read(self) -> None:
        """Read the connection until it ends, in a thread of its own."""
        try:
            with self._changed:
                self._flush()
            while data := self._stream.recv(RECEIVE_BYTES):
                self._take(data)
        except (OSError, ProtocolError):
            pass  # the connection is of no more use; what that means is told below
        finally:
            self._stream.shutdown()
            self._lose()

    def _lose(self) -> None:
        """Cancel every call, and tell an end that is not ours."""
        with self._changed:
            for call in self._calls.values():
                call.cancelled = True
            self._lost = not self._closing
            on_lost = self._on_lost
            self._changed.notify_all()
        if self._lost:
            on_lost()

    def _take(self, data: bytes) -> None:
        with self._changed:
            for event in self._http.receive_data(data):
                self._apply(event)
            self._flush()
            self._changed.notify_all()

    def _apply(self, event: Event) -> None:
        match event:
            case RequestReceived():
                self._calls[event.stream_id] = call = Call(self, stream_id=event.stream_id, headers=_texts(event))
                self.begin(call)
            case ResponseReceived() | TrailersReceived() if event.stream_id in self._calls:
                self._calls[event.stream_id].describe(_texts(event))
            case DataReceived():
                self._http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                if event.stream_id in self._calls:
                    self._calls[event.stream_id].feed(event.data)
            case StreamEnded() if event.stream_id in self._calls:
                self._calls[event.stream_id].half_closed = True
            case StreamReset() if event.stream_id in self._calls:
                self._calls[event.stream_id].cancelled = True
            case ConnectionTerminated():
                raise ProtocolError("the other side ends the connection")
            case _:
                pass  # windows, settings and pings are h2's own affair

    def begin(self, call: Call) -> None:
        """Take on a call that the other side opens, if it may; the connection is locked, so nothing is waited for."""
        raise NotImplementedError


def _texts(event: RequestReceived | ResponseReceived | TrailersReceived) -> Headers:
    return [(str(name), str(value)) for name, value in event.headers]
