"""Own a real SSH server on loopback, through which the machine's engine is reached as a remote one."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.engine import program
from tests.runtime.server import free_port

SSHD = "/usr/sbin/sshd"


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Run sshd for this user; yield the engine's address, and leave a home with its key in `folder / "home"`."""
    if os.geteuid() != 0 or not Path(SSHD).exists() or shutil.which("docker") is None:
        pytest.skip("an SSH server needs root, sshd, and the docker command on its side")
    home = folder / "home" / ".ssh"
    home.mkdir(parents=True)
    for key in (folder / "host_key", home / "id_ed25519"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    port = free_port()
    host_key = (folder / "host_key.pub").read_text().rsplit(maxsplit=1)[0]
    (home / "known_hosts").write_text(f"[127.0.0.1]:{port} {host_key}\n")
    options = {
        "ListenAddress": f"127.0.0.1:{port}",
        "HostKey": folder / "host_key",
        "AuthorizedKeysFile": home / "id_ed25519.pub",
        "PermitRootLogin": "yes",
        "StrictModes": "no",
        "PidFile": "none",
    }
    (folder / "sshd_config").write_text("".join(f"{name} {value}\n" for name, value in options.items()))
    Path("/run/sshd").mkdir(exist_ok=True)  # the server's empty folder; a distribution's start-up script makes it
    command = (SSHD, "-D", "-e", "-f", folder / "sshd_config")
    with program.running(*command, log=folder / "log", answers=lambda: _greets(port)):
        yield f"ssh://root@127.0.0.1:{port}"


def _greets(port: int) -> bool:
    with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
        return connection.recv(4) == b"SSH-"
