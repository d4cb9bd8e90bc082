"""Own a real image registry on loopback, which gives nothing without a login."""

import base64
import http.client
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

USER, PASSWORD = "robot", "correct-horse"
PASSWORD_HASH = "$2b$04$KlmWPG/74tsI.F8sQN5dnOd3Sj.siw/YjqhcoSmEUCFmvGV2cNjQS"  # bcrypt of PASSWORD
START_TIMEOUT_S = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Registry:
    """A registry that runs; `host` is its name in references."""

    host: str

    def login(self) -> dict[str, str]:
        """Return the login as docker-py takes it."""
        return {"username": USER, "password": PASSWORD}

    def config(self, folder: Path, **other: object) -> Path:
        """Write a Docker config with the login into `folder`, for DOCKER_CONFIG."""
        auth = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        (folder / "config.json").write_text(json.dumps({"auths": {self.host: {"auth": auth}}, **other}))
        return folder


@contextmanager
def running(folder: Path) -> Iterator[Registry]:
    """Run Debian's `docker-registry` on a free port with basic authentication."""
    program = shutil.which("docker-registry")
    if program is None:
        pytest.skip("docker-registry is not installed")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    (folder / "users").write_text(f"{USER}:{PASSWORD_HASH}\n")
    settings = {
        "version": 0.1,
        "log": {"level": "warn"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {"addr": address},
        "auth": {"htpasswd": {"realm": "test", "path": str(folder / "users")}},
    }
    (folder / "registry.yml").write_text(json.dumps(settings))  # JSON is YAML
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, "serve", folder / "registry.yml"], stdout=log, stderr=log)
    try:
        _wait_for(address)
        yield Registry(host=address)
    finally:
        process.terminate()
        process.wait(START_TIMEOUT_S)


def _wait_for(address: str) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        connection = http.client.HTTPConnection(address, timeout=1)
        try:
            connection.request("GET", "/v2/")
            assert connection.getresponse().status == 401
        except OSError:
            time.sleep(0.05)
        else:
            return
        finally:
            connection.close()
    pytest.fail("the registry does not answer")
