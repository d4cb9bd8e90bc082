"""Own the most memory that a server of these models takes, measured by the most that its limits let happen at once.

That is a run alone, and then one in each lane, of as many texts of a model's whole length as the budget holds:
attention grows with the square of the length, so shorter texts of as many tokens take less. What requests hold beside
it `admission` bounds.
"""

import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from runtime.batcher import LANES
from runtime.bundle import Model, read_bundle
from runtime.classifier import Classifier
from runtime.embedder import Embedder
from runtime.footprint import ceiling_bytes
from runtime.inference import load, warm_up_entries
from runtime.reranker import Reranker
from runtime.schemas import encode_readable
from runtime.settings import Settings
from runtime.threads import usable_threads
from runtime.tokenizer import Entry

_KIBIBYTE = 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Memory:
    """What the process has once every model is loaded, and the most that it had when the lanes ran largest batches.

    `ceiling_bytes` is what it may have at most, by the widths of the models.
    """

    loaded_bytes: int
    most_bytes: int
    ceiling_bytes: int | None
    max_batch_tokens: int
    lanes: int


def run(settings: Settings) -> int:
    """Measure the models of the bundle in this process, and print it as JSON.

    Raises BundleError, ModelError and InferenceError.
    """
    threads = settings.intra_op_threads or usable_threads()
    models = read_bundle(settings.bundle).models
    sys.stdout.write(encode_readable(measure(models, threads=threads, max_batch_tokens=settings.max_batch_tokens)))
    return 0


def measure(models: Sequence[Model], *, threads: int, max_batch_tokens: int) -> Memory:
    """Load every model and run the largest batch of each in all lanes at once."""
    loaded = [load(model, threads=threads) for model in models]
    loaded_bytes = resident_bytes()
    with ThreadPoolExecutor(LANES) as lanes:
        for model in loaded:
            largest = largest_batch(model, max_batch_tokens=max_batch_tokens)
            model.forward(largest)
            list(lanes.map(partial(model.forward, beside=True), [largest] * LANES))
    return Memory(
        loaded_bytes=loaded_bytes,
        most_bytes=_read("VmHWM"),
        ceiling_bytes=ceiling_bytes(models, max_batch_tokens=max_batch_tokens),
        max_batch_tokens=max_batch_tokens,
        lanes=LANES,
    )


def largest_batch(model: Embedder | Reranker | Classifier, *, max_batch_tokens: int) -> list[Entry]:
    """Make the entries that take the most memory together: of the model's whole length, at least one."""
    length = model.model.max_length
    count = max(1, max_batch_tokens // length) if model.model.batching else 1
    (entry,) = warm_up_entries(model)
    repeats = -(-length // len(entry.ids))
    return [replace(entry, ids=(entry.ids * repeats)[:length], type_ids=(entry.type_ids * repeats)[:length])] * count


def resident_bytes() -> int:
    """Read how much memory this process has now."""
    return _read("VmRSS")


def _read(name: str) -> int:
    """Read a line of the kernel's account of this process.

    Source: proc_pid_status(5).
    """
    lines = Path("/proc/self/status").read_text(errors="replace").splitlines()
    return next(int(line.split()[1]) * _KIBIBYTE for line in lines if line.startswith(f"{name}:"))
