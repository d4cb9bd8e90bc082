"""Own the requests that fuzzing starts from: those of the documentation, with other texts in them."""

from typing import Any

import msgspec

from runtime.examples import EXAMPLES
from runtime.routes import Route

_CHOICES = {"encoding_format", "input_type", "embedding_types"}  # fields that take one of a few words


def asked(route: Route, text: str | None = None) -> Any:
    """Give the request of the documentation, with this text in the place of each that it has."""
    request = msgspec.to_builtins(EXAMPLES[route.handler].request)
    return request if text is None else _with_text(request, text)


def _with_text(value: Any, text: str) -> Any:
    if isinstance(value, dict):
        return {key: item if key in _CHOICES else _with_text(item, text) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_text(item, text) for item in value]
    return text if isinstance(value, str) else value
