"""Own how many tokens a second a loaded model reads in this process; a server under load is measured from outside."""

import time
from collections.abc import Callable

from runtime import golden, inference
from runtime.golden import Loaded

LEAST_S = 1.0
_COPIES = 8


def tokens_per_second(model: Loaded, *, max_batch_tokens: int, clock: Callable[[], float] = time.perf_counter) -> float:
    """Run short and long texts in full batches for a second at least, and return the tokens of a second.

    Special tokens count, padding does not. Raises InferenceError.
    """
    entries = golden.entries(model) * _COPIES
    tokens = sum(inference.lengths_of(entries))
    inference.run(model, entries, max_batch_tokens=max_batch_tokens)  # the first run of a shape takes longer
    started, rounds = clock(), 0
    while clock() - started < LEAST_S:
        inference.run(model, entries, max_batch_tokens=max_batch_tokens)
        rounds += 1
    return tokens * rounds / (clock() - started)
