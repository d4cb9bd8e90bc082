"""Own a request's way through a model: let in, tokenized, run, and timed; what the rows mean is the model's.

Short texts are tokenized on the event loop: handing them to a thread takes longer than they do.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from runtime.admission import Admission
from runtime.batcher import LANES, Batcher, Ran, Runnable
from runtime.inference import lengths_of
from runtime.metrics import Kind, Metrics
from runtime.timings import Timings
from runtime.tokenizer import Entry

Tokenize = Callable[[], list[Entry]]

_CHARACTERS_PER_TOKEN = 4  # an estimate, for texts that are not tokenized yet
_CHARACTERS_ON_LOOP = 4_000
_TOKENIZING_THREADS = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """What became of a request: its entries, their rows, [entries, width] float32, and the time it took."""

    entries: Sequence[Entry]
    rows: NDArray[np.float32]
    timings: Timings


class Scheduler:
    """The way of every request through the models of one process."""

    def __init__(
        self,
        *,
        admission: Admission,
        metrics: Metrics,
        on_death: Callable[[BaseException], None],
        underway: Callable[[], int],
    ) -> None:
        """Start the threads; `on_death` is called when one of them has died, and nothing is answered any more.

        `underway` counts the requests of this process.
        """
        self._admission = admission
        self._metrics = metrics
        self._tokenizers = ThreadPoolExecutor(_TOKENIZING_THREADS, thread_name_prefix="tokenizer")
        self._batcher = Batcher(on_batch=self._ran, on_death=on_death, underway=underway)

    def add(self, name: str, model: Runnable, *, max_batch_tokens: int, run_cost_tokens: int) -> None:
        """Let a model be asked."""
        self._batcher.add(name, model, max_batch_tokens=max_batch_tokens, run_cost_tokens=run_cost_tokens)

    async def run(self, name: str, tokenize: Tokenize, *, kind: Kind, texts: int, characters: int) -> Run:
        """Compute the rows of what `tokenize` makes of so many texts.

        Where the caller is cancelled, what has not begun is dropped. Raises OverloadedError, EmptyError, and what
        `tokenize` and the model raise.
        """
        tokens = characters // _CHARACTERS_PER_TOKEN
        with self._metrics.request(kind, texts=texts), self._admission.admit(entries=texts, tokens=tokens):
            started = time.perf_counter()
            entries = await self._tokenized(tokenize, characters=characters)
            lengths = lengths_of(entries)
            tokenized = time.perf_counter()
            ran = await self._batcher.run(name, entries)
            timings = Timings(tokenization_s=tokenized - started, queue_s=ran.queue_s, inference_s=ran.inference_s)
            total_s = time.perf_counter() - started
        # after the answer is written, which happens before the event loop turns again
        count = partial(self._metrics.served, kind, lengths=lengths, timings=timings, total_s=total_s)
        asyncio.get_running_loop().call_soon(count)
        return Run(entries=entries, rows=ran.rows, timings=timings)

    def close(self) -> None:
        """Let the threads end; nothing can be run any more."""
        self._tokenizers.shutdown(wait=False, cancel_futures=True)
        self._batcher.close()

    async def _tokenized(self, tokenize: Tokenize, *, characters: int) -> list[Entry]:
        if characters <= _CHARACTERS_ON_LOOP:
            return tokenize()
        return await asyncio.get_running_loop().run_in_executor(self._tokenizers, tokenize)

    def _ran(self, ran: Ran) -> None:
        self._admission.measure(entries=ran.entries, seconds=ran.seconds / LANES)
        self._metrics.ran(entries=ran.entries, tokens=ran.tokens, waiting=ran.waiting)
