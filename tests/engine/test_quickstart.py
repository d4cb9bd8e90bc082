"""The README's first command, with the real model."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from builder.engine import Engine
from tests.engine.command import ROOT, build_image

pytestmark = pytest.mark.engine

IMAGE = "build-image/quickstart:latest"
ABOUT_ACCESS = {
    "To reset a forgotten password, open Settings and choose Security.",
    "If you cannot log in, ask an administrator to unlock your user.",
}


def test_the_quickstart_s_image_searches_and_reranks_without_a_network(engine: Engine, tmp_path: Path) -> None:
    subprocess.run([sys.executable, ROOT / "examples/export_minilm.py"], check=True)
    ended = build_image("--models", ROOT / "examples/quickstart.yaml", "--report", tmp_path / "report.json")
    assert ended.code == 0, ended.err
    (image,) = json.loads((tmp_path / "report.json").read_text())["images"]
    assert image["id"] == engine.inspect_image(IMAGE).id
    answers = subprocess.run(
        [sys.executable, ROOT / "examples/quickstart.py"], check=True, capture_output=True, text=True
    )
    search, rerank = answers.stdout.strip().split("\n\n")
    for title, block in (("semantic search", search), ("rerank", rerank)):
        first, *ranked = block.splitlines()
        assert first == f"{title}: How do I get back into my account?"
        assert {line.split(maxsplit=1)[1] for line in ranked[:2]} == ABOUT_ACCESS
