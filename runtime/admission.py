"""Own who may come in: room for entries and for tokens, and a refusal at once where there is none; it queues nothing.

A request comes in while anything is free, however large it is, so that large ones are not refused for good beside small
ones. So what is held never exceeds a limit by more than one request.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager

from runtime.errors import OverloadedError

_LEAST_RETRY_S, _MOST_RETRY_S = 1, 60
_WEIGHT_OF_LATEST = 0.1  # in the mean of the seconds that an entry takes


class Room:
    """An amount that is held in parts, up to a limit that the last part may exceed."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.held = 0

    @property
    def full(self) -> bool:
        """Whether nothing more may be held."""
        return self.held >= self._limit

    @contextmanager
    def hold(self, amount: int) -> Iterator[None]:
        """Hold a part while the block runs."""
        self.held += amount
        try:
            yield
        finally:
            self.held -= amount


class Admission:
    """The door to the models; on the event loop alone."""

    def __init__(self, *, max_entries: int, max_tokens: int) -> None:
        self._entries = Room(max_entries)
        self._tokens = Room(max_tokens)
        self._entry_s = 0.0

    @property
    def entries(self) -> int:
        """How many entries are inside."""
        return self._entries.held

    @property
    def retry_after_s(self) -> int:
        """Estimate when what is inside now will be done, in whole seconds."""
        return min(_MOST_RETRY_S, max(_LEAST_RETRY_S, math.ceil(self._entries.held * self._entry_s)))

    @contextmanager
    def admit(self, *, entries: int, tokens: int) -> Iterator[None]:
        """Let a request in while the block runs; its tokens are an estimate, for they are not counted yet.

        Raises OverloadedError.
        """
        if self._entries.full or self._tokens.full:
            held = f"`{self._entries.held}` texts of about `{self._tokens.held}` tokens"
            raise OverloadedError(
                f"the server works on {held} and takes no more for now", retry_after_s=self.retry_after_s
            )
        with self._entries.hold(entries), self._tokens.hold(tokens):
            yield

    def measure(self, *, entries: int, seconds: float) -> None:
        """Take note of how long the processor took for entries, so that waiting can be estimated."""
        latest = seconds / entries
        self._entry_s += (latest - self._entry_s) * (_WEIGHT_OF_LATEST if self._entry_s else 1)
