"""A rendered folder is for `docker build`: the same Dockerfile, the same layers, without this program."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from builder.engine import Engine
from tests.engine.command import build_image, manifest, secret_flags

pytestmark = pytest.mark.engine


@pytest.mark.skipif(shutil.which("docker") is None, reason="the docker command is not installed")
def test_plain_docker_build_makes_the_same_layers(engine: Engine, folder: Path, name: str, tmp_path: Path) -> None:
    path = manifest(folder, name)
    rendered = build_image("render", "--models", path, "--output", tmp_path / "out")
    assert (rendered.code, rendered.out) == (0, f"{tmp_path}/out/{name}\n")
    command = ["docker", "build", "--quiet", "--tag", f"{name}:latest", *secret_flags(tmp_path)]
    subprocess.run([*command, str(tmp_path / "out" / name)], check=True, capture_output=True)
    ended = build_image("--models", path, "--build-only", "--report", tmp_path / "report.json")
    assert ended.code == 0, ended.err
    (ours,) = json.loads((tmp_path / "report.json").read_text())["images"]
    assert tuple(ours["layers"]) == engine.inspect_image(f"{name}:latest").layers
