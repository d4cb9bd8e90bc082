"""Own the ASGI application: routes and middleware put together, and every error answered in the route's dialect."""

import logging
from collections.abc import Mapping
from itertools import starmap

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route as PathRoute

from runtime import accuracy
from runtime.admission import Admission
from runtime.answers import Dialect, answer
from runtime.api import Api, Endpoint, response_of
from runtime.bundle import read_bundle
from runtime.disconnects import Disconnects
from runtime.dispatch import Dispatch
from runtime.documentation import documentation_routes
from runtime.draining import Draining
from runtime.errors import MethodError, RequestError, UnknownRouteError
from runtime.handler import WORK_HEADERS, Backend, Reply
from runtime.keys import Keys, read_keys
from runtime.metrics import Metrics
from runtime.page import Limits, Page
from runtime.request_ids import RequestIds
from runtime.routes import ROUTES, dialect_of
from runtime.service import Service
from runtime.settings import Settings
from runtime.threads import usable_threads

logger = logging.getLogger(__name__)

_GONE = 499  # nobody reads it

# What a page of another origin may read of an answer; any header may be sent, for OpenAI's client sends its own.
_READABLE_HEADERS = ("retry-after", "x-request-id", "x-total-time", *WORK_HEADERS)


def create_service(settings: Settings) -> Service:
    """Read the bundle; its models are not loaded yet.

    Raises BundleError.
    """
    return Service(
        read_bundle(settings.bundle),
        golden=settings.golden,
        accuracy=accuracy.read(settings.accuracy),
        threads=settings.intra_op_threads or usable_threads(),
        max_batch_tokens=settings.max_batch_tokens,
        admission=Admission(max_entries=settings.max_concurrent_requests, max_tokens=settings.max_queue_tokens),
        metrics=Metrics(),
    )


def create_app(service: Service, *, settings: Settings) -> Starlette:
    """Put the routes together.

    Raises SettingsError for keys that cannot be read.
    """
    keys = Keys(read_keys(settings))
    api = Api(Backend(service=service, settings=settings), keys=keys)
    table = (*ROUTES, *documentation_routes(ROUTES, has_keys=bool(keys)))
    endpoints = {
        (route.method, route.path): answering_errors(api.endpoint(route), dialect=route.dialect) for route in table
    }
    app = Starlette(
        routes=[*_page_routes(service, settings, keys=keys), *starmap(_path_route, endpoints.items())],
        middleware=[
            Middleware(Draining, service=service),
            Middleware(RequestIds),
            *_cors(settings),
            Middleware(Disconnects),
            Middleware(Dispatch, endpoints={place: each for place, each in endpoints.items() if "{" not in place[1]}),
        ],
        exception_handlers={HTTPException: _answer_routing},
    )
    app.router.redirect_slashes = False  # to an address that is not what a proxy calls this server
    return app


def _page_routes(service: Service, settings: Settings, *, keys: Keys) -> list[PathRoute]:
    limits = Limits(texts_per_request=settings.max_client_batch_size, bytes_per_request=settings.payload_limit)
    page = Page(service.models, limits=limits, keys=keys)
    return [
        PathRoute("/", answering_errors(page.index, dialect="native"), methods=["GET"]),
        PathRoute("/page/{name}", answering_errors(page.file, dialect="native"), methods=["GET"]),
    ]


def _path_route(place: tuple[str, str], endpoint: Endpoint) -> PathRoute:
    method, path = place
    pattern = path.replace("}", ":path}")  # the source of a model has a stroke in it
    return PathRoute(pattern, endpoint, methods=[method])


def _cors(settings: Settings) -> list[Middleware]:
    if not settings.cors_allow_origin:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=settings.cors_allow_origin,
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
            expose_headers=_READABLE_HEADERS,
        )
    ]


def answering_errors(endpoint: Endpoint, *, dialect: Dialect) -> Endpoint:
    """Answer whatever an endpoint raises; what is not the caller's fault is logged, and its details stay in the log."""

    async def answered(request: Request) -> Response:
        try:
            return await endpoint(request)
        except RequestError as error:
            return _error_response(error, dialect=dialect)
        except ClientDisconnect:
            return Response(status_code=_GONE)
        except Exception as error:  # the process boundary: one request's failure is not the next one's
            request_id = request.scope.get("request_id")
            logger.exception("%s %s failed", request.method, request.url.path, extra={"request_id": request_id})
            return _error_response(error, dialect=dialect)

    return answered


async def _answer_routing(request: Request, error: Exception) -> Response:
    """Answer what the router refuses: a path or method that is not served."""
    path = request.url.path
    dialect = dialect_of(path)
    headers = getattr(error, "headers", None)
    if getattr(error, "status_code", None) == 405:
        refusal: RequestError = MethodError(f"`{path}` does not take `{request.method}`")
    else:
        refusal = UnknownRouteError(f"there is no `{path}` here")
    return _error_response(refusal, dialect=dialect, headers=headers)


def _error_response(error: Exception, *, dialect: Dialect, headers: Mapping[str, str] | None = None) -> Response:
    status, body, more_headers = answer(error, dialect=dialect)
    return response_of(Reply(body=body, status=status, headers={**more_headers, **(headers or {})}))
