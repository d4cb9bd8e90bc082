"""Measure the server against the limit of its machine and against its peers; prints ratios from one run.

The limit is ONNX Runtime in a loop in one process, over the same texts sorted by length, with the batch size that is
best there. Both and the load run on the same processors, with as many threads, and take turns. Needs the quickstart's
models (`examples/export_minilm.py`), and `--image` an image of `benchmarks/serving.yaml`; `make bench-serving` sees to
both.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib import metadata
from pathlib import Path

from benchmarks.peers import PEERS, Figures, PeerError, measured
from benchmarks.plot import Bar, Chart, svg
from benchmarks.rounds import Measured, measure
from benchmarks.starts import MODEL, Start, bare_process, container, write_bundle
from benchmarks.workload import Workload, read_workload

FOLDER = Path(__file__).parent
MEBIBYTE = 2**20
BARE = "build-image"
IN_IMAGE = "in its image"
OURS = (BARE, IN_IMAGE)
LIBRARIES = ("onnxruntime", "tokenizers", "numpy", "starlette", "uvicorn", "uvloop")


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """A ratio or figure that is wanted, and whether less of it is better."""

    name: str
    value: float
    wanted: float
    at_most: bool = False

    @property
    def met(self) -> bool:
        """Whether it is as wanted."""
        return self.value <= self.wanted if self.at_most else self.value >= self.wanted

    def __str__(self) -> str:
        bound = "at most" if self.at_most else "at least"
        return f"{self.name:<62} {self.value:6.2f}   {bound} {self.wanted:.2f}{'' if self.met else '   MISSED'}"


def main() -> int:
    asked = arguments()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: asked.cpus])
    threads = len(os.sched_getaffinity(0))
    workload = read_workload(passages=asked.texts, queries=100)
    print(machine(threads))
    with tempfile.TemporaryDirectory(prefix="benchmark-serving-") as folder:
        starts = starts_of(write_bundle(Path(folder)), image=asked.image)
        ours = {
            name: measure(workload, start=start, threads=threads, rounds=asked.rounds) for name, start in starts.items()
        }
    for name, measured_here in ours.items():
        print(describe(name, measured_here, workload, threads=threads))
        print(*targets_of(measured_here), cost(measured_here), sep="\n")
    figures = {name: figures_of(measured_here) for name, measured_here in ours.items()}
    peers = measure_peers(workload, names=asked.peers)
    for name, peer in peers.items():
        print(line(name, peer, ours=figures[BARE]))
    write(asked.output, ours, workload, figures={**figures, **peers})
    return 0 if all(target.met for each in ours.values() for target in targets_of(each)) else 1


def starts_of(bundle: Path, *, image: str | None) -> dict[str, Start]:
    """Name the ways in which the server is started: from this checkout, and from an image where there is one."""
    starts: dict[str, Start] = {BARE: partial(bare_process, bundle)}
    return starts if image is None else {**starts, IN_IMAGE: partial(container, image)}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cpus", type=int, default=2, help="processors that everything runs on (default: 2)")
    parser.add_argument("--rounds", type=int, default=5, help="turns of the limit and the server (default: 5)")
    parser.add_argument("--texts", type=int, default=1000, help="passages (default: 1000)")
    names = [peer.name for peer in PEERS]
    parser.add_argument("--peers", nargs="*", choices=names, default=names, help="none: --peers with nothing after it")
    parser.add_argument("--image", help="measure the server in this image too")
    parser.add_argument("--output", type=Path, default=FOLDER, help="where serving.json and .svg go")
    return parser.parse_args()


def machine(threads: int) -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    processor = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in LIBRARIES)
    return (
        f"machine   {processor}, {threads} of {os.cpu_count()} processors, {platform.system()} {platform.release()}\n"
        f"versions  Python {platform.python_version()}, {versions}"
    )


def describe(name: str, ours: Measured, workload: Workload, *, threads: int) -> str:
    lengths = ours.lengths
    limit = len(lengths) / statistics.median(turn.limit_s for turn in ours.rounds)
    return (
        f"\n{name}\n"
        f"model     {MODEL.name}, fp32, {threads} threads\n"
        f"texts     {len(lengths)} ({workload.digest}), {statistics.median(lengths):.0f} tokens in the median, "
        f"{statistics.mean(lengths):.0f} on average, {max(lengths)} at most\n"
        f"limit     {limit:.1f} documents/s, sorted, {ours.batch_size} a batch; medians of {len(ours.rounds)} rounds\n"
    )


def targets_of(ours: Measured) -> list[Target]:
    """Compare within each round, and take the median."""
    rounds = ours.rounds

    def median(values: Sequence[float]) -> float:
        return statistics.median(values)

    return [
        Target(
            name="bulk, 32 a request, 4 at a time: of the limit",
            value=median([turn.limit_s / turn.bulk.seconds for turn in rounds]),
            wanted=0.95,
        ),
        Target(
            name="one a request, 32 at a time: of the limit",
            value=median([turn.limit_s / turn.singles.seconds for turn in rounds]),
            wanted=0.90,
        ),
        Target(
            name="one short query at a time: median latency, times the bare one",
            value=median([statistics.median(turn.queries.latencies_s) / turn.limit_query_s for turn in rounds]),
            wanted=1.25,
            at_most=True,
        ),
        Target(name="process start to first answer, s", value=median(ours.starts_s), wanted=1.0, at_most=True),
        Target(
            name="resident at the end, times the loop's",
            value=ours.resident_bytes / ours.limit_resident_bytes,
            wanted=1.5,
            at_most=True,
        ),
    ]


def cost(ours: Measured) -> str:
    """Say what the load itself took of the processors."""
    seconds = sum(turn.bulk.seconds + turn.singles.seconds for turn in ours.rounds)
    client_s = sum(turn.bulk.client_cpu_s + turn.singles.client_cpu_s for turn in ours.rounds)
    return f"the load generator itself took {100 * client_s / seconds:.1f}% of one processor\n"


def figures_of(ours: Measured) -> Figures:
    count = len(ours.lengths)
    return Figures(
        bulk_per_s=count / statistics.median(turn.bulk.seconds for turn in ours.rounds),
        singles_per_s=count / statistics.median(turn.singles.seconds for turn in ours.rounds),
        query_ms=1000 * statistics.median(statistics.median(turn.queries.latencies_s) for turn in ours.rounds),
        start_s=statistics.median(ours.starts_s),
        resident_bytes=ours.resident_bytes,
    )


def measure_peers(workload: Workload, *, names: Sequence[str]) -> dict[str, Figures]:
    """Measure those that can be; of the others, say why not."""
    peers = {}
    for peer in PEERS:
        if peer.name in names:
            try:
                peers[peer.name] = measured(peer, model=MODEL, workload=workload)
            except PeerError as error:
                print(f"{peer.name}: left out: {error}")
    return peers


def line(name: str, peer: Figures, *, ours: Figures) -> str:
    singles = "-" if peer.singles_per_s is None else f"{peer.singles_per_s:.1f}"
    return (
        f"{name:<22} bulk {peer.bulk_per_s:6.1f}/s ({ours.bulk_per_s / peer.bulk_per_s:.1f} times slower), "
        f"singles {singles:>6}/s, query {peer.query_ms:6.1f} ms, start {peer.start_s:5.1f} s, "
        f"{peer.resident_bytes / MEBIBYTE:5.0f} MiB"
    )


def write(folder: Path, ours: Mapping[str, Measured], workload: Workload, *, figures: Mapping[str, Figures]) -> None:
    """Write everything as JSON, and the figures as a picture."""
    document = {
        "machine": machine(len(os.sched_getaffinity(0))).splitlines(),
        "workload": workload.digest,
        "targets": {
            name: [{**asdict(target), "met": target.met} for target in targets_of(each)] for name, each in ours.items()
        },
        "figures": {name: asdict(value) for name, value in figures.items()},
        "measured": {name: asdict(each) for name, each in ours.items()},
    }
    (folder / "serving.json").write_text(json.dumps(document, indent=1) + "\n")
    (folder / "serving.svg").write_text(svg(charts(ours[BARE], figures)))


def charts(ours: Measured, figures: Mapping[str, Figures]) -> list[Chart]:
    limit = len(ours.lengths) / statistics.median(turn.limit_s for turn in ours.rounds)

    def bar(name: str, value: float, text: str) -> Bar:
        return Bar(label=name, value=value, text=text, is_ours=name in OURS)

    return [
        Chart(
            title="documents a second, in bulk",
            bars=[
                bar("ONNX Runtime in a loop", limit, f"{limit:.0f}"),
                *(bar(name, each.bulk_per_s, f"{each.bulk_per_s:.0f}") for name, each in figures.items()),
            ],
        ),
        Chart(
            title="milliseconds for one short query",
            bars=[bar(name, each.query_ms, f"{each.query_ms:.1f}") for name, each in figures.items()],
        ),
        Chart(
            title="seconds from start to first answer",
            bars=[bar(name, each.start_s, f"{each.start_s:.1f}") for name, each in figures.items()],
        ),
        Chart(
            title="MiB resident at the end",
            bars=[
                bar(name, each.resident_bytes, f"{each.resident_bytes / MEBIBYTE:.0f}")
                for name, each in figures.items()
            ],
        ),
    ]


if __name__ == "__main__":
    sys.exit(main())
