"""A rendered Compose file run by Docker Compose: what serves, what an upgrade does, and a volume that is stale."""

import http.client
import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml

from builder import deployment
from builder.engine import Engine
from tests.engine import docker_command
from tests.engine.command import build_image, manifest
from tests.runtime.server import free_port
from tests.support import lookalikes

pytestmark = [pytest.mark.engine, docker_command.needs("compose", "version")]

CONTAINER_FORMAT = "{{json .HostConfig}}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Project:
    """A Compose project of one image, `name`, which is also its service."""

    name: str
    manifest: Path
    folder: Path
    port: int

    @property
    def file(self) -> Path:
        return self.folder / "compose.yaml"

    def build(self) -> None:
        ended = build_image("--models", self.manifest)
        assert ended.code == 0, ended.err

    def render(self, *flags: str) -> None:
        port = [] if "--internal" in flags else ["--port", str(self.port)]
        places = ("--models", self.manifest, "--output", self.folder)
        ended = build_image("render", "--format", "compose", *places, *port, *flags)
        assert (ended.code, ended.out) == (0, f"{self.file}\n")

    def volume(self) -> str:
        (volume,) = yaml.safe_load(self.file.read_text())["volumes"]
        return f"{self.name}_{volume}"

    def compose(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return docker("compose", "--project-name", self.name, "--file", str(self.file), *arguments)

    def up(self) -> None:
        ended = self.compose("up", "--detach", "--wait", "--wait-timeout", "120")
        assert ended.returncode == 0, ended.stderr

    def container(self) -> str:
        return f"{self.name}-{self.name}-1"


def docker(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)


@pytest.fixture
def project(engine: Engine, tmp_path: Path) -> Iterator[Project]:
    name = f"build-image-test-{uuid4().hex[:12]}"
    lookalikes.write_embedding_model(tmp_path / "embedder")
    lookalikes.write_reranker(tmp_path / "reranker")
    made = Project(name=name, manifest=manifest(tmp_path, name), folder=tmp_path / "out", port=free_port())
    yield made
    made.compose("down", "--volumes", "--timeout", "1")
    volumes = docker("volume", "ls", "--quiet", "--filter", f"name={name}_").stdout.split()
    docker("volume", "rm", "--force", "none", *volumes)
    engine.remove_image(f"{name}:latest")


def asked(port: int, path: str) -> Any:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
        connection.request("GET", path)
        return json.loads(connection.getresponse().read())


def revisions(port: int) -> list[str]:
    return [asked(port, f"/info?model={name}")["model_sha"] for name in ("embedder", "reranker")]


def upgrade(project: Project) -> None:
    """Change a file of the embedder, so that its revision is another."""
    (project.manifest.parent / "embedder/README.md").write_text("---\nlicense: mit\n---\n")
    project.build()


def test_an_upgrade_serves_the_new_models_and_a_stale_volume_is_refused_by_name(project: Project) -> None:
    project.build()
    project.render()
    project.up()
    stale, first = project.volume(), revisions(project.port)

    upgrade(project)
    started = project.compose("up", "--detach", "--wait", "--wait-timeout", "20")  # with the old file
    assert started.returncode != 0
    log = project.compose("logs", "--no-log-prefix").stdout
    told = (
        f"error: the volume `{stale}` at `/opt/hf-cache` hides the models that were baked, and holds others:"
        f" remove the containers that use it and run `docker volume rm {stale}`\n"
    )
    assert told in log
    assert "/onnx/model.onnx` is not a file" in log

    project.render()
    project.up()
    second = revisions(project.port)
    assert second[0] != first[0]
    assert second[1] == first[1]
    assert project.volume() != stale
    assert docker("volume", "rm", stale).returncode == 0  # as the old server says, nothing uses it any more


def test_a_service_is_locked_down(project: Project) -> None:
    project.build()
    project.render("--memory", "700", "--cpus", "1")
    project.up()
    host = json.loads(docker("inspect", "--format", CONTAINER_FORMAT, project.container()).stdout)
    wanted = {
        "ReadonlyRootfs": True,
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges:true"],
        "PidsLimit": 256,
        "Memory": 700 << 20,
        "MemorySwap": 700 << 20,
        "NanoCpus": 1_000_000_000,
        "PortBindings": {"8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(project.port)}]},
        "Tmpfs": {deployment.SCRATCH_DIRECTORY: "rw,noexec,nosuid,size=64m"},
    }
    assert {key: host[key] for key in wanted} == wanted
    (mount,) = json.loads(docker("inspect", "--format", "{{json .Mounts}}", project.container()).stdout)
    assert (mount["Type"], mount["Destination"], mount["RW"]) == ("volume", "/opt/hf-cache", False)
    assert docker("diff", project.container()).stdout == ""


def test_on_an_internal_network_a_service_reaches_nothing_and_is_reached_there(project: Project) -> None:
    project.build()
    project.render("--internal")
    project.up()
    reach = "import socket; socket.create_connection(('1.1.1.1', 53), 3)"
    left = project.compose("exec", project.name, "python3", "-c", reach)
    assert "Network is unreachable" in left.stderr
    run: Sequence[str] = ("run", "--rm", "--no-deps", "--entrypoint", "python3", project.name, "-c")
    ask = f"import urllib.request as r; print(r.urlopen('http://{project.name}:8080/readyz').status)"
    assert project.compose(*run, ask).stdout == "200\n"
