"""Own gRPC calls that we make of a BuildKit engine, over a connection; it knows no service, only how calls end."""

from collections.abc import Iterator
from urllib.parse import unquote

from builder.grpc import Call, CallCancelledError, CallError, Connection, Headers, Status
from builder.stream import ByteStream


class Channel(Connection):
    """Make calls until closed, which ends those that run; threads may share it."""

    def __init__(self, stream: ByteStream) -> None:
        super().__init__(stream, opens_calls=True)

    def open(self, method: str, message: bytes) -> Call:
        """Open a call of one message; raises CallCancelledError where the connection is lost."""
        call = self._begun(method)
        try:
            call.send(message)
            with self._writing():
                self._http.end_stream(call.stream_id)
                self._flush()
        except CallCancelledError:
            if not call.half_closed:  # otherwise it was answered without a look at the message
                raise
        return call

    def _begun(self, method: str) -> Call:
        headers = _request_headers(method)
        with self._writing():
            if self._lost:
                raise CallCancelledError
            stream_id = self._http.get_next_available_stream_id()
            self._calls[stream_id] = call = Call(self, stream_id=stream_id, headers=headers)
            self._send_headers(call, headers)
            self._flush()
        return call

    def abort(self) -> None:
        """End the connection from any thread: what is waited for raises CallCancelledError."""
        self._stream.shutdown()


def answers(call: Call) -> Iterator[bytes]:
    """Yield what the engine answers to a call until that ends; raises CallError where it does not end well."""
    while (message := call.receive()) is not None:
        yield message
    code = call.metadata.get("grpc-status", [""])[-1]
    if code != str(int(Status.OK)):
        reason = call.metadata.get("grpc-message", ["the engine gives no reason"])[-1]
        raise CallError(_status(code), unquote(reason))


def _status(code: str) -> Status:
    return next((status for status in Status if str(int(status)) == code), Status.UNKNOWN)


def _request_headers(method: str) -> Headers:
    base = [(":method", "POST"), (":scheme", "http"), (":path", method), (":authority", "docker")]
    return [*base, ("content-type", "application/grpc"), ("te", "trailers")]
