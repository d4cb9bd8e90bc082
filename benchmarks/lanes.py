"""Measure in how many runs at a time, with how many threads each, a processor reads most; prints ratios of one run.

The texts are those of the serving benchmark, in batches of neighbours in length; the models all-MiniLM-L6-v2, and a
BERT of 12 layers with random weights, which is as large as many embedders are. Needs the quickstart's models.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Tokenizer

from benchmarks.starts import MODEL
from benchmarks.workload import read_workload
from examples.bert_graph import BertConfig, embedding_model
from runtime.batch import pack, pad
from runtime.inference import MAX_BATCH_TOKENS
from runtime.session import session_options
from runtime.tokenizer import Entry
from tests.support import random_bert

ROUNDS = 5
MAX_LENGTH = 256
LARGE_LAYERS, LARGE_WIDTH, LARGE_HEADS = 12, 768, 12
WORDS, POSITIONS = 30_522, 512
LARGE_TEXTS = 120

Feeds = dict[str, NDArray[np.int64]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Way:
    """So many runs at a time, with so many threads each."""

    runs: int
    threads: int

    def __str__(self) -> str:
        return f"{self.runs} at a time, {self.threads} threads each"


def main() -> None:
    threads = len(os.sched_getaffinity(0))
    ways = [Way(runs=1, threads=threads), Way(runs=2, threads=threads), Way(runs=2, threads=max(1, threads // 2))]
    entries = read_entries()
    compare("all-MiniLM-L6-v2", MODEL / "onnx" / "model.onnx", batches_of(entries), ways)
    with tempfile.TemporaryDirectory(prefix="benchmark-lanes-") as folder:
        large = write_large(Path(folder) / "model.onnx")
        name = f"random BERT of {large.stat().st_size // 10**6} MB"
        compare(name, large, batches_of(entries[:LARGE_TEXTS]), ways)


def read_entries() -> list[Entry]:
    """Tokenize the serving benchmark's texts as its limit does."""
    tokenizer = Tokenizer.from_file(str(MODEL / "tokenizer.json"))
    tokenizer.enable_truncation(MAX_LENGTH)
    tokenizer.no_padding()
    encodings = tokenizer.encode_batch_fast(list(read_workload(passages=1000, queries=1).passages))
    return [Entry(ids=tuple(encoding.ids), type_ids=tuple(encoding.type_ids)) for encoding in encodings]


def batches_of(entries: Sequence[Entry]) -> list[Feeds]:
    packed = pack([len(entry.ids) for entry in entries], max_batch_tokens=MAX_BATCH_TOKENS)
    padded = [pad([entries[at] for at in positions], pad_token_id=0, side="right") for positions in packed]
    names = ("input_ids", "attention_mask", "token_type_ids")
    return [{name: getattr(batch, name) for name in names} for batch in padded]


def compare(name: str, graph: Path, batches: Sequence[Feeds], ways: Sequence[Way]) -> None:
    """Let the ways take turns, and print each one's speed beside that of the first."""
    sessions = [
        onnxruntime.InferenceSession(str(graph), session_options(way.threads, spins=True), ["CPUExecutionProvider"])
        for way in ways
    ]
    rounds = [
        [seconds(session, batches, runs=way.runs) for session, way in zip(sessions, ways, strict=True)]
        for _ in range(1 + ROUNDS)
    ][1:]  # the first run of a shape takes longer
    texts = sum(len(batch["input_ids"]) for batch in batches)
    for at, way in enumerate(ways):
        speed = statistics.median(texts / turn[at] for turn in rounds)
        ratio = statistics.median(turn[0] / turn[at] for turn in rounds)
        print(f"{name}: {way}: {speed:6.1f} texts/s, {ratio:.2f}")


def seconds(session: onnxruntime.InferenceSession, batches: Sequence[Feeds], *, runs: int) -> float:
    started = time.perf_counter()
    with ThreadPoolExecutor(runs) as lanes:
        for _ in lanes.map(lambda batch: session.run(["last_hidden_state"], batch), batches):
            pass
    return time.perf_counter() - started


def write_large(file: Path) -> Path:
    config = BertConfig(num_hidden_layers=LARGE_LAYERS, num_attention_heads=LARGE_HEADS, layer_norm_eps=1e-12)
    weights = random_bert.weights(
        hidden=LARGE_WIDTH, layers=LARGE_LAYERS, intermediate=4 * LARGE_WIDTH, words=WORDS, positions=POSITIONS
    )
    onnx.save(embedding_model(weights, config=config), file)
    return file


if __name__ == "__main__":
    main()
