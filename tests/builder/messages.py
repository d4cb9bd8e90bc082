"""Own streams of an engine's messages that are known beforehand; no engine is asked."""

import json
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import Any

from builder.messages import JsonStream


class Response:
    """A response whose messages are known."""

    def __init__(self, messages: Sequence[dict[str, Any]]) -> None:
        self._messages = messages

    def iter_content(self, *, chunk_size: None) -> Iterator[bytes]:  # noqa: ARG002 - as `requests` has it
        yield from (json.dumps(message).encode() + b"\n" for message in self._messages)

    def close(self) -> None:
        """Nothing is held."""


def streaming(messages: Sequence[dict[str, Any]]) -> JsonStream:
    """Return the stream of `messages`."""
    return JsonStream(Response(messages), translated=nullcontext)
