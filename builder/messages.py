"""Own the messages of a response that lasts, JSON by lines; whose they are and what they mean is not known here."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Protocol, Self


class Response(Protocol):
    """What is used of a `requests.Response`."""

    def iter_content(self, *, chunk_size: None) -> Iterator[bytes]:
        """Yield the body as it arrives."""

    def close(self) -> None:
        """Give the connection up."""


class JsonStream:
    """The messages of a response.

    `translated` is the context in which the response's own errors become ours.
    """

    def __init__(self, response: Response, *, translated: Callable[[], AbstractContextManager[None]]) -> None:
        self._response = response
        self._translated = translated

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._response.close()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        with self._translated():
            rest = b""
            for chunk in self._response.iter_content(chunk_size=None):
                *lines, rest = (rest + chunk).split(b"\n")
                yield from (json.loads(line) for line in lines if line.strip())
            if rest.strip():
                raise ConnectionResetError("the last message is cut short")
