"""What a run does where the folder of the manifest can't be written: a checkout in a pipeline, a read-only mount."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import lookalikes

COMMAND = str(Path(sys.executable).with_name("build-image"))
MANIFEST = "version: 1\nmodels: {m: {task: reranker, path: model}}\nimages: {i: {models: [m]}}\n"
# Root may write anywhere; without this capability it may write what its permissions let it.
OBEYING = ["setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override"] if os.geteuid() == 0 else []
HINT = "hint: run `build-image lock` where it can be written, commit `models.lock`, and build here with --locked\n"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder with a manifest and its model; a test that makes it read-only need not undo that."""
    project = tmp_path / "project"
    lookalikes.write_reranker(project / "model")
    (project / "models.yaml").write_text(MANIFEST)
    yield project
    project.chmod(0o755)


def run(folder: Path, *arguments: str) -> tuple[int, str, str]:
    environment = {
        **os.environ,
        "DOCKER_HOST": f"unix://{folder}/nothing.sock",
        "XDG_CACHE_HOME": str(folder.with_name("cache")),
    }
    command = [*OBEYING, COMMAND, *arguments]
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return ended.returncode, ended.stdout, ended.stderr


def test_a_lock_that_has_to_be_written_is_named_with_what_to_do(folder: Path) -> None:
    folder.chmod(0o555)
    assert run(folder, "render", "--output", "../rendered") == (
        2,
        "",
        f"error: the lock `models.lock` can't be written: Permission denied\n{HINT}",
    )


def test_a_lock_that_has_to_change_is_left_as_it_is(folder: Path) -> None:
    run(folder, "lock")
    locked = (folder / "models.lock").read_bytes()
    (folder / "models.yaml").write_text(MANIFEST.replace("path: model", "path: model, max_length: 77"))
    folder.chmod(0o555)
    code, _, err = run(folder, "render", "--output", "../rendered")
    assert (code, err) == (2, f"error: the lock `models.lock` can't be written: Permission denied\n{HINT}")
    assert ((folder / "models.lock").read_bytes(), len(list(folder.iterdir()))) == (locked, 3)


def test_a_lock_that_is_right_need_not_be_written(folder: Path) -> None:
    run(folder, "lock")
    folder.chmod(0o555)
    assert run(folder, "render", "--output", "../rendered") == (0, "../rendered/i\n", "")
