"""Own engines beside the machine's own: each has nothing in it, sees no network, and may be killed."""

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import docker

from builder.engine import Engine

START_TIMEOUT_S = 30


@dataclass(frozen=True, kw_only=True, slots=True)
class PrivateEngine:
    """A dockerd that runs; `address` is for DOCKER_HOST."""

    process: subprocess.Popen[bytes]
    address: str

    def take(self, other: Engine, image: str) -> None:
        """Copy an image from another engine, since this one reaches no registry."""
        with other.saved_image(image) as stream, closing(docker.APIClient(self.address)) as client:
            client.load_image(stream.read())  # type: ignore[no-untyped-call]  # docker-py's stubs leave it out

    def stop(self) -> None:
        """End it as `systemctl stop` would."""
        self.process.terminate()
        self.process.wait(START_TIMEOUT_S)

    def die(self) -> None:
        """Kill it as a power cut would, with the containerd that it started."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def can_run() -> bool:
    """Tell whether this machine lets us start one."""
    return os.geteuid() == 0 and shutil.which("dockerd") is not None


@contextmanager
def running(root: Path, *, options: Sequence[str] = ()) -> Iterator[PrivateEngine]:
    """Run an engine with all its files in `root` while the block runs, which begins when it answers.

    One that ran there before is started again.
    """
    (root / "ready").unlink(missing_ok=True)
    address = f"unix://{root}/engine.sock"
    places = ["--data-root", f"{root}/data", "--exec-root", f"{root}/exec", "--pidfile", f"{root}/pid"]
    # Namespaces of its own: an engine without a bridge removes `docker0`, and one that is killed leaves mounts.
    command = ["unshare", "--net", "--mount", "dockerd", "-H", address, "--bridge=none", "--iptables=false"]
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as ready, (root / "log").open("wb") as log:
        ready.bind(f"{root}/ready")
        ready.settimeout(START_TIMEOUT_S)
        process = subprocess.Popen(
            [*command, *places, *options],
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
