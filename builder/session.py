"""Own gRPC over one HTTP/2 connection that a BuildKit engine calls; it knows no service, only how calls run."""

import threading
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from enum import IntEnum
from types import TracebackType
from typing import Self, TypeAlias
from urllib.parse import quote

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RequestReceived,
    StreamEnded,
    StreamReset,
)
from h2.exceptions import ProtocolError

from builder.errors import InternalError
from builder.stream import RECEIVE_BYTES, ByteStream

# What one turn at the connection sends at most, so that a large message does not keep short answers waiting.
TURN_BYTES = 1 << 17
PREFIX_BYTES = 5  # gRPC's frame around a message: a compression flag and a 32-bit length
MAX_CALLS = 64


class Status(IntEnum):
    """Status codes of gRPC, those that are used here."""

    OK = 0
    UNKNOWN = 2
    NOT_FOUND = 5
    UNIMPLEMENTED = 12
    INTERNAL = 13


class CallError(Exception):
    """A handler's answer is this status and message."""

    def __init__(self, status: Status, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class CallCancelledError(Exception):
    """The caller has gone: reset its stream or lost the connection."""


class Call:
    """One call while it runs: what the caller says of it, its messages in and out."""

    def __init__(self, session: "Session", *, stream_id: int, headers: list[tuple[str, str]]) -> None:
        self._session = session
        self.stream_id = stream_id
        self.metadata: dict[str, list[str]] = {}
        for name, value in headers:
            self.metadata.setdefault(name, []).append(value)
        self.method = self.metadata.get(":path", [""])[0]
        self.messages: deque[bytes] = deque()
        self.buffer = bytearray()
        self.half_closed = False
        self.cancelled = False
        self.answered = False

    def receive(self) -> bytes | None:
        """Wait for the caller's next message; None when it has sent its last."""
        return self._session.receive(self)

    def send(self, message: bytes) -> None:
        """Send one message, as fast as the caller's flow control lets."""
        self._session.send(self, message)

    def feed(self, data: bytes) -> None:
        """Take bytes off the wire and split the messages that are whole."""
        self.buffer += data
        while len(self.buffer) >= PREFIX_BYTES:
            end = PREFIX_BYTES + int.from_bytes(self.buffer[1:PREFIX_BYTES], "big")
            if len(self.buffer) < end:
                return
            self.messages.append(bytes(self.buffer[PREFIX_BYTES:end]))
            del self.buffer[:end]


Unary: TypeAlias = Callable[[bytes], bytes]
Streaming: TypeAlias = Callable[[Call], None]


class Session:
    """Serve `unary` and `streaming` handlers by method path until closed."""

    def __init__(
        self,
        stream: ByteStream,
        *,
        unary: Mapping[str, Unary],
        streaming: Mapping[str, Streaming],
    ) -> None:
        self._stream = stream
        self._unary = unary
        self._streaming = streaming
        self._connection = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        # One lock for the connection's state and the stream's write side, so frames leave in the order made.
        self._changed = threading.Condition()
        self._calls: dict[int, Call] = {}
        self._closing = False
        self._lost = False
        self._on_lost: Callable[[], None] = lambda: None
        self._failure: BaseException | None = None
        self._workers = ThreadPoolExecutor(MAX_CALLS, thread_name_prefix="session-call")
        self._reader = threading.Thread(target=self._serve, name="session", daemon=True)

    def __enter__(self) -> Self:
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection and every call, wait for their threads; raise InternalError if a handler had a bug."""
        self._closing = True
        self._stream.shutdown()
        self._reader.join()
        self._workers.shutdown(wait=True)
        self._stream.close()
        if self._failure is not None:
            raise InternalError(f"a session handler failed: {self._failure}") from self._failure

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
            if call.cancelled:
                raise CallCancelledError
            return None

    def send(self, call: Call, message: bytes) -> None:
        """Send one message of `call`; see `Call.send`."""
        rest = memoryview(b"\0" + len(message).to_bytes(4, "big") + message)
        while rest:
            with self._changed:
                try:
                    self._changed.wait_for(lambda: call.cancelled or self._window(call) > 0)
                    if call.cancelled:
                        raise CallCancelledError
                    rest = self._send_turn(call, rest)
                except (OSError, ProtocolError) as error:
                    raise CallCancelledError from error

    def _send_turn(self, call: Call, rest: memoryview) -> memoryview:
        """Send what the window allows now, in frames of the caller's size, and return what is left."""
        if not call.answered:
            self._connection.send_headers(call.stream_id, _response_headers())
            call.answered = True
        allowed = min(self._window(call), TURN_BYTES, len(rest))
        turn, rest = rest[:allowed], rest[allowed:]
        frame_bytes = self._connection.max_outbound_frame_size
        for start in range(0, len(turn), frame_bytes):
            self._connection.send_data(call.stream_id, bytes(turn[start : start + frame_bytes]))
        self._flush()
        return rest

    def _window(self, call: Call) -> int:
        return self._connection.local_flow_control_window(call.stream_id)

    def _flush(self) -> None:
        # to send nothing would still wait until the kernel has room, and a caller that resets its call reads no more
        if data := self._connection.data_to_send():
            self._stream.sendall(data)

    def _serve(self) -> None:
        """Read the connection until it ends, in the session's own thread."""
        try:
            with self._changed:
                self._connection.initiate_connection()
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
            for event in self._connection.receive_data(data):
                self._apply(event)
            self._flush()
            self._changed.notify_all()

    def _apply(self, event: Event) -> None:
        match event:
            case RequestReceived():
                self._begin(event)
            case DataReceived():
                self._connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                if event.stream_id in self._calls:
                    self._calls[event.stream_id].feed(event.data)
            case StreamEnded() if event.stream_id in self._calls:
                self._calls[event.stream_id].half_closed = True
            case StreamReset() if event.stream_id in self._calls:
                self._calls[event.stream_id].cancelled = True
            case ConnectionTerminated():
                raise ProtocolError("the engine ends the session")
            case _:
                pass  # windows, settings and pings are h2's own affair

    def _begin(self, event: RequestReceived) -> None:
        call = Call(self, stream_id=event.stream_id, headers=[(str(name), str(value)) for name, value in event.headers])
        self._calls[event.stream_id] = call
        self._workers.submit(self._run, call).add_done_callback(self._note_failure)

    def _note_failure(self, future: Future[None]) -> None:
        self._failure = self._failure or future.exception()

    def _run(self, call: Call) -> None:
        """Run one call's handler; whatever becomes of it, the caller gets a status."""
        status, message = Status.INTERNAL, "the handler failed"
        try:
            self._handle(call)
            status, message = Status.OK, ""
        except CallError as error:
            status, message = error.status, error.message
        except CallCancelledError:
            pass
        finally:
            self._finish(call, status=status, message=message)

    def _handle(self, call: Call) -> None:
        if call.method in self._streaming:
            self._streaming[call.method](call)
        elif call.method in self._unary:
            call.send(self._unary[call.method](call.receive() or b""))
        else:
            raise CallError(Status.UNIMPLEMENTED, f"{call.method} is not served")

    def _finish(self, call: Call, *, status: Status, message: str) -> None:
        trailers = [("grpc-status", str(int(status)))]
        if message:
            trailers.append(("grpc-message", quote(message[:4096], safe=" /:`'(),=")))
        with self._changed:
            del self._calls[call.stream_id]
            if call.cancelled:
                return
            headers = trailers if call.answered else [*_response_headers(), *trailers]
            with suppress(OSError, ProtocolError):  # a lost connection is noticed and told by its reader
                self._connection.send_headers(call.stream_id, headers, end_stream=True)
                self._flush()


def _response_headers() -> list[tuple[str, str]]:
    return [(":status", "200"), ("content-type", "application/grpc")]
