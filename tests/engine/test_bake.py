"""What is rendered for bake, and what is built with a builder of buildx, is what this program builds itself."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder import bake, network
from builder.engine import ContainerOptions, Engine
from tests.engine import docker_command
from tests.engine.command import COMMAND, build_image, manifest

pytestmark = [pytest.mark.engine, docker_command.needs("buildx", "version")]


def secret_variables(folder: Path) -> dict[str, str]:
    """Return the variables in which a bake file looks for the secrets of this machine."""
    secrets = network.secrets(os.environ, ca_bundle=network.ca_bundle_path(os.environ))
    variables = {variable: secrets.get(name, b"").decode() for name, variable in bake.TEXT_VARIABLES.items()}
    for name, variable in bake.FILE_VARIABLES.items():
        if name in secrets:
            (folder / name).write_bytes(secrets[name])
            variables[variable] = name
    return variables


@pytest.fixture
def pair(engine: Engine, folder: Path, name: str) -> Iterator[tuple[Path, str]]:
    """A manifest of an image that serves, and one of weights that shares a model with it."""
    path = manifest(folder, name)
    content = json.loads(path.read_text())
    content["images"][f"{name}-weights"] = {"models": ["embedder"], "kind": "models"}
    path.write_text(json.dumps(content))
    yield path, name
    engine.remove_image(f"{name}-weights:latest")


def test_bake_makes_the_same_layers_and_a_shared_stage_once(
    engine: Engine, pair: tuple[Path, str], tmp_path: Path
) -> None:
    path, name = pair
    rendered = build_image("render", "--models", path, "--format", "bake", "--output", tmp_path / "out")
    assert (rendered.code, rendered.out) == (0, f"{tmp_path}/out/docker-bake.json\n")
    baked = subprocess.run(
        ["docker", "buildx", "bake", "--progress", "plain", "--no-cache"],
        cwd=tmp_path / "out",
        env={**os.environ, **secret_variables(tmp_path / "out")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert baked.returncode == 0, baked.stderr
    told = [line for line in baked.stderr.splitlines() if " RUN " in line and '"local/embedder"' in line]
    assert len({line.split()[0] for line in told}) == 1, told  # which begins with the number of its step
    ended = build_image("--models", path, "--build-only", "--report", tmp_path / "report.json")
    assert ended.code == 0, ended.err
    ours = {
        image["name"]: tuple(image["layers"]) for image in json.loads((tmp_path / "report.json").read_text())["images"]
    }
    weights = f"{name}-weights"
    assert engine.inspect_image(f"{weights}:latest").layers == ours[weights]
    assert engine.inspect_image(f"{name}:latest").layers == ours[name]


def test_what_a_builder_built_is_tested_and_tagged(engine: Engine, folder: Path, name: str, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    ended = build_image("--models", manifest(folder, name), "--builder", "default", "--report", report)
    assert ended.code == 0, ended.err
    (image,) = json.loads(report.read_text())["images"]
    assert (image["result"], image["id"]) == ("tagged", engine.inspect_image(f"{name}:latest").id)
    assert [check["name"] for check in image["checks"]][-2:] == ["writes nothing", "gate secrets"]
    assert f"{name}: [model-embedder 2/2] RUN bake-model.sh" in ended.err


def test_a_change_that_keeps_every_size_reaches_a_builder(engine: Engine, folder: Path, name: str) -> None:
    prompts = []
    for prompt in ("one: ", "two: "):
        path = manifest(folder, name, prompts={"query": prompt})
        ended = build_image("--models", path, "--builder", "default")
        assert ended.code == 0, ended.err
        with engine.run_container(ContainerOptions(image=f"{name}:latest")) as container:
            bundle = json.loads(container.exec(["cat", "/opt/bundle/bundle.json"]).stdout)
        prompts.append(bundle["models"][0]["prompts"]["query"])
    assert prompts == ["one: ", "two: "]


def test_a_step_that_fails_on_a_builder_is_told_as_any_other(folder: Path, name: str) -> None:
    path = manifest(folder, name)
    content = json.loads(path.read_text())
    content["defaults"] = {"base": "localhost:1/nothing:none"}
    path.write_text(json.dumps(content))
    ended = build_image("--models", path, "--builder", "default")
    assert ended.code == 1
    assert f"error: {name}: " in ended.err
    assert "hint: make the base image available for this platform" in ended.err


def test_a_builder_that_is_not_there_ends_with_2_before_the_lock_is_written(folder: Path, name: str) -> None:
    path = manifest(folder, name)
    ended = build_image("--models", path, "--builder", f"{name}-far")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"error: `{name}-far` is no builder: ")
    assert not path.with_suffix(".lock").exists()


def test_supplies_are_for_this_engine_alone(folder: Path, name: str) -> None:
    ended = build_image("--models", manifest(folder, name), "--from", folder, "--builder", "default")
    assert ended.code == 2
    assert ended.err.startswith("error: --builder builds with a network, and --from without one\n")


def test_an_interrupt_ends_the_build_on_the_builder(engine: Engine, folder: Path, name: str) -> None:
    command = [COMMAND, "--models", str(manifest(folder, name)), "--no-cache", "--builder", "default"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert any("bake-model.sh" in line for line in process.stderr)  # and the dependencies still download
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err.rstrip().endswith("interrupted")
    assert not engine.has_image(f"{name}:latest")
