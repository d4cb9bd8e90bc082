"""Engines that tests run against: the machine's own, and a private one that a test may kill."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from builder.engine import Engine

START_TIMEOUT_S = 30


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """The engine that DOCKER_HOST or the active context names."""
    with Engine.connect() as connected:
        yield connected


@dataclass(frozen=True, kw_only=True, slots=True)
class PrivateEngine:
    """A dockerd of the test's own, with nothing in it."""

    process: subprocess.Popen[bytes]
    address: str

    def die(self) -> None:
        """Kill it as a power cut would, with the containerd it started."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


StartEngine = Callable[..., PrivateEngine]


@pytest.fixture
def start_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartEngine]:
    """Start private engines with further options of dockerd; where the test cannot, it is skipped."""
    if os.geteuid() != 0 or shutil.which("dockerd") is None:
        pytest.skip("a private engine needs root and dockerd")
    started: list[tuple[PrivateEngine, Path]] = []

    def start(*options: str) -> PrivateEngine:
        root = tmp_path_factory.mktemp("engine")
        address = f"unix://{root}/engine.sock"
        places = ["--data-root", f"{root}/data", "--exec-root", f"{root}/exec", "--pidfile", f"{root}/pid"]
        isolation = ["--bridge=none", "--iptables=false", "--ip-forward=false", "--storage-driver=vfs"]
        with (root / "log").open("wb") as log:
            process = subprocess.Popen(
                ["dockerd", "-H", address, *places, *isolation, *options],
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        private = PrivateEngine(process=process, address=address)
        started.append((private, root))
        return private

    yield start
    for private, root in started:
        if private.process.poll() is None:
            private.process.terminate()
            private.process.wait(START_TIMEOUT_S)
        shutil.rmtree(root, ignore_errors=True)
