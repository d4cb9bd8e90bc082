"""Own how a route of the table is answered over HTTP: key, body, handler, headers; errors are `app`'s."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from runtime import schemas
from runtime.admission import Room
from runtime.errors import MediaTypeError, OverloadedError, PayloadError, SlowBodyError
from runtime.handler import Backend, Reply
from runtime.keys import Keys
from runtime.routes import Route

Endpoint = Callable[[Request], Awaitable[Response]]


_BODIES = 32  # of the greatest length that may be read at a time


class Api:
    """The endpoints of one server: who may ask, what a request may be, and who answers it."""

    def __init__(self, backend: Backend, *, keys: Keys) -> None:
        self._backend = backend
        self._keys = keys
        self._payload_limit = backend.settings.payload_limit
        self._body_timeout_s = backend.settings.body_timeout_s
        self._bodies = Room(_BODIES * self._payload_limit)

    def endpoint(self, route: Route) -> Endpoint:
        """Make the endpoint of a route; it raises what is wrong with a request."""
        is_guarded = bool(self._keys) and not route.public

        async def answered(request: Request) -> Response:
            started = time.perf_counter()
            if is_guarded:
                self._keys.check(request.headers.get("authorization"))
            if route.method == "POST":
                asked = schemas.decode(await self._body(request), route.request)
            else:
                asked = schemas.convert({**request.query_params, **request.path_params}, route.request)
            response = response_of(await route.handler(self._backend, asked))
            total_ms = (time.perf_counter() - started) * 1000
            response.raw_headers.append((b"x-total-time", b"%.3f" % total_ms))
            return response

        return answered

    async def _body(self, request: Request) -> bytes:
        headers = dict(request.scope["headers"])
        media_type = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if media_type != b"application/json":
            raise MediaTypeError(f"send `Content-Type: application/json`, not `{media_type.decode('latin-1')}`")
        length = int(headers.get(b"content-length", self._payload_limit))  # is checked by who parsed it
        if length > self._payload_limit:
            raise self._too_long()
        if self._bodies.full:
            raise OverloadedError("too many long bodies are being read", retry_after_s=1)
        try:
            with self._bodies.hold(length):
                async with asyncio.timeout(self._body_timeout_s):
                    body = bytearray()
                    async for chunk in request.stream():
                        body += chunk
                        if len(body) > self._payload_limit:
                            raise self._too_long()
                    return bytes(body)
        except TimeoutError as error:
            raise SlowBodyError(f"the body did not arrive within `{self._body_timeout_s}` s") from error

    def _too_long(self) -> PayloadError:
        return PayloadError(f"the body is longer than `{self._payload_limit}` bytes")


def response_of(reply: Reply) -> Response:
    """Write a reply: bytes as they are, anything else as JSON."""
    content = reply.body if isinstance(reply.body, bytes) else schemas.encode(reply.body)
    return Response(content, status_code=reply.status, media_type=reply.media_type, headers=reply.headers)
