"""Own the short way to a path without variables: found in one look; what is not found is Starlette's to match."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from starlette.requests import Request

from runtime.api import Endpoint

if TYPE_CHECKING:  # their names are enough: the protocol is ASGI's
    from starlette.types import ASGIApp, Receive, Scope, Send


class Dispatch:
    """Middleware: answer by the endpoint of a method and a path where there is one, else by the application.

    A router tries one pattern after the other, and wraps each endpoint twice.
    """

    def __init__(self, app: "ASGIApp", *, endpoints: Mapping[tuple[str, str], Endpoint]) -> None:
        self._app = app
        self._endpoints = endpoints

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Answer as the endpoint does; its errors are its own affair."""
        endpoint = self._endpoints.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        if endpoint is None:
            await self._app(scope, receive, send)
            return
        response = await endpoint(Request(scope, receive))
        await response(scope, receive, send)
