"""Own the two ways in which the serving benchmark starts the server: from this checkout, and from an image."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import docker

from benchmarks.peers import free_port, running, wait_for_answer

ROOT = Path(__file__).parent.parent
MODEL = ROOT / "examples" / "models" / "all-MiniLM-L6-v2"
MANIFEST = ROOT / "benchmarks" / "serving.yaml"
START_LIMIT_S = 60


@dataclass(frozen=True, kw_only=True, slots=True)
class Started:
    """A server: its port, its process, and the seconds until its first answer."""

    port: int
    process_id: int
    start_s: float


Start = Callable[[bytes], AbstractContextManager[Started]]  # of the request that is asked first


def write_bundle(folder: Path) -> Path:
    """Let `build-image serve` write the bundle of the model, and stop it there."""
    environment = {**os.environ, "TRANSFORMERS_CACHE": str(folder / "transformers")}
    program = Path(sys.executable).with_name("build-image")
    command = [str(program), "serve", "--models", str(MANIFEST), "--port", str(free_port())]
    with subprocess.Popen(
        command, env=environment, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stderr is not None, "it is a pipe"
        said = []
        for line in process.stderr:
            said.append(line)
            if "ready after" in line:
                break
        process.send_signal(signal.SIGTERM)
    bundles = list(folder.glob(".build-image/bundles/*/bundle.json"))
    if not bundles:
        raise SystemExit("".join(said))
    return bundles[0]


@contextmanager
def bare_process(bundle: Path, query: bytes) -> Iterator[Started]:
    """Start the server of this checkout."""
    port = free_port()
    settings = {"BUNDLE": str(bundle), "HOSTNAME": "127.0.0.1", "HTTP_PORT": str(port), "LOG_LEVEL": "error"}
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        **{f"RUNTIME_{name}": text for name, text in settings.items()},
    }
    command = [sys.executable, "-P", "-m", "runtime"]
    with running(command, port=port, request=query, environment=environment, limit_s=START_LIMIT_S) as (
        process,
        start_s,
    ):
        yield Started(port=port, process_id=process, start_s=start_s)


@contextmanager
def container(image: str, query: bytes) -> Iterator[Started]:
    """Start the server of an image on the same processors, with the host's network: nothing stands between."""
    port = free_port()
    engine = docker.from_env()
    made = engine.containers.create(
        image,
        environment={"RUNTIME_HOSTNAME": "127.0.0.1", "RUNTIME_HTTP_PORT": str(port), "RUNTIME_LOG_LEVEL": "error"},
        network_mode="host",
        cpuset_cpus=",".join(map(str, sorted(os.sched_getaffinity(0)))),
    )
    try:
        started = time.perf_counter()
        made.start()
        wait_for_answer(port, query, limit_s=START_LIMIT_S)
        start_s = time.perf_counter() - started
        made.reload()
        yield Started(port=port, process_id=made.attrs["State"]["Pid"], start_s=start_s)
    finally:
        made.remove(force=True)
        engine.close()
