"""Own the ASGI application: which path is which route, and every error answered as JSON in the path's dialect."""

import logging
from collections.abc import Awaitable, Callable, Mapping

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from runtime.admission import Admission
from runtime.answers import Dialect, answer
from runtime.api import Api, json_response
from runtime.bundle import read_bundle
from runtime.disconnects import Disconnects
from runtime.errors import MethodError, OverloadedError, RequestError, UnknownRouteError
from runtime.metrics import Metrics
from runtime.service import Service
from runtime.settings import Settings
from runtime.threads import usable_threads

logger = logging.getLogger(__name__)

Endpoint = Callable[[Request], Awaitable[Response]]

_GONE = 499  # nobody reads it


def create_service(settings: Settings) -> Service:
    """Read the bundle; its models are not loaded yet.

    Raises BundleError.
    """
    return Service(
        read_bundle(settings.bundle),
        threads=settings.intra_op_threads or usable_threads(),
        max_batch_tokens=settings.max_batch_tokens,
        admission=Admission(max_entries=settings.max_concurrent_requests, max_tokens=settings.max_queue_tokens),
        metrics=Metrics(),
    )


def create_app(service: Service, *, settings: Settings) -> Starlette:
    """Put the routes together."""
    api = Api(service, settings=settings)
    return Starlette(
        routes=[
            Route("/health", answering_errors(api.health), methods=["GET"]),
            Route("/livez", answering_errors(api.livez), methods=["GET"]),
            Route("/metrics", answering_errors(api.metrics), methods=["GET"]),
            Route("/readyz", answering_errors(api.health), methods=["GET"]),
            Route("/v1/embeddings", answering_errors(api.embeddings), methods=["POST"]),
            Route("/rerank", answering_errors(api.rerank), methods=["POST"]),
        ],
        middleware=[Middleware(Disconnects)],
        exception_handlers={HTTPException: _answer_routing},
    )


def answering_errors(endpoint: Endpoint) -> Endpoint:
    """Answer whatever an endpoint raises; what is not the caller's fault is logged, and its details stay in the log."""

    async def answered(request: Request) -> Response:
        try:
            return await endpoint(request)
        except RequestError as error:
            return _error_response(error, path=request.url.path)
        except ClientDisconnect:
            return Response(status_code=_GONE)
        except Exception as error:  # the process boundary: one request's failure is not the next one's
            logger.exception("%s %s failed", request.method, request.url.path)
            return _error_response(error, path=request.url.path)

    return answered


async def _answer_routing(request: Request, error: Exception) -> Response:
    """Answer what the router refuses: a path or method that is not served."""
    path = request.url.path
    headers = getattr(error, "headers", None)
    if getattr(error, "status_code", None) == 405:
        return _error_response(MethodError(f"`{path}` does not take `{request.method}`"), path=path, headers=headers)
    return _error_response(UnknownRouteError(f"there is no `{path}` here"), path=path, headers=headers)


def _error_response(error: Exception, *, path: str, headers: Mapping[str, str] | None = None) -> Response:
    dialect: Dialect = "openai" if path.startswith("/v1/") else "native"
    status, body = answer(error, dialect=dialect)
    response = json_response(body, status=status)
    response.headers.update(headers or {})
    if isinstance(error, OverloadedError):
        response.headers["retry-after"] = str(error.retry_after_s)
    return response
