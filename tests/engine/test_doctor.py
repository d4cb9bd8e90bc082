"""`build-image doctor` on the machine's own engine, and on private ones that are not as they should be."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builder import lockfile
from builder.engine import Engine
from tests.builder import data
from tests.engine.command import build_image, manifest
from tests.support import private_engine as private_engines

pytestmark = pytest.mark.engine

ALONE = {"HF_ALLOW_REMOTE_MODELS": "false", "SSL_CERT_FILE": "", "REQUESTS_CA_BUNDLE": "", "PIP_CERT": ""}


@pytest.fixture(scope="module")
def odd_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an engine without BuildKit by default that copies every file for every layer."""
    if not private_engines.can_run():
        pytest.skip("a private engine needs root and dockerd")
    root = tmp_path_factory.mktemp("odd-engine")
    (root / "daemon.json").write_text(json.dumps({"features": {"buildkit": False}}))
    options = ["--storage-driver=vfs", "--config-file", str(root / "daemon.json")]
    with private_engines.running(root, options=options) as started:
        yield started.address


def found(*flags: str | Path, **environment: str) -> tuple[int, dict[str, Any]]:
    """Run the command, and return its exit code and its findings by their checks."""
    ended = build_image("doctor", "--format", "json", *flags, environment={**ALONE, **environment})
    assert ended.err == ""
    return ended.code, {each["check"]: each for each in json.loads(ended.out)["findings"]}


def test_an_engine_that_is_well_has_no_problem(engine: Engine, folder: Path) -> None:
    path = manifest(folder, "well")
    assert build_image("lock", "--models", path).code == 0
    code, findings = found("--models", path)
    assert (code, {name: each["state"] for name, each in findings.items()}) == (
        0,
        dict.fromkeys(
            ("engine", "BuildKit", "store", "disk", "manifest", "registry", "Hub", "certificates", "clock"), "ok"
        ),
    )
    assert findings["engine"]["message"] == (f"Docker Engine {engine.version} at `{engine.address}`, {engine.platform}")
    assert findings["registry"]["message"] == "the manifest names none to push to"
    assert findings["clock"]["message"] == "within 60 s of the engine"


def test_the_room_that_the_manifest_needs_is_compared_with_the_engine_s(folder: Path) -> None:
    path = manifest(folder, "room")
    assert build_image("lock", "--models", path).code == 0
    _, findings = found("--models", path)
    assert " free, and the manifest needs at most " in findings["disk"]["message"]


def test_a_manifest_that_does_not_fit_is_a_problem_and_says_what_it_needs_room_for(
    tmp_path: Path,
) -> None:
    models = {"huge": {"task": "reranker", "repo": "example/huge"}}
    images = {"i": {"models": ["huge"], "kind": "models"}}
    (tmp_path / "models.yaml").write_text(json.dumps({"version": 1, "models": models, "images": images}))
    model = data.fetched("huge")
    files = {path: replace(file, size_bytes=10**15) for path, file in model.files.items()}
    lockfile.write(data.lock(replace(model, files=files)), tmp_path / "models.lock")
    code, findings = found("--models", tmp_path / "models.yaml")
    assert (code, findings["disk"]["state"], findings["disk"]["hint"]) == (
        1,
        "problem",
        "free space with `build-image prune`, then `docker builder prune`, or build fewer images with --image",
    )
    assert ": models in their stages 3e+06 GB, models in layers 3e+06 GB" in findings["disk"]["message"]


def test_an_engine_that_is_slow_or_without_buildkit_is_told(odd_engine: str, folder: Path) -> None:
    code, findings = found("--models", manifest(folder, "odd"), DOCKER_HOST=odd_engine)
    assert code == 0
    assert [(name, findings[name]["state"], findings[name]["message"]) for name in ("BuildKit", "store")] == [
        ("BuildKit", "warning", "the engine does not build with it by default (`Builder-Version` is `1`)"),
        ("store", "warning", "the classic one, with `vfs`, which copies every file for every layer"),
    ]
