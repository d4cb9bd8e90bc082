"""Engines that tests run against: the machine's own, and private ones that a test may kill."""

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from builder.engine import Engine
from tests.support import lookalikes

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
        """Kill it as a power cut would, with the containerd that it started."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@pytest.fixture
def private_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateEngine]:
    """A private engine that answers; where one cannot be started, the test is skipped."""
    with running_engine(tmp_path_factory.mktemp("engine")) as started:
        yield started


@contextmanager
def running_engine(root: Path, *, storage_driver: str = "vfs") -> Iterator[PrivateEngine]:
    """Run a private engine that keeps everything in `root`, in a network namespace that holds nothing."""
    if os.geteuid() != 0 or shutil.which("dockerd") is None:
        pytest.skip("a private engine needs root and dockerd")
    address = f"unix://{root}/engine.sock"
    places = ["--data-root", f"{root}/data", "--exec-root", f"{root}/exec", "--pidfile", f"{root}/pid"]
    # Namespaces of its own: an engine without a bridge removes `docker0`, and one that is killed leaves mounts.
    command = ["unshare", "--net", "--mount", "dockerd", "-H", address, "--bridge=none", "--iptables=false"]
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as ready, (root / "log").open("wb") as log:
        ready.bind(f"{root}/ready")
        ready.settimeout(START_TIMEOUT_S)
        process = subprocess.Popen(
            [*command, *places, f"--storage-driver={storage_driver}"],
            env={**os.environ, "NOTIFY_SOCKET": f"{root}/ready"},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            while b"READY=1" not in ready.recv(4096):
                pass
            yield PrivateEngine(process=process, address=address)
        finally:
            process.terminate()
            process.wait(START_TIMEOUT_S)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a manifest's two tiny local models."""
    directory = tmp_path_factory.mktemp("models")
    lookalikes.write_embedding_model(directory / "embedder")
    lookalikes.write_reranker(directory / "reranker")
    return directory


@pytest.fixture
def name(engine: Engine) -> Iterator[str]:
    """A name for an image, which is removed with all its tags afterwards."""
    repository = f"build-image-test-{uuid4().hex[:12]}"
    yield repository
    engine.remove_image(f"{repository}:latest")


@pytest.fixture(scope="session", autouse=True)
def _cache_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the memory of these runs out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield
