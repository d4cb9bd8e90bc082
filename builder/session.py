"""Own gRPC that a BuildKit engine calls over a connection which we opened: it knows no service, only how calls run."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import TypeAlias
from urllib.parse import quote

from builder.errors import InternalError
from builder.grpc import RESPONSE_HEADERS, Call, CallCancelledError, CallError, Connection, Status
from builder.stream import ByteStream

MAX_CALLS = 64

Unary: TypeAlias = Callable[[bytes], bytes]
Streaming: TypeAlias = Callable[[Call], None]


class Session(Connection):
    """Serve `unary` and `streaming` handlers by method path until closed."""

    def __init__(
        self,
        stream: ByteStream,
        *,
        unary: Mapping[str, Unary],
        streaming: Mapping[str, Streaming],
    ) -> None:
        super().__init__(stream, opens_calls=False)
        self._unary = unary
        self._streaming = streaming
        self._failure: BaseException | None = None
        self._workers = ThreadPoolExecutor(MAX_CALLS, thread_name_prefix="session-call")

    def close(self) -> None:
        """End the connection and every call, wait for their threads; raise InternalError if a handler had a bug."""
        self._end()
        self._workers.shutdown(wait=True)
        self._stream.close()
        if self._failure is not None:
            raise InternalError(f"a session handler failed: {self._failure}") from self._failure

    def begin(self, call: Call) -> None:
        """Run a call of the engine in a thread of its own."""
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
        with suppress(CallCancelledError), self._writing():  # a lost connection is noticed and told by its reader
            del self._calls[call.stream_id]
            if not call.cancelled:
                headers = trailers if call.has_headers else [*RESPONSE_HEADERS, *trailers]
                self._send_headers(call, headers, ends_call=True)
                self._flush()
