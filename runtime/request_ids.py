"""Own the id of a request: taken from its header where that is fit to be logged, else made; it answers nothing."""

import re
from random import getrandbits
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # their names are enough: the protocol is ASGI's
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER = b"x-request-id"

_FIT = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")


class RequestIds:
    """Middleware: put the id into the scope as `request_id`, and into the answer's header."""

    def __init__(self, app: "ASGIApp") -> None:
        self._app = app

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Answer as the application does, with the id."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(dict(scope["headers"]).get(HEADER, b""))
        scope["request_id"] = request_id.decode("ascii")

        async def send_with_id(message: "Message") -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (HEADER, request_id)]
            await send(message)

        await self._app(scope, receive, send_with_id)


def _request_id(given: bytes) -> bytes:
    return given if _FIT.fullmatch(given) else b"%032x" % getrandbits(128)
