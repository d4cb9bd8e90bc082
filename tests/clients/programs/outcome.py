"""What a program here does with each call of its client: note the value or the error, and print all as JSON."""

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

TEXTS = ["The cat sits on the warm windowsill.", "Interest rates rose."]
DOCUMENTS = ["Interest rates rose by a quarter point.", "A cat is sitting on a sunny windowsill."]
QUERY = "Where does the cat sit?"


def address() -> tuple[str, str]:
    """Give the server's address and its key."""
    _, url, key = sys.argv
    return url, key


def run(calls: Mapping[str, Callable[[], Any]]) -> None:
    """Make the calls in order."""
    print(json.dumps({name: _noted(call) for name, call in calls.items()}))  # noqa: T201 - this is the result


def _noted(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except Exception as error:  # every class of error is what is looked at
        return {"error": type(error).__name__, "message": str(error)}
