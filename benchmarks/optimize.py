"""Measure each optimisation of a graph by itself: what it gains, what it takes and how near its answers come.

    make bench-optimize        python -m benchmarks.optimize --rounds 5 --only minilm

Each graph is loaded by a process of its own with the server's options. The processes take turns, so that whatever else
the machine does falls on all of them; speeds are medians of the ratio to the original in the same round. The graphs
are derived by the program that derives them in a build, with one wish each.
"""

import argparse
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from benchmarks import subjects
from benchmarks.subjects import GRAPH, Subject
from tests.support.checkout import ROOT

PASSAGES = {"minilm": 160, "reranker": 32}
THREADS = 2
WARM = 1  # round that is not counted
ALL, NONE = "ORT_ENABLE_ALL", "ORT_DISABLE_ALL"
HELPS = 1.02  # less is noise
LEAST_COSINE = 0.99
WISHES: Mapping[str, Mapping[str, Any]] = {
    "operators fused": {"graph": True, "attention": False},
    "attention as one operator": {"graph": True},
    "pooling in the graph": {"graph": True, "attention": False, "fuse_pooling": True},
    "int8": {"graph": True, "quantize": "int8"},
    "int8 without one attention": {"graph": True, "attention": False, "quantize": "int8"},
    "int8-vnni": {"graph": True, "quantize": "int8-vnni"},
    "q4": {"graph": True, "quantize": "q4"},
}


AS_IT_IS = "original, nothing optimised at start"


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A graph to measure, and how it is loaded and read."""

    name: str
    graph: Path
    output: str
    pooling: Sequence[str]
    level: str

    @property
    def size_bytes(self) -> int:
        """Add up its files."""
        return sum(file.stat().st_size for file in self.graph.parent.glob(f"{self.graph.name}*"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """What was measured of one graph."""

    candidate: Candidate
    ratio: float
    tokens_per_s: float
    load_s: float
    resident_bytes: int
    cosines: tuple[float, float]  # mean and least
    company: float


class Process:
    """A graph in its own process."""

    def __init__(self, subject: Subject, candidate: Candidate, *, batches: Path, folder: Path) -> None:
        spec = folder / f"{candidate.name}.json".replace("/", "-")
        said = {"graph": str(candidate.graph), "output": candidate.output, "pooling": list(candidate.pooling)}
        more = {"normalize": subject.normalize, "batches": str(batches), "level": candidate.level, "threads": THREADS}
        spec.write_text(json.dumps({**said, **more}))
        command = [sys.executable, "-m", "benchmarks.graph_process", str(spec)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env={**os.environ}
        )
        self.resident_bytes = int(self._read()["resident_bytes"])

    def ask(self, what: str) -> dict[str, Any]:
        """Let it do one thing."""
        assert self._process.stdin is not None, "it is a pipe"
        self._process.stdin.write(what + "\n")
        self._process.stdin.flush()
        return self._read()

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None, "it is a pipe"
        self._process.stdin.close()
        self._process.wait()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None, "it is a pipe"
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


def candidates(subject: Subject, folder: Path, *, chosen: Collection[str]) -> list[Candidate]:
    """Make every graph that is measured; the first one is the original."""
    graph = subject.folder / GRAPH

    def same(name: str, file: Path, level: str) -> Candidate:
        return Candidate(name=name, graph=file, output=subject.output, pooling=subject.pooling, level=level)

    made = [same("original", graph, ALL)]
    if AS_IT_IS in chosen:
        made.append(same(AS_IT_IS, graph, NONE))
    for name, wishes in WISHES.items():
        if name in chosen and ("fuse_pooling" not in wishes or subject.pooling):
            made += derived(subject, name, wishes, folder)
    made += [same(name, make(graph, folder), ALL) for name, make in OTHERS.items() if name in chosen]
    return made


def derived(subject: Subject, name: str, wishes: Mapping[str, Any], folder: Path) -> list[Candidate]:
    """Derive a graph by the program of the build; one that it refuses is told and left out."""
    request, output = folder / f"{name}-request.json", folder / name
    if (output / "derived.json").is_file():
        return [_described(name, output)]
    subjects.write_request(subject.request(**wishes), request)
    command = [sys.executable, "-P", "-m", "stages.optimize_model", *map(str, (request, subject.folder, output))]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "templates")}
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if ran.returncode:
        print(f"{name}: {ran.stderr.strip().splitlines()[-2]}", flush=True)
        return []
    return [_described(name, output)]


def _described(name: str, output: Path) -> Candidate:
    said = json.loads((output / "derived.json").read_text())
    level = NONE if said["level"] == "disabled" else ALL
    return Candidate(
        name=name, graph=output / said["graph"], output=said["output"], pooling=said["pooling"], level=level
    )


def measure(subject: Subject, made: Sequence[Candidate], *, rounds: int, folder: Path) -> list[Row]:
    """Let each graph take turns with the original for so many rounds; no more than these two are in memory."""
    batches = folder / "batches.npz"
    subjects.save_batches(subject, batches)
    with running(subject, made[0], batches=batches, folder=folder) as original:
        exact = np.array(original.ask("answers")["rows"])
        return [
            compare(subject, candidate, original, exact, rounds=rounds, batches=batches, folder=folder)
            for candidate in made
        ]


@contextmanager
def running(subject: Subject, candidate: Candidate, *, batches: Path, folder: Path) -> Iterator[Process]:
    """Have a graph in a process while the block runs."""
    process = Process(subject, candidate, batches=batches, folder=folder)
    try:
        yield process
    finally:
        process.close()


def compare(
    subject: Subject,
    candidate: Candidate,
    original: Process,
    exact: NDArray[np.float64],
    *,
    rounds: int,
    batches: Path,
    folder: Path,
) -> Row:
    """Measure one graph beside the original."""
    with running(subject, candidate, batches=batches, folder=folder) as process:
        load_s = process.ask("load")["seconds"]
        answers = process.ask("answers")
        turns = [(original.ask("run")["seconds"], process.ask("run")["seconds"]) for _ in range(rounds + WARM)][WARM:]
        return Row(
            candidate=candidate,
            ratio=statistics.median(before / after for before, after in turns),
            tokens_per_s=subject.tokens / statistics.median(after for _, after in turns),
            load_s=load_s,
            resident_bytes=process.resident_bytes,
            cosines=cosines(np.array(answers["rows"]), exact),
            company=answers["company"],
        )


def cosines(rows: NDArray[np.float64], exact: NDArray[np.float64]) -> tuple[float, float]:
    """Return the mean and the least cosine; of single scores the correlation, as both."""
    if rows.shape[1] == 1:
        correlation = float(np.corrcoef(rows[:, 0], exact[:, 0])[0, 1])
        return correlation, correlation
    each = np.einsum("ij,ij->i", rows, exact)
    return float(each.mean()), float(each.min())


def print_table(subject: Subject, rows: Sequence[Row]) -> None:
    """Print what was measured."""
    near = "correlation" if subject.task == "reranker" else "cosine: mean, least"
    print(f"\n{subject.name}: {subject.tokens} tokens a round, {THREADS} threads")
    print(f"{'':40} {'speed':>5} {'tokens/s':>8} {'size':>7} {'resident':>8} {'load':>7}  {near:19}  in company")
    for row in rows:
        mean, least = row.cosines
        compared = f"{mean:.5f}" if subject.task == "reranker" else f"{mean:.5f}, {least:.5f}"
        print(
            f"{row.candidate.name:40} {row.ratio:5.2f} {row.tokens_per_s:8,.0f}"
            f" {row.candidate.size_bytes / 1e6:4.0f} MB {row.resident_bytes / 1e6:5.0f} MB {row.load_s * 1000:4.0f} ms"
            f"  {compared:19}  {row.company:10.0e}  {verdict(row, rows[0])}"
        )


def verdict(row: Row, original: Row) -> str:
    """Say whether an optimisation helped."""
    if row is original:
        return ""
    if row.cosines[0] < LEAST_COSINE:
        return "no: its answers are too far off"
    if row.company > 1e-3:
        return "no: answers depend on their company"
    gains = {
        "speed": row.ratio >= HELPS,
        "size": row.candidate.size_bytes < original.candidate.size_bytes * 0.98,
        "memory": row.resident_bytes < original.resident_bytes * 0.98,
        "load": row.load_s < original.load_s * 0.98,
    }
    if row.ratio < 1 / HELPS:
        return f"slower{''.join(f', but {name}' for name, helps in gains.items() if helps)}"
    return (
        f"yes: {', '.join(name for name, helps in gains.items() if helps)}" if any(gains.values()) else "no difference"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=list(PASSAGES))
    every = [AS_IT_IS, *WISHES, *OTHERS]
    parser.add_argument("--graphs", nargs="+", choices=every, default=every, help="measure these beside the original")
    parser.add_argument("--folder", type=Path, help="keep the graphs there, and use those that are there already")
    parser.add_argument("--derive-only", action="store_true", help="make the graphs, and measure nothing")
    arguments = parser.parse_args()
    for name in [arguments.only] if arguments.only else PASSAGES:
        with tempfile.TemporaryDirectory() as created:
            folder = (arguments.folder or Path(created)).absolute() / name
            folder.mkdir(parents=True, exist_ok=True)
            subject = subjects.minilm(passages=PASSAGES[name])
            if name == "reranker":
                subject = subjects.reranker(folder / "model", lengths=subjects.lengths_of(subject))
            made = candidates(subject, folder, chosen=arguments.graphs)
            if not arguments.derive_only:
                print_table(subject, measure(subject, made, rounds=arguments.rounds, folder=folder))


def _dynamic(graph: Path, folder: Path) -> Path:
    """Quantise as ONNX Runtime's own tool does, whose operators take the range of a whole batch."""
    from onnxruntime.quantization import QuantType, quantize_dynamic  # noqa: PLC0415 - it sets up logging

    logging.disable(logging.WARNING)
    target = folder / "dynamic.onnx"
    if target.is_file():
        return target
    quantize_dynamic(graph, target, op_types_to_quantize=["MatMul"], per_channel=True, weight_type=QuantType.QInt8)
    return target


def _transformer_fusions(graph: Path, folder: Path) -> Path:
    """Fuse by ONNX Runtime's scripts for transformers, without its own optimiser, which would want torch."""
    from onnxruntime.transformers.optimizer import optimize_model  # noqa: PLC0415 - it sets up logging

    logging.disable(logging.WARNING)
    target = folder / "transformers.onnx"
    if target.is_file():
        return target
    onnx.save(optimize_model(str(graph), "bert", opt_level=0).model, target)
    return target


OTHERS: Mapping[str, Callable[[Path, Path], Path]] = {
    "ONNX Runtime's fusions for transformers": _transformer_fusions,
    "ONNX Runtime's dynamic int8": _dynamic,
}


if __name__ == "__main__":
    main()
