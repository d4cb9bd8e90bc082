"""The whole command against a real engine: what a release engineer sees, and what is left behind."""

import io
import json
import os
import re
import shutil
import signal
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from builder.engine import ContainerOptions, Engine
from tests.engine.command import COMMAND, ROOT, build_image, manifest
from tests.support import lookalikes
from tests.support.hub_server import HubServer
from tests.support.private_engine import PrivateEngine

pytestmark = pytest.mark.engine

# A recipe under which every text of the look-alike has the same vector, that of its first special token.
WRONG = {"output": "last_hidden_state", "pooling": "cls", "normalize": True}
BASE = "debian:bookworm-slim"
TOKEN = f"hf_{uuid4().hex}"


def held_files(engine: Engine, image: str) -> Iterator[tuple[str, bytes]]:
    """Yield every file of every layer of an image, and the texts that describe the image."""
    with engine.saved_image(image) as stream, tarfile.open(fileobj=stream, mode="r|") as outer:
        for member in outer:
            content = outer.extractfile(member)
            if content is not None:
                yield from _unpacked(member.name, content.read())


def _unpacked(name: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the files of a layer, whatever its compression; what is no layer stands for itself."""
    try:
        with tarfile.open(fileobj=io.BytesIO(data)) as layer:
            for member in layer:
                content = layer.extractfile(member) if member.isfile() else None
                yield member.name, content.read() if content else b""
    except tarfile.ReadError:
        yield name, data


def test_an_image_is_built_tested_and_tagged(engine: Engine, folder: Path, name: str) -> None:
    report = folder / "report.json"
    ended = build_image("--models", manifest(folder, name), "--report", report)
    assert ended.code == 0, ended.err
    details = engine.inspect_image(f"{name}:latest")
    (image,) = json.loads(report.read_text())["images"]
    assert (image["id"], image["result"], image["references"]) == (details.id, "tagged", [f"{name}:latest"])
    assert [check["name"] for check in image["checks"]] == [
        "starts",
        "embedder embeds",
        "reranker reranks",
        "selftest",
        "writes nothing",
        "gate secrets",
    ]


def test_a_second_run_is_told_that_nothing_has_changed(folder: Path, name: str) -> None:
    path = manifest(folder, name)
    first, second = (build_image("--models", path) for _ in range(2))
    assert (first.code, second.code) == (0, 0)
    assert second.err == "nothing has changed since these images were made; --no-cache makes them again\n"
    assert second.columns()[1] == [*first.columns()[1][:-1], "unchanged"]


def test_without_a_memory_every_step_is_cached_and_the_image_is_the_same(
    folder: Path, name: str, tmp_path: Path
) -> None:
    path = manifest(folder, name)
    first = build_image("--models", path, "--build-only")
    second = build_image("--models", path, "--build-only", environment={"XDG_CACHE_HOME": str(tmp_path)})
    assert (first.code, second.code) == (0, 0)
    assert first.columns() == second.columns()
    steps = [line for line in second.err.splitlines() if re.search(r"\] (RUN|COPY) ", line)]
    assert steps != []
    assert [line for line in steps if not line.startswith("  cached  ")] == []


def test_model_layers_are_the_same_in_two_uncached_builds(engine: Engine, folder: Path, name: str) -> None:
    reports = [folder / "first.json", folder / "second.json"]
    path = manifest(folder, name)
    for report in reports:
        ended = build_image("--models", path, "--no-cache", "--build-only", "--report", report)
        assert ended.code == 0, ended.err
    first, second = (json.loads(report.read_text())["images"][0] for report in reports)
    assert first["layers"] == second["layers"]
    assert len(set(first["layers"])) == len(first["layers"])
    engine.remove_image(first["id"])


def test_a_failed_smoke_test_leaves_no_tag_and_shows_the_server_s_words(
    engine: Engine, folder: Path, name: str
) -> None:
    ended = build_image("--models", manifest(folder, name, **WRONG))
    assert ended.code == 1
    assert (ended.columns()[1][1], ended.columns()[1][-1]) == ("-", "failed")
    assert f"error: {name}: smoke test: embedder embeds: a vector of zeros\n" in ended.err
    assert re.search(r"^    \| \{.*\}$", ended.err, re.MULTILINE), "the server's last log lines are missing"
    assert not engine.has_image(f"{name}:latest")


def test_one_image_s_failure_stops_no_other(engine: Engine, folder: Path, name: str) -> None:
    path = manifest(folder, name)
    content = json.loads(path.read_text())
    content["models"]["broken"] = {
        **content["models"]["embedder"],
        "output": "last_hidden_state",
        "pooling": "cls",
        "normalize": True,
    }
    content["images"] = {"broken": {"models": ["broken"], "repository": f"{name}-broken"}, **content["images"]}
    path.write_text(json.dumps(content))
    ended = build_image("--models", path, "-j", "2")
    assert ended.code == 1
    assert [row[-1] for row in ended.columns()] == ["result", "failed", "tagged"]
    assert engine.has_image(f"{name}:latest")
    assert not engine.has_image(f"{name}-broken:latest")


def wait_for(text: str, process: subprocess.Popen[str]) -> None:
    """Read what `process` tells until a line has `text` in it."""
    assert process.stderr is not None
    assert any(text in line for line in process.stderr), f"the build ended without `{text}`"


def test_an_interrupt_ends_the_build_on_the_engine_and_leaves_nothing(engine: Engine, folder: Path, name: str) -> None:
    command = [COMMAND, "--models", str(manifest(folder, name)), "--no-cache"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for("bake-model.sh", process)  # the models are done, and the dependencies still download
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err.rstrip().endswith("interrupted")
    assert not engine.has_image(f"{name}:latest")
    ended = build_image("--models", manifest(folder, name), "--build-only")
    assert ended.code == 0, ended.err


def test_an_engine_that_dies_during_a_build_ends_with_4(
    engine: Engine, private_engine: PrivateEngine, folder: Path, name: str
) -> None:
    private_engine.take(engine, BASE)
    process = subprocess.Popen(
        [COMMAND, "--models", str(manifest(folder, name)), "--build-network", "host"],
        env={**os.environ, "DOCKER_HOST": private_engine.address},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for("bake-model.sh", process)
    private_engine.die()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 4
    assert re.search(r"^error: .*engine.*\nhint: start Docker", err, re.IGNORECASE | re.MULTILINE), err


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    """A stand-in Hub that gives the two default repositories to whoever has the token."""
    directory = tmp_path_factory.mktemp("hub")
    lookalikes.write_lookalikes(directory)
    with HubServer(directory, token=TOKEN) as server:
        yield server


@pytest.fixture(scope="module")
def default_image(engine: Engine, hub: HubServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The report on the image of the default manifest, unmodified, built from the stand-in Hub."""
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copy(ROOT / "models.yaml", folder)  # its lock is written beside it
    git = ["git", "-C", str(folder), "-c", "user.name=test", "-c", "user.email=test@example.com"]
    for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message", "models"]):
        subprocess.run([*git, *command], check=True)
    report = folder / "report.json"
    ended = build_image(
        *("--models", folder / "models.yaml", "--build-network", "host", "--report", report),
        environment={"HF_ENDPOINT": hub.endpoint, "HF_TOKEN": TOKEN, "NO_PROXY": "127.0.0.1,localhost"},
    )
    assert ended.code == 0, ended.err
    assert TOKEN not in ended.out + ended.err
    (image,) = json.loads(report.read_text())["images"]
    assert TOKEN not in (folder / "models.lock").read_text()
    yield image
    engine.remove_image(image["id"])


def test_the_default_manifest_builds_from_a_hub(default_image: dict[str, Any]) -> None:
    assert default_image["result"] == "tagged"
    assert [(model["name"], model["source"]) for model in default_image["models"]] == [
        ("embeddinggemma-300m", "onnx-community/embeddinggemma-300m-ONNX"),
        ("jina-reranker-v2", "jinaai/jina-reranker-v2-base-multilingual"),
    ]
    assert default_image["models"][0]["revision"] == "5090578d9565bb06545b4552f76e6bc2c93e4a66"
    repositories = {reference.rpartition(":")[0] for reference in default_image["references"]}
    assert repositories == {"registry.example.com/search/retrieval"}
    assert default_image["references"][-1].endswith(":latest")


def test_the_token_is_nowhere_in_the_image(engine: Engine, default_image: dict[str, Any]) -> None:
    details = engine.inspect_image(default_image["id"])
    told = "\n".join([*engine.image_history(details.id), *details.environment, *map(str, details.labels.items())])
    assert TOKEN not in told
    commit = default_image["models"][0]["revision"]
    files = [(name, TOKEN.encode() in data, commit.encode() in data) for name, data in held_files(engine, details.id)]
    assert [name for name, has_token, _ in files if has_token] == []
    assert "opt/bundle/bundle.json" in [name for name, _, has_commit in files if has_commit]  # what is there is found


def test_no_secret_mount_left_a_file_in_the_image(engine: Engine, default_image: dict[str, Any]) -> None:
    names = [name for name, _ in held_files(engine, default_image["id"])]
    assert [name for name in names if name.startswith(("run/secrets/", "stages/", "dev/shm/", "kept/"))] == []
    assert any(name.startswith("opt/hf-cache/hub/") for name in names)


def test_the_cache_in_the_image_has_the_contract_s_layout(engine: Engine, default_image: dict[str, Any]) -> None:
    script = "cd /opt/hf-cache && find . -printf '%p %y %m %U:%G %l\\n' | sort"
    with engine.run_container(ContainerOptions(image=default_image["id"])) as container:
        listed = container.exec(["sh", "-c", script]).stdout.decode().splitlines()
    revision = default_image["models"][0]["revision"]
    repository = "./hub/models--onnx-community--embeddinggemma-300m-ONNX"
    link = f"../../hub/models--onnx-community--embeddinggemma-300m-ONNX/snapshots/{revision}"
    assert f"{repository}/refs/main f 644 0:0 " in listed
    assert f"{repository}/trees/{revision}.json f 644 0:0 " in listed
    assert f"{repository}/snapshots/{revision}/onnx/model.onnx_data f 644 0:0 " in listed
    assert f"./transformers/onnx-community/embeddinggemma-300m-ONNX l 777 0:0 {link}" in listed
    assert {line.split()[1] for line in listed if line.startswith("./hub/")} == {"d", "f"}
