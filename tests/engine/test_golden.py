"""Golden answers: asked while an image is built, and compared before its server is ready."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.engine.command import build_image, manifest

pytestmark = pytest.mark.engine

PLACE = "/opt/bundle/golden.json"


def docker_run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["docker", "run", "--rm", "--network=none", "--read-only", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_server_that_does_not_give_its_golden_answers_ends(folder: Path, name: str, tmp_path: Path) -> None:
    assert build_image("--models", manifest(folder, name)).code == 0
    image = f"{name}:latest"
    shown = docker_run("--entrypoint=cat", image, PLACE)
    content: dict[str, Any] = json.loads(shown.stdout)
    assert sorted(content["models"]) == ["embedder", "reranker"]
    rows = content["models"]["reranker"]["rows"]
    rows[3] = [rows[3][0] + 1]
    altered = tmp_path / "golden.json"
    altered.write_text(json.dumps(content))
    ended = docker_run(f"--volume={altered}:{PLACE}:ro", image)
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == (
        "error: model `reranker` does not give its golden answer: pair 3 is 1.0000 from it; "
        "its files were damaged, or this processor or ONNX Runtime computes differently"
    )
