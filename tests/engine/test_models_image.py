"""Images of weights alone, and the proof that an image holds what was locked."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from builder import bundle, lockfile, smoke
from builder.buildkit import BuildRequest, Cancellation, build
from builder.context import assemble
from builder.engine import Engine
from builder.errors import SmokeFailedError
from builder.lock import LockedModel
from tests.builder import data
from tests.engine.command import build_image

pytestmark = pytest.mark.engine

EMPTY_OBJECT = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"  # sha256 of `{}`
LOOKALIKES = {"embedder": "embedding", "reranker": "reranker"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Built:
    """A server and an image of weights, made in one run from one manifest."""

    manifest: Path
    server: dict[str, Any]
    weights: dict[str, Any]

    @property
    def models(self) -> tuple[LockedModel, ...]:
        """The models of both images."""
        return tuple(lockfile.read(self.manifest.with_suffix(".lock")).models.values())

    @property
    def file(self) -> str:
        """The path, in either image, of a small file of the first model."""
        model = self.models[0]
        return f"/opt/hf-cache/hub/models--local--{model.name}/snapshots/{model.revision}/config.json"


@pytest.fixture(scope="module")
def built(engine: Engine, folder: Path) -> Iterator[Built]:
    name = f"build-image-test-{uuid4().hex[:12]}"
    manifest, report = folder / "weights.yaml", folder / "weights.json"
    images = {f"{name}-{kind}": {"kind": kind, "models": list(LOOKALIKES)} for kind in ("server", "models")}
    models = {model: {"task": task, "path": model} for model, task in LOOKALIKES.items()}
    manifest.write_text(json.dumps({"version": 1, "models": models, "images": images}))
    ended = build_image("--models", manifest, "--report", report)
    assert ended.code == 0, ended.err
    server, weights = json.loads(report.read_text())["images"]
    yield Built(manifest=manifest, server=server, weights=weights)
    for image in (server, weights):
        engine.remove_image(image["references"][0])


@pytest.fixture(scope="module")
def corrupt(engine: Engine, built: Built) -> Iterator[str]:
    """The server's image with another byte in one file of a model."""
    dockerfile = f"FROM {built.server['references'][0]}\nCOPY config.json {built.file}\n"
    context = assemble({"Dockerfile": dockerfile.encode(), "config.json": b"{}"})
    image_id = build(engine, BuildRequest(context=context, shared_key="corrupt"), on_event=lambda _: None)
    yield image_id
    engine.remove_image(image_id)


@pytest.fixture(scope="module")
def forged(engine: Engine, built: Built) -> Iterator[str]:
    """The server's image with another byte in one file, and with a bundle that agrees with it."""
    named = lockfile.read(built.manifest.with_suffix(".lock")).models
    model = named["embedder"]
    file = replace(model.files["config.json"], sha256=EMPTY_OBJECT, size_bytes=2)
    models = [replace(model, files={**model.files, "config.json": file}), named["reranker"]]
    copies = f"COPY config.json {built.file}\nCOPY bundle.json /opt/bundle/bundle.json\n"
    dockerfile = f"FROM {built.server['references'][0]}\n{copies}"
    context = assemble(
        {"Dockerfile": dockerfile.encode(), "config.json": b"{}", "bundle.json": bundle.document(models)}
    )
    image_id = build(engine, BuildRequest(context=context, shared_key="forged"), on_event=lambda _: None)
    yield image_id
    engine.remove_image(image_id)


def lines(built: Built) -> str:
    return "".join(
        f"{model.name}  {len(model.files)} files  {model.size_bytes / 1000:.3g} kB  as locked\n"
        for model in built.models
    )


def test_weights_are_the_same_layers_as_in_a_server(built: Built) -> None:
    # From the server's end: bill of materials, golden answers, its code, two models.
    assert built.weights["layers"] == built.server["layers"][-5:-3]


def test_an_image_of_weights_is_tested_by_reading_its_files(built: Built) -> None:
    assert [check["name"] for check in built.weights["checks"]] == ["files", "gate secrets"]
    assert built.weights["checks"][0]["detail"].endswith(", every one as locked")


def test_an_image_of_weights_sets_no_variable_of_a_server(engine: Engine, built: Built) -> None:
    details = engine.inspect_image(built.weights["id"])
    assert [line for line in details.environment if not line.startswith("PATH=")] == []


def test_a_server_is_verified_by_the_digests_that_it_carries(built: Built) -> None:
    ended = build_image("verify", built.server["references"][0])
    assert (ended.code, ended.out, ended.err) == (0, lines(built), "")


@pytest.mark.parametrize("kind", ["server", "weights"])
def test_an_image_of_either_kind_is_verified_by_a_lock(built: Built, kind: str) -> None:
    ended = build_image("verify", getattr(built, kind)["id"], "--models", built.manifest)
    assert (ended.code, ended.out, ended.err) == (0, lines(built), "")


def test_an_image_of_weights_without_a_manifest_is_refused(built: Built) -> None:
    name = built.weights["references"][0]
    ended = build_image("verify", name)
    assert (ended.code, ended.out, ended.err) == (
        2,
        "",
        f"error: `{name}` carries no bundle that says what should be in it\n"
        f"hint: compare it with a lock: `build-image verify {name} --models models.yaml`\n",
    )


@pytest.mark.parametrize("flags", [[], ["--models"]])
def test_a_corrupt_file_is_named_with_both_digests(built: Built, corrupt: str, flags: list[str]) -> None:
    ended = build_image("verify", corrupt, *flags, *([built.manifest] * len(flags)))
    locked = built.models[0].files["config.json"].sha256
    assert ended.code == 1
    assert [line.rpartition("  ")[2] for line in ended.out.splitlines()] == ["1 not as locked", "as locked"]
    assert ended.err == (
        f"error: `{corrupt}` does not hold what was locked\n"
        f"embedder: `{built.file}` has sha256 {EMPTY_OBJECT}, and {locked} was locked\n"
    )


def test_a_file_that_was_altered_together_with_the_bundle_is_found_by_the_label(forged: str) -> None:
    ended = build_image("verify", forged)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith(
        f"error: `{forged}` does not hold the bundle that was baked: `/opt/bundle/bundle.json` is "
    )


def test_an_image_of_weights_with_a_corrupt_file_fails_its_smoke_test(
    engine: Engine, built: Built, corrupt: str
) -> None:
    plan = data.image(*built.models, kind="models")
    with pytest.raises(SmokeFailedError) as caught:
        smoke.read(engine, plan, image_id=corrupt, cancellation=Cancellation())
    assert caught.value.message == "smoke test: files: not every one is as it was locked"
    assert [line.partition(" has ")[0] for line in caught.value.output] == [f"embedder: `{built.file}`"]


def test_an_interrupt_during_the_reading_ends_the_smoke_test(engine: Engine, built: Built) -> None:
    cancellation = Cancellation()
    cancellation.cancel()
    plan = data.image(*built.models, kind="models")
    with pytest.raises(KeyboardInterrupt):
        smoke.read(engine, plan, image_id=built.weights["id"], cancellation=cancellation)


def test_reading_an_image_leaves_no_container(engine: Engine, built: Built) -> None:
    with engine.archive(built.weights["id"], built.file) as stream:
        assert stream.read(1) != b""
    held = {container.image_id for container in engine.containers()}
    assert built.weights["id"] not in held
