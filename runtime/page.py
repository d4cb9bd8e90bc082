"""Own the page at `/`: its files, the facts that it shows, and the headers that confine it; it answers no model."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from runtime import schemas
from runtime.bundle import Activation, Model, PoolingMode, Task, Windows
from runtime.errors import UnknownRouteError
from runtime.keys import Keys
from runtime.prompting import prompt_for

FOLDER = Path(__file__).with_name("page")
INDEX = "index.html"
FACTS = "models.json"

_MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}

# The page may load its own files and ask its own server. It has no inline script or style, makes no markup of text,
# sends no form, is in no frame, and tells nobody where a reader came from.
HEADERS = {
    "content-security-policy": "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self'",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    ),
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-cache",  # an image of another version answers at the same address: ask whether it changed
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelFacts:
    """What the page says of a model; `size_bytes` is that of all its files.

    `query_prompt` and `document_prompt` name what it is asked with unless another is chosen, empty for no prompt.
    """

    name: str
    task: Task
    source: str
    revision: str
    graph: str
    size_bytes: int
    max_length: int
    dimensions: Sequence[int]
    pooling: Sequence[PoolingMode]
    normalize: bool
    prompts: dict[str, str]
    default_prompt: str | None
    query_prompt: str
    document_prompt: str
    labels: Sequence[str]
    activation: Activation | None
    windows: Windows | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What one request may hold."""

    texts_per_request: int
    bytes_per_request: int


@dataclass(frozen=True, kw_only=True, slots=True)
class PageFacts:
    """What the page has to know before it can ask."""

    models: Sequence[ModelFacts]
    limits: Limits


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """One file of the page as it is sent; its tag changes with its content."""

    content: bytes
    media_type: str
    tag: str


class Page:
    """The page of one server, held in memory: it is a few files that do not change while the server runs."""

    def __init__(self, models: Sequence[Model], *, limits: Limits, keys: Keys) -> None:
        self._keys = keys
        facts = PageFacts(models=[facts_of(model) for model in models], limits=limits)
        contents = {file.name: file.read_bytes() for file in FOLDER.iterdir() if file.suffix in _MEDIA_TYPES}
        contents[FACTS] = schemas.encode(facts)
        self._documents = {name: _document(name, content) for name, content in contents.items()}

    async def index(self, request: Request) -> Response:
        """Answer the page itself."""
        return _answer(request, self._documents[INDEX])

    async def file(self, request: Request) -> Response:
        """Answer one of the page's files to everybody, or the facts to who may ask.

        Raises UnknownRouteError, and UnauthorizedError.
        """
        name = request.path_params["name"]
        document = self._documents.get(name)
        if document is None:
            raise UnknownRouteError(f"there is no `{request.url.path}` here")
        if name == FACTS:
            self._keys.check(request.headers.get("authorization"))
        return _answer(request, document)


def facts_of(model: Model) -> ModelFacts:
    """Choose what of a model's decisions the page shows."""
    return ModelFacts(
        name=model.name,
        task=model.task,
        source=model.source,
        revision=model.revision,
        graph=model.graph,
        size_bytes=sum(file.size_bytes for file in model.files.values()),
        max_length=model.max_length,
        dimensions=model.dimensions,
        pooling=model.pooling,
        normalize=model.normalize,
        prompts=model.prompts,
        default_prompt=model.default_prompt,
        query_prompt=prompt_for(model, "search_query"),
        document_prompt=prompt_for(model, "search_document"),
        labels=model.labels,
        activation=model.activation,
        windows=model.windows,
    )


def _document(name: str, content: bytes) -> Document:
    digest = hashlib.sha256(content).hexdigest()[:16]
    return Document(content=content, media_type=_MEDIA_TYPES[Path(name).suffix], tag=f'"{digest}"')


def _answer(request: Request, document: Document) -> Response:
    headers = {**HEADERS, "etag": document.tag}
    held = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
    if document.tag in held:
        return Response(status_code=304, headers=headers)
    return Response(document.content, headers={**headers, "content-type": document.media_type})
