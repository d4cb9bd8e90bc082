"""Own what a server that is about to end tells callers who keep connections: to close them; it refuses nothing."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # their names are enough: the protocol is ASGI's
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from runtime.service import Service


class Draining:
    """Middleware: after SIGTERM each answer is the last one on its connection, so that the next request goes elsewhere.

    A connection that is only closed at the end may be closed while a request is on its way to it.
    """

    def __init__(self, app: "ASGIApp", *, service: "Service") -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Answer as the application does."""

        async def send_last(message: "Message") -> None:
            if message["type"] == "http.response.start" and self._service.draining:
                message["headers"] = [*message["headers"], (b"connection", b"close")]
            await send(message)

        await self._app(scope, receive, send_last)
