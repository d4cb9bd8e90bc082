"""Own which of the entries that wait for a model run next: by age, length and group; it runs nothing.

The oldest is always among them, so that nothing waits for good. The others are its neighbours in length: padding is
work, and in order of arrival it is 44 to 66% of all work.
"""

from collections.abc import Iterable, Sequence
from typing import Generic, Protocol, TypeVar

_SIZE = 512  # entries that are looked at; those behind them are too young to be chosen


class Waiting(Protocol):
    """What a window needs to know of an entry; `gone` if nobody waits for it any more."""

    @property
    def length(self) -> int:
        """Tokens."""

    @property
    def group(self) -> int:
        """Entries of two groups never share a batch."""

    @property
    def gone(self) -> bool:
        """Whether to drop it."""


Item = TypeVar("Item", bound=Waiting)


def choose(lengths: Sequence[int], *, max_batch_tokens: int, run_cost_tokens: int) -> list[int]:
    """Choose positions of one batch among lengths that are given oldest first.

    Beginning with the oldest, the neighbour that brings the least padding is taken next; of equally long ones the
    older. It ends where the longest times the count would be above the budget, or the padding more work than a run of
    its own, which costs as much as `run_cost_tokens` tokens do.
    """
    oldest = lengths[0]
    shorter = sorted((at for at in range(1, len(lengths)) if lengths[at] < oldest), key=lambda at: (-lengths[at], at))
    longer = sorted((at for at in range(1, len(lengths)) if lengths[at] >= oldest), key=lambda at: (lengths[at], at))
    chosen, longest = [0], oldest
    while True:
        padding_below = longest - lengths[shorter[0]] if shorter else max_batch_tokens
        padding_above = (lengths[longer[0]] - longest) * len(chosen) if longer else max_batch_tokens
        neighbours = shorter if padding_below < padding_above else longer
        if not neighbours or min(padding_below, padding_above) > run_cost_tokens:
            return chosen
        length = max(longest, lengths[neighbours[0]])
        if length * (len(chosen) + 1) > max_batch_tokens:
            return chosen
        chosen.append(neighbours.pop(0))
        longest = length


class Window(Generic[Item]):
    """The entries that wait for one model, oldest first."""

    def __init__(self, *, max_batch_tokens: int, run_cost_tokens: int) -> None:
        self._max_batch_tokens = max_batch_tokens
        self._run_cost_tokens = run_cost_tokens
        self._items: list[Item] = []

    def __len__(self) -> int:
        return len(self._items)

    def add(self, items: Iterable[Item]) -> None:
        """Let entries wait."""
        self._items.extend(items)

    def take(self) -> list[Item]:
        """Take the entries of the next batch; none where all that waited are gone."""
        while self._items:
            seen = self._items[:_SIZE]
            staying = [item for item in seen if not item.gone]
            taken = self._chosen(staying) if staying else frozenset()
            self._items[: len(seen)] = [item for at, item in enumerate(staying) if at not in taken]
            if taken:
                return [staying[at] for at in sorted(taken)]
        return []

    def _chosen(self, items: Sequence[Item]) -> frozenset[int]:
        mates = [at for at, item in enumerate(items) if item.group == items[0].group]
        lengths = [items[at].length for at in mates]
        chosen = choose(lengths, max_batch_tokens=self._max_batch_tokens, run_cost_tokens=self._run_cost_tokens)
        return frozenset(mates[position] for position in chosen)
