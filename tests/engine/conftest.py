"""Engines that tests run against: the machine's own, and private ones that a test may kill."""

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
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
        """Kill it as a power cut would, with the containerd that it started."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


StartEngine = Callable[..., PrivateEngine]


@pytest.fixture
def start_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartEngine]:
    """Start private engines with further options of dockerd; where that cannot be, the test is skipped."""
    if os.geteuid() != 0 or shutil.which("dockerd") is None:
        pytest.skip("a private engine needs root and dockerd")
    with ExitStack() as started:
        yield lambda *options: started.enter_context(_running(tmp_path_factory.mktemp("engine"), options))


@contextmanager
def _running(root: Path, options: tuple[str, ...]) -> Iterator[PrivateEngine]:
    address = f"unix://{root}/engine.sock"
    places = ["--data-root", f"{root}/data", "--exec-root", f"{root}/exec", "--pidfile", f"{root}/pid"]
    isolation = ["--bridge=none", "--iptables=false", "--ip-forward=false", "--storage-driver=vfs"]
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as ready, (root / "log").open("wb") as log:
        ready.bind(f"{root}/ready")
        ready.settimeout(START_TIMEOUT_S)
        process = subprocess.Popen(
            # Without a network namespace of its own it would delete the bridge of the machine's engine.
            ["unshare", "--net", "dockerd", "-H", address, *places, *isolation, *options],
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
            shutil.rmtree(root, ignore_errors=True)


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    """A folder as DOCKER_CERT_PATH wants it: `ca.pem`, and one pair for 127.0.0.1 that serves both sides."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=tmp_path, check=True, capture_output=True)

    (tmp_path / "extensions").write_text("subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n")
    key = ["-newkey", "rsa:2048", "-nodes"]
    use = ["-addext", "keyUsage=critical,keyCertSign"]
    openssl("req", "-x509", *key, "-keyout", "ca-key.pem", "-out", "ca.pem", "-subj", "/CN=test authority", *use)
    openssl("req", *key, "-keyout", "key.pem", "-out", "request.pem", "-subj", "/CN=test")
    signing = ["-CA", "ca.pem", "-CAkey", "ca-key.pem", "-CAcreateserial", "-extfile", "extensions"]
    openssl("x509", "-req", "-in", "request.pem", "-out", "cert.pem", "-days", "1", *signing)
    return tmp_path


@pytest.fixture
def free_port() -> int:
    """A TCP port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
