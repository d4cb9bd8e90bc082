"""An engine whose disk fills up while an image is put together: what is told, what is left, and what goes on then."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.engine import Engine
from tests.engine.command import COMMAND
from tests.support import lookalikes
from tests.support import private_engine as private_engines

pytestmark = pytest.mark.engine

BASE = "debian:bookworm-slim"
NAME = "full-disk:latest"
WEIGHTS_BYTES = 200_000_000
DISK_BYTES = 2_000_000_000


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    lookalikes.write_embedding_model(tmp_path / "embedder")
    with (tmp_path / "embedder/onnx/model.onnx_data").open("ab") as weights:
        weights.write(os.urandom(WEIGHTS_BYTES))
    models = {"embedder": {"task": "embedding", "path": "embedder"}}
    images = {"full-disk": {"models": ["embedder"], "kind": "models"}}
    (tmp_path / "models.yaml").write_text(json.dumps({"version": 1, "models": models, "images": images}))
    return tmp_path / "models.yaml"


@pytest.fixture
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A small disk of its own for a private engine."""
    if not private_engines.can_run():
        pytest.skip("a private engine needs root and dockerd")
    folder = tmp_path_factory.mktemp("disk")
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def fill(disk: Path) -> Path:
    """Write a file that takes all that a disk has left, while others write there too."""
    path, step, size = disk / "ballast", DISK_BYTES, 0
    with path.open("wb") as ballast:
        while step >= os.statvfs(disk).f_frsize:
            try:
                os.posix_fallocate(ballast.fileno(), size, step)
                size += step
            except OSError:  # that much is not left
                step //= 2
    return path


@pytest.mark.parametrize(
    ("is_containerd", "last_line"),
    [(False, r"RUN bake-model\.sh"), (True, r"COPY --from=model-embedder")],
    ids=["while layers are made", "while layers are exported"],
)
def test_a_disk_that_fills_up_is_told_and_with_room_again_the_next_run_finishes(
    engine: Engine, manifest: Path, disk: Path, monkeypatch: pytest.MonkeyPatch, last_line: str, *, is_containerd: bool
) -> None:
    configuration = manifest.with_name("daemon.json")
    configuration.write_text(json.dumps({"features": {"containerd-snapshotter": is_containerd}}))
    with private_engines.running(disk, options=[f"--config-file={configuration}"]) as started:
        started.take(engine, BASE)
        monkeypatch.setenv("DOCKER_HOST", started.address)
        monkeypatch.setenv("XDG_CACHE_HOME", str(manifest.parent / "memory"))
        process = start(manifest)
        assert process.stderr is not None
        told = ""
        for line in process.stderr:
            told += line
            if re.search(last_line, line):
                break
        ballast = fill(disk)
        _, err = process.communicate(timeout=120)
        told += err
        assert (process.returncode, "Traceback" in told) == (1, False), told
        assert re.search(r"^error: full-disk: .*no space left on device", told, re.MULTILINE), told
        assert "hint: free space on the engine's disk: `docker builder prune`\n" in told
        with Engine.connect() as full:
            assert (full.has_image(NAME), full.containers()) == (False, ())
        ballast.unlink()
        again = start(manifest)
        _, err = again.communicate(timeout=120)
        assert (again.returncode, bool(re.search(r"^  cached  .*bake-model\.sh", err, re.MULTILINE))) == (0, True), err
        with Engine.connect() as freed:
            assert (freed.has_image(NAME), freed.containers()) == (True, ())


def start(manifest: Path) -> "subprocess.Popen[str]":
    command = [COMMAND, "--models", str(manifest)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
