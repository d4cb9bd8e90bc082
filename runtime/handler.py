"""Own what a handler of a request is given and what it gives back; it knows neither HTTP's server nor any dialect."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from runtime.errors import EmptyError, InvalidError, RequestError
from runtime.service import Service
from runtime.settings import Settings

if TYPE_CHECKING:  # the tokenizers come with the models, after the server listens
    from runtime.timings import Timings
    from runtime.tokenizer import Text

WORK_HEADERS = ("x-compute-type", "x-compute-characters", "x-compute-tokens", "x-truncated")

Item = TypeVar("Item")


@dataclass(frozen=True, kw_only=True, slots=True)
class Backend:
    """What answers: the models, and how they are served."""

    service: Service
    settings: Settings

    def sized(self, texts: Sequence[Item], *, param: str) -> Sequence[Item]:
        """Return the texts of a request if they are neither none nor too many.

        Raises EmptyError and InvalidError.
        """
        limit = self.settings.max_client_batch_size
        if not texts:
            raise EmptyError("there is nothing in it", param=param)
        if len(texts) > limit:
            raise InvalidError(f"`{len(texts)}` texts are more than `{limit}`, the limit of a request", param=param)
        return texts

    def embeddable(self, texts: Sequence["Text"], *, param: str) -> Sequence["Text"]:
        """Return texts that can be embedded, token ids among them; raises as `sized` does."""
        for position, text in enumerate(self.sized(texts, param=param)):
            if not text:
                raise EmptyError(f"text `{position}` is empty", param=param)
        return texts


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """What is answered: a value that is written as JSON, or bytes of another media type."""

    body: object
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    media_type: str = "application/json"


class Result(Protocol):
    """What every result of a model says of the work that it took."""

    @property
    def tokens(self) -> int:
        """Count the tokens that the graph read."""

    @property
    def truncated(self) -> int:
        """Count the texts that were cut."""

    @property
    def timings(self) -> "Timings | None":
        """Say where the time went."""


def work_headers(texts: Iterable["Text"], *, result: Result) -> dict[str, str]:
    """Say what a request cost, with TEI's names, and how many of its texts were cut, if any were."""
    headers = {
        "x-compute-type": "cpu",
        "x-compute-characters": str(sum(map(len, texts))),
        "x-compute-tokens": str(result.tokens),
    }
    if result.timings is not None:
        headers |= result.timings.headers()
    if result.truncated:
        headers["x-truncated"] = str(result.truncated)
    return headers


Handler = Callable[[Backend, Any], Awaitable[Reply]]


@contextmanager
def renamed(**params: str) -> Iterator[None]:
    """Let the errors of the models name a field as the request does: `renamed(input="texts")`."""
    try:
        yield
    except RequestError as error:
        error.param = params.get(error.param or "", error.param)
        raise
