"""A builder that is not the engine: the driver `remote` of buildx, to a BuildKit that this engine shares nothing with.

It is that of a private engine with containerd's store, in a network namespace with nothing but a registry for caches.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from builder.engine import Engine
from tests.engine import docker_command, program
from tests.engine.command import build_image
from tests.support import buildkit_relay, lookalikes
from tests.support import private_engine as private_engines

pytestmark = [pytest.mark.engine, docker_command.needs("buildx", "version")]

BASE = "debian:bookworm-slim"
REGISTRY = "127.0.0.1:5000"
CONNECT = "import socket; socket.create_connection(('127.0.0.1', 5000)).close()"
KINDS = (
    *("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"),
    *("application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"),
)
FETCH = """
import sys, urllib.request
asked = urllib.request.Request(sys.argv[1], headers={"Accept": sys.argv[2]})
print(urllib.request.urlopen(asked).read().decode())
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Far:
    """A builder called `far`, and the variables by which buildx finds it."""

    engine: private_engines.PrivateEngine
    environment: dict[str, str]

    def run(self, *command: str | Path, cwd: Path | None = None) -> str:
        """Run a command to a good end, and return what it told."""
        given = {**os.environ, **self.environment}
        ended = subprocess.run(list(map(str, command)), cwd=cwd, env=given, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout + ended.stderr

    @property
    def inside(self) -> tuple[str, ...]:
        """What runs a command where the registry is."""
        return ("nsenter", "--net", "--target", str(self.engine.process.pid))

    def manifest(self, repository: str, reference: str) -> Any:
        """Read a manifest of the registry."""
        url = f"http://{REGISTRY}/v2/{repository}/manifests/{reference}"
        return json.loads(self.run(*self.inside, sys.executable, "-c", FETCH, url, ", ".join(KINDS)))


@pytest.fixture(scope="module")
def far(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Far]:
    if not private_engines.can_run():
        pytest.skip("a private engine needs root and dockerd")
    folder = tmp_path_factory.mktemp("far")
    (folder / "engine").mkdir()
    (folder / "daemon.json").write_text(json.dumps({"features": {"containerd-snapshotter": True}}))
    with private_engines.running(folder / "engine", options=[f"--config-file={folder}/daemon.json"]) as started:
        started.take(engine, BASE)
        with buildkit_relay.served(started.address, folder=folder) as address:
            builder = Far(engine=started, environment={"BUILDX_CONFIG": str(folder / "buildx")})
            builder.run("docker", "buildx", "create", "--name", "far", "--driver", "remote", address)
            yield builder


@pytest.fixture
def weights(tmp_path: Path, name: str) -> Path:
    """A manifest of an image of weights."""
    lookalikes.write_embedding_model(tmp_path / "embedder")
    models = {"embedder": {"task": "embedding", "path": "embedder"}}
    content = {"version": 1, "models": models, "images": {name: {"models": ["embedder"], "kind": "models"}}}
    (tmp_path / "models.yaml").write_text(json.dumps(content))
    return tmp_path / "models.yaml"


def test_what_a_remote_builder_made_is_loaded_tested_and_tagged_here(
    engine: Engine, far: Far, weights: Path, name: str, tmp_path: Path
) -> None:
    report = tmp_path / "report.json"
    ended = build_image("--models", weights, "--builder", "far", "--report", report, environment=far.environment)
    assert ended.code == 0, ended.err
    (image,) = json.loads(report.read_text())["images"]
    assert (image["result"], image["id"]) == ("tagged", engine.inspect_image(f"{name}:latest").id)
    here = build_image("--models", weights, "--build-only", "--report", report)
    assert here.code == 0, here.err
    assert json.loads(report.read_text())["images"][0]["layers"] == image["layers"]


@pytest.fixture
def registry(far: Far, tmp_path: Path) -> Iterator[str]:
    """A registry that the builder reaches on its own loopback."""
    program_file = shutil.which("docker-registry")
    if program_file is None:
        pytest.skip("docker-registry is not installed")
    settings = {"version": 0.1, "storage": {"filesystem": {"rootdirectory": str(tmp_path / "data")}}}
    (tmp_path / "registry.yml").write_text(json.dumps({**settings, "http": {"addr": REGISTRY}}))
    subprocess.run([*far.inside, "ip", "link", "set", "lo", "up"], check=True)

    def answers() -> bool:
        asked = subprocess.run([*far.inside, sys.executable, "-c", CONNECT], check=False, stderr=subprocess.DEVNULL)
        return asked.returncode == 0

    command: tuple[str | Path, ...] = (*far.inside, program_file, "serve", tmp_path / "registry.yml")
    with program.running(*command, log=tmp_path / "log", answers=answers):
        yield REGISTRY


def test_a_cache_that_one_builder_wrote_to_a_registry_spares_another_the_step(
    far: Far, weights: Path, registry: str, tmp_path: Path
) -> None:
    caches = f"{registry}/caches"
    flags = ("--cache-from", caches, "--cache-to", caches, "--output", tmp_path / "out")
    rendered = build_image("render", "--models", weights, "--format", "bake", *flags)
    assert rendered.code == 0, rendered.err
    baking = ("docker", "buildx", "bake", "--builder", "far", "--progress", "plain", "--set", "*.output=type=cacheonly")
    assert "exporting cache to registry" in far.run(*baking, cwd=tmp_path / "out")
    far.run("docker", "buildx", "prune", "--builder", "far", "--force", "--all")
    told = far.run(*baking, cwd=tmp_path / "out")
    (step,) = steps_of(told, "bake-model.sh")
    assert f"{step} CACHED" in told.splitlines()


def steps_of(told: str, script: str) -> set[str]:
    """Name the steps that run a script, as plain progress numbers them."""
    return {line.split()[0] for line in told.splitlines() if " RUN " in line and script in line}


def test_platforms_of_an_image_are_one_manifest_list_and_its_model_is_made_once(
    far: Far, weights: Path, registry: str, name: str, tmp_path: Path
) -> None:
    content = json.loads(weights.read_text())
    content["images"][name]["repository"] = f"{registry}/{name}"
    weights.write_text(json.dumps(content))
    flags = ("--platform", "linux/amd64", "--platform", "linux/arm64", "--output", tmp_path / "out")
    rendered = build_image("render", "--models", weights, "--format", "bake", *flags)
    assert rendered.code == 0, rendered.err
    baking = ("docker", "buildx", "bake", "--builder", "far", "--progress", "plain", "--no-cache", "--push")
    told = far.run(*baking, "--provenance=false", cwd=tmp_path / "out")
    assert len(steps_of(told, "bake-model.sh")) == 1
    listed = far.manifest(name, "latest")["manifests"]
    assert [entry["platform"] for entry in listed] == [
        {"architecture": "amd64", "os": "linux"},
        {"architecture": "arm64", "os": "linux"},
    ]
    first, second = (far.manifest(name, entry["digest"])["layers"] for entry in listed)
    assert first == second
