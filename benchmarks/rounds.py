"""Own the rounds of the serving benchmark, in which the server and the limit of its machine take turns."""

import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.load import Load, load, requests_of, resident_bytes
from benchmarks.starts import MODEL, Start
from benchmarks.workload import Workload

PATH = "/v1/embeddings"
BATCH_SIZES = (1, 2, 4, 8, 16, 32)
STARTS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Round:
    """One turn of both: the limit's seconds and the server's, for the same texts."""

    limit_s: float
    bulk: Load
    singles: Load
    limit_query_s: float
    queries: Load


class Limit:
    """The loop in its own process."""

    def __init__(self, *, threads: int) -> None:
        command = [sys.executable, str(Path(__file__).with_name("bare.py")), str(MODEL), str(threads)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.process_id = self._process.pid

    def ask(self, do: str, texts: Sequence[str], **more: object) -> dict[str, Any]:
        """Let it do one thing."""
        assert self._process.stdin is not None, "it is a pipe"
        assert self._process.stdout is not None, "it is a pipe"
        self._process.stdin.write(json.dumps({"do": do, "texts": texts, **more}) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None, "it is a pipe"
        self._process.stdin.close()
        self._process.wait()


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """Everything that was measured of the server and of the limit."""

    batch_size: int  # the best of the limit
    lengths: tuple[int, ...]
    rounds: tuple[Round, ...]
    starts_s: tuple[float, ...]
    resident_bytes: int
    limit_resident_bytes: int


def measure(workload: Workload, *, start: Start, threads: int, rounds: int) -> Measured:
    """Let the server that `start` starts and the limit take turns for so many rounds."""
    (query, *_) = requests_of(workload.queries, size=1, path=PATH)
    starts = [_start_s(start, query=query) for _ in range(STARTS)]
    limit = Limit(threads=threads)
    try:
        lengths = limit.ask("count", workload.passages)["lengths"]
        batch_size = _best_batch_size(limit, workload)
        with start(query) as server:
            measured = tuple(_round(limit, workload, port=server.port, batch_size=batch_size) for _ in range(rounds))
            return Measured(
                batch_size=batch_size,
                lengths=tuple(lengths),
                rounds=measured,
                starts_s=tuple(starts),
                resident_bytes=resident_bytes(server.process_id),
                limit_resident_bytes=resident_bytes(limit.process_id),
            )
    finally:
        limit.close()


def _start_s(start: Start, *, query: bytes) -> float:
    with start(query) as server:
        return server.start_s


def _best_batch_size(limit: Limit, workload: Workload) -> int:
    """Find it with every fourth text, which is as mixed as all of them."""
    texts = workload.passages[::4]
    seconds = {
        size: statistics.median(limit.ask("bulk", texts, batch_size=size)["seconds"] for _ in range(3))
        for size in BATCH_SIZES
    }
    return min(seconds, key=lambda size: seconds[size])


def _round(limit: Limit, workload: Workload, *, port: int, batch_size: int) -> Round:
    return Round(
        limit_s=limit.ask("bulk", workload.passages, batch_size=batch_size)["seconds"],
        bulk=load(port, requests_of(workload.passages, size=32, path=PATH), callers=4),
        singles=load(port, requests_of(workload.passages, size=1, path=PATH), callers=32),
        limit_query_s=statistics.median(limit.ask("queries", workload.queries)["latencies_s"]),
        queries=load(port, requests_of(workload.queries, size=1, path=PATH), callers=1),
    )
