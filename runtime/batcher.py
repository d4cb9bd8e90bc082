"""Own the threads that run the models and what waits for them; which entries share a batch is `window`'s decision.

There are two lanes, and no batch waits for a timer: it forms of what has come while others ran. While both have work,
each has half of the processor, which it never has to share out: threads of one run wait for each other, and those of
two do not. A run that is alone has all of it. Of a large model, whose weights are there once, the one lane's batch is
chosen and padded while the other's runs. One entry whose request is the only one underway, and takes no longer than the
event loop may stand still, is run on it: to a lane and back is a tenth of the time that a short query takes.
"""

import asyncio
import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from runtime.errors import InferenceError
from runtime.tokenizer import Entry
from runtime.window import Window

logger = logging.getLogger(__name__)

LANES = 2
STANDSTILL_S = 0.01  # of the event loop, for one entry

_WEIGHT_OF_LATEST = 0.2  # in the mean of the seconds that a token takes

_DEAD = "the threads that run the models have ended"
_NOT_FINITE = "a model answered with numbers that are not finite"

_Row = NDArray[np.float32]


class Runnable(Protocol):
    """A loaded model."""

    def forward(self, entries: Sequence[Entry], *, beside: bool) -> NDArray[np.float32]:
        """Compute [entries, width], `beside` another run or alone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ran:
    """A batch that has run: its entries, their padded tokens, the time it took, and how many entries wait still."""

    entries: int
    tokens: int
    seconds: float
    waiting: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Rows:
    """What was computed for a request, [entries, width], and how long its entries waited and ran, on average."""

    rows: NDArray[np.float32]
    queue_s: float
    inference_s: float


class _Request:
    """Entries that one caller waits for; but for `done`, only the event loop touches it."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.answer: asyncio.Future[Rows] = asyncio.get_running_loop().create_future()
        self.items = [_Item(request=self, position=at, entry=entry) for at, entry in enumerate(entries)]
        self.submitted = time.perf_counter()
        self._rows: list[_Row | None] = [None] * len(entries)
        self._left = len(entries)
        self._queue_s = 0.0
        self._inference_s = 0.0

    def settle(self, position: int, row: _Row | Exception, *, queue_s: float, inference_s: float) -> None:
        """Take what one entry came to; the last one answers the caller, and so does the first that failed."""
        if self.answer.done():
            return
        if isinstance(row, Exception):
            self.answer.set_exception(row)
            return
        self._rows[position] = row
        self._left -= 1
        self._queue_s += queue_s
        self._inference_s += inference_s
        if not self._left:
            count = len(self._rows)
            rows = np.stack([row for row in self._rows if row is not None])
            self.answer.set_result(
                Rows(rows=rows, queue_s=self._queue_s / count, inference_s=self._inference_s / count)
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Item:
    """One entry of a request."""

    request: _Request
    position: int
    entry: Entry

    @property
    def length(self) -> int:
        """Tokens."""
        return len(self.entry.ids)

    @property
    def group(self) -> int:
        """Which entries may share a batch."""
        return self.entry.group

    @property
    def gone(self) -> bool:
        """Whether its request is cancelled, or has failed by another entry."""
        return self.request.answer.done()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Batch:
    """Entries that run together, how many wait still, and whether another batch runs meanwhile."""

    name: str
    model: Runnable
    items: Sequence[_Item]
    waiting: int
    beside: bool

    @property
    def tokens(self) -> int:
        """Tokens, with padding."""
        return max(item.length for item in self.items) * len(self.items)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Outcome:
    """What the items of a batch came to, when it began to run and how long it did."""

    batch: _Batch
    rows: Sequence[_Row | Exception]
    started: float
    seconds: float


class Batcher:
    """Models that share the processor: they take turns, batch by batch."""

    def __init__(
        self,
        *,
        on_batch: Callable[[Ran], None],
        on_death: Callable[[BaseException], None],
        underway: Callable[[], int] = lambda: 1,
        standstill_s: float = STANDSTILL_S,
    ) -> None:
        """Take what the event loop is to call: after every batch, and when one of the threads has died.

        `underway` counts the requests that have come and are not answered, those that are not here yet among them.
        """
        self._loop = asyncio.get_running_loop()
        self._on_batch = on_batch
        self._on_death = on_death
        self._underway = underway
        self._standstill_s = standstill_s
        self._token_s: dict[str, float] = {}  # of runs that were alone
        self._changed = threading.Condition()
        self._closed = False
        self._running = 0
        self._models: dict[str, Runnable] = {}
        self._windows: dict[str, Window[_Item]] = {}
        self._requests: set[_Request] = set()
        for number in range(LANES):
            # daemons: a graph that runs beyond the deadline of a shutdown is not waited for
            threading.Thread(target=self._work, name=f"lane-{number}", daemon=True).start()

    def add(self, name: str, model: Runnable, *, max_batch_tokens: int, run_cost_tokens: int) -> None:
        """Let a model be asked."""
        with self._changed:
            self._models[name] = model
            self._windows[name] = Window(max_batch_tokens=max_batch_tokens, run_cost_tokens=run_cost_tokens)

    async def run(self, name: str, entries: Sequence[Entry]) -> Rows:
        """Compute the rows of entries, at least one; they are dropped where the caller is cancelled.

        Raises what the model raises for one of them alone.
        """
        if self._closed:
            raise InferenceError(_DEAD)
        if len(entries) == 1 and self._may_run_at_once(name, entries[0]):
            return self._run_at_once(name, entries[0])
        request = _Request(entries)
        self._requests.add(request)
        try:
            with self._changed:
                self._windows[name].add(request.items)
                self._changed.notify(len(entries))
            return await request.answer
        finally:
            self._requests.discard(request)

    def _may_run_at_once(self, name: str, entry: Entry) -> bool:
        """Tell whether nothing else is to be done and the entry does not take long; if so, it counts as running."""
        if self._underway() > 1 or self._token_s.get(name, math.inf) * len(entry.ids) > self._standstill_s:
            return False
        with self._changed:
            if self._running or any(map(len, self._windows.values())):
                return False
            self._running += 1
        return True

    def _run_at_once(self, name: str, entry: Entry) -> Rows:
        """Run one entry here and now; raises what the model raises."""
        started = time.perf_counter()
        try:
            rows = self._models[name].forward([entry], beside=False)
        finally:
            with self._changed:
                self._running -= 1
        seconds = time.perf_counter() - started
        self._loop.call_soon(self._settle_at_once, name, len(entry.ids), seconds)  # after the answer
        if not np.isfinite(rows).all():
            raise InferenceError(_NOT_FINITE)
        return Rows(rows=rows, queue_s=0.0, inference_s=seconds)

    def close(self) -> None:
        """Let the threads end; what waits is not run any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _work(self) -> None:
        try:
            while (batch := self._next()) is not None:
                self._tell(self._settle, self._run(batch))
        except BaseException as error:  # the process boundary of a thread: its silence would be a hang
            self._tell(self._die, error)

    def _die(self, error: BaseException) -> None:
        """Answer everyone who waits, for nobody else will."""
        if self._closed:
            return
        self.close()
        for request in self._requests:
            if not request.answer.done():
                request.answer.set_exception(InferenceError(_DEAD))
        self._on_death(error)

    def _next(self) -> _Batch | None:
        with self._changed:
            while not self._closed:
                for name, window in list(self._windows.items()):
                    # whose turn it was comes last
                    self._windows[name] = self._windows.pop(name)
                    if items := window.take():
                        waiting = sum(map(len, self._windows.values()))
                        beside = bool(waiting or self._running)
                        self._running += 1
                        return _Batch(name=name, model=self._models[name], items=items, waiting=waiting, beside=beside)
                self._changed.wait()
        return None

    def _run(self, batch: _Batch) -> _Outcome:
        started = time.perf_counter()
        rows = _outcomes(batch.model, batch.items, beside=batch.beside)
        seconds = time.perf_counter() - started
        with self._changed:  # before anybody is answered, who may ask again at once
            self._running -= 1
        return _Outcome(batch=batch, rows=rows, started=started, seconds=seconds)

    def _tell(self, callback: Callable[..., None], *arguments: object) -> None:
        with suppress(RuntimeError):  # the loop is closed, so nobody waits
            self._loop.call_soon_threadsafe(callback, *arguments)

    def _settle(self, outcome: _Outcome) -> None:
        batch, seconds = outcome.batch, outcome.seconds
        for item, row in zip(batch.items, outcome.rows, strict=True):
            queue_s = outcome.started - item.request.submitted
            item.request.settle(item.position, row, queue_s=queue_s, inference_s=seconds)
        if not batch.beside:
            self._learn(batch.name, seconds / batch.tokens)
        ran = Ran(entries=len(batch.items), tokens=batch.tokens, seconds=seconds, waiting=batch.waiting)
        self._loop.call_soon(self._on_batch, ran)  # after those who wait are answered

    def _settle_at_once(self, name: str, tokens: int, seconds: float) -> None:
        self._learn(name, seconds / tokens)
        self._on_batch(Ran(entries=1, tokens=tokens, seconds=seconds, waiting=0))

    def _learn(self, name: str, token_s: float) -> None:
        """Take note of how long a run that was alone took for a token."""
        mean = self._token_s.get(name, token_s)
        self._token_s[name] = mean + (token_s - mean) * _WEIGHT_OF_LATEST


def _outcomes(model: Runnable, items: Sequence[_Item], *, beside: bool) -> list[_Row | Exception]:
    """Run entries together, and where that fails each half by itself, until what fails is alone."""
    try:
        rows = model.forward([item.entry for item in items], beside=beside)
    except Exception as error:  # the process boundary: one entry's failure is not the next one's
        if len(items) == 1:
            return [error]
        logger.warning("a batch of %d failed, its halves are tried: %s", len(items), type(error).__name__)
        middle = len(items) // 2
        halves = items[:middle], items[middle:]
        return [outcome for half in halves for outcome in _outcomes(model, half, beside=beside)]
    return [row if np.isfinite(row).all() else InferenceError(_NOT_FINITE) for row in rows]
