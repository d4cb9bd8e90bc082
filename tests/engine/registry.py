"""Own a real image registry on loopback, which gives nothing without a login."""

import base64
import http.client
import json
import re
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import pytest

from tests.engine import program
from tests.runtime.server import free_port

USER, PASSWORD = "robot", "correct-horse"
PASSWORD_HASH = "$2b$04$KlmWPG/74tsI.F8sQN5dnOd3Sj.siw/YjqhcoSmEUCFmvGV2cNjQS"  # bcrypt of PASSWORD


@dataclass(frozen=True, kw_only=True, slots=True)
class Registry:
    """A registry that runs; `host` is its name in references, `log` has a line for each request."""

    host: str
    log: Path

    def requests(self, method: str) -> list[str]:
        """Return the addresses of the requests with `method`, by the registry's own log."""
        return re.findall(rf'"{method} (\S+) HTTP', self.log.read_text())

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
    registry = shutil.which("docker-registry")
    if registry is None:
        pytest.skip("docker-registry is not installed")
    address = f"127.0.0.1:{free_port()}"
    (folder / "users").write_text(f"{USER}:{PASSWORD_HASH}\n")
    settings = {
        "version": 0.1,
        "log": {"level": "warn"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {"addr": address},
        "auth": {"htpasswd": {"realm": "test", "path": str(folder / "users")}},
    }
    (folder / "registry.yml").write_text(json.dumps(settings))  # JSON is YAML
    command = (registry, "serve", folder / "registry.yml")
    with program.running(*command, log=folder / "log", answers=lambda: _wants_a_login(address)):
        yield Registry(host=address, log=folder / "log")


def _wants_a_login(address: str) -> bool:
    with closing(http.client.HTTPConnection(address, timeout=1)) as connection:
        connection.request("GET", "/v2/")
        return connection.getresponse().status == HTTPStatus.UNAUTHORIZED
