import dataclasses
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder import lock, manifest
from builder.errors import InputError
from builder.lock import Lock, OutdatedModel, Sources
from builder.manifest import Manifest
from tests.builder import data
from tests.support import lookalikes
from tests.support.hub_server import HubServer

EMBEDDER = "onnx-community/embeddinggemma-300m-ONNX"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("lock")
    lookalikes.write_lookalikes(directory / "hub")
    lookalikes.write_reranker(directory / "local")
    return directory


@pytest.fixture
def sources(folder: Path, tmp_path: Path) -> Sources:
    return Sources(directory=folder, cache_directory=tmp_path)


def read(folder: Path, embedder: str = "") -> Manifest:
    text = (
        "version: 1\nmodels:\n"
        f"  remote: {{task: embedding, repo: {EMBEDDER}{embedder}}}\n"
        "  local: {task: reranker, path: local}\n"
        "images: {i: {models: [remote, local]}}\n"
    )
    return manifest.parse(text, file=folder / "models.yaml", environment={})


def resolve(
    folder: Path, sources: Sources, *, previous: Lock | None = None, embedder: str = "", upgraded: str = ""
) -> Lock:
    names, wanted = ["remote", "local"], [upgraded] if upgraded else []
    return lock.resolve(read(folder, embedder), previous or Lock(), sources=sources, names=names, upgraded=wanted)


@pytest.fixture
def hub(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A stand-in Hub that is off until a test enters it."""
    server = HubServer(folder / "hub")
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server.endpoint)
    yield server
    server.close()


def test_every_baked_file_has_its_size_and_sha256(folder: Path, sources: Sources, hub: HubServer) -> None:
    with hub:
        locked = resolve(folder, sources).models["remote"]
    directory = folder / "hub" / EMBEDDER
    expected = {
        path: (len(content), hashlib.sha256(content).hexdigest())
        for path in locked.recipe.files
        for content in [(directory / path).read_bytes()]
    }
    assert {path: (file.size_bytes, file.sha256) for path, file in locked.files.items()} == expected
    assert "onnx/model.onnx_data" in expected


def test_the_licence_is_locked_of_a_folder_as_of_a_repository(folder: Path, sources: Sources, hub: HubServer) -> None:
    with hub:
        models = resolve(folder, sources).models
    assert {name: model.licence for name, model in models.items()} == {"remote": "gemma", "local": "cc-by-nc-4.0"}


def test_a_branch_is_locked_as_the_commit_that_it_stands_for(folder: Path, sources: Sources, hub: HubServer) -> None:
    with hub:
        locked = resolve(folder, sources).models["remote"]
        assert (locked.asked["revision"], locked.revision) == ("main", hub.commit(EMBEDDER))


def test_what_is_locked_needs_no_hub(folder: Path, sources: Sources, hub: HubServer) -> None:
    with hub:
        first = resolve(folder, sources)
        hub.requests.clear()
        second = resolve(folder, sources, previous=first)
        assert hub.requests == []
    assert second == first


def test_another_wish_of_the_manifest_is_resolved_anew(folder: Path, sources: Sources, hub: HubServer) -> None:
    with hub:
        first = resolve(folder, sources)
        second = resolve(folder, sources, previous=first, embedder=", max_length: 77")
    assert list(lock.differences(first, second)) == [
        "models.remote: max_length asked for: nothing -> `77`",
        "models.remote: recipe.max_length: `2048` -> `77`",
    ]


def test_an_upgrade_asks_the_hub_again(folder: Path, sources: Sources, hub: HubServer) -> None:
    with hub:
        first = resolve(folder, sources)
        hub.requests.clear()
        resolve(folder, sources, previous=first, upgraded="remote")
        assert hub.requests != []


def test_a_folder_that_changed_is_locked_anew(folder: Path, sources: Sources, hub: HubServer) -> None:
    with hub:
        first = resolve(folder, sources)
        (folder / "local/LICENSE").write_text("new\n")
        second = resolve(folder, sources, previous=first)
    (folder / "local/LICENSE").unlink()
    revisions = [made.models["local"].revision for made in (first, second)]
    assert list(lock.differences(first, second)) == [
        f"models.local: revision: `{revisions[0]}` -> `{revisions[1]}`",
        "models.local: + LICENSE (4 bytes)",
    ]


def outdated(locked: Lock, **changes: str) -> Lock:
    """Make the lock that an older release would have left."""
    held = {
        name: OutdatedModel(asked=model.asked, revision=changes.get(name, model.revision))
        for name, model in locked.models.items()
    }
    return Lock(bases=locked.bases, outdated=held)


def test_what_an_older_release_locked_is_decided_anew_at_its_revision(
    folder: Path, sources: Sources, hub: HubServer
) -> None:
    with hub:
        first = resolve(folder, sources)
        card = folder / "hub" / EMBEDDER / "README.md"
        before = card.read_bytes()
        card.write_text("another card\n")  # so that `main` is another commit
        second = resolve(folder, sources, previous=outdated(first))
        card.write_bytes(before)
        requested = {request.path for request in hub.requests}
    assert second.models["remote"].revision == first.models["remote"].revision
    assert f"/api/models/{EMBEDDER}/revision/{first.models['remote'].revision}" in "".join(requested)


def test_an_upgrade_does_not_hold_what_an_older_release_locked(folder: Path, sources: Sources, hub: HubServer) -> None:
    with hub:
        first = resolve(folder, sources)
        second = resolve(folder, sources, previous=outdated(first, remote="0" * 40), upgraded="remote")
    assert second == first


def test_every_model_of_an_outdated_lock_is_decided_anew(folder: Path, sources: Sources, hub: HubServer) -> None:
    with hub:
        first = resolve(folder, sources)
        second = lock.resolve(read(folder), outdated(first), sources=sources, names=["local"])
    assert (sorted(second.models), second.outdated) == (["local", "remote"], {})
    assert list(lock.differences(outdated(first), second)) == [
        "models.local: decided anew, for an older release wrote the lock",
        "models.remote: decided anew, for an older release wrote the lock",
    ]


def test_a_model_that_the_manifest_dropped_leaves_the_lock(folder: Path, sources: Sources, hub: HubServer) -> None:
    with hub:
        first = resolve(folder, sources)
    gone = dataclasses.replace(first, models={**first.models, "old": first.models["remote"]})
    kept = lock.resolve(read(folder), gone, sources=sources, names=[])
    assert sorted(kept.models) == ["local", "remote"]
    assert list(lock.differences(gone, kept)) == ["models.old: removed"]


def test_a_repository_that_does_not_say_enough_is_refused(folder: Path, sources: Sources, hub: HubServer) -> None:
    with hub, pytest.raises(InputError, match="dtype"):
        resolve(folder, sources, embedder=", dtype: q4")


def test_the_digest_changes_with_a_base_as_with_a_model(folder: Path, sources: Sources, hub: HubServer) -> None:
    with hub:
        locked = resolve(folder, sources)
    other = dataclasses.replace(locked, bases={"debian:bookworm-slim": f"sha256:{'1' * 64}"})
    assert len({locked.digest, other.digest, locked.chosen(["remote"]).digest}) == 3


@pytest.mark.parametrize(
    ("graph", "mount_id"),
    [
        ("onnx/model.onnx", "build-image/example/reranker/onnx-model.onnx"),
        ("onnx/model_q4f16.onnx", "build-image/example/reranker/onnx-model_q4f16.onnx"),
        ("a,readonly $HOME.onnx", "build-image/example/reranker/a-readonly-HOME.onnx"),
    ],
)
def test_each_graph_of_a_repository_has_a_cache_mount_whatever_its_revision(graph: str, mount_id: str) -> None:
    model = data.fetched(recipe=dataclasses.replace(data.RERANKER_RECIPE, graph=graph))
    assert [dataclasses.replace(model, revision=digit * 40).mount_id for digit in "01"] == [mount_id, mount_id]


def optimized(folder: Path, wishes: str) -> Manifest:
    text = (
        f"version: 1\nmodels:\n  local: {{task: reranker, path: local, optimize: {wishes}}}\n"
        "images: {i: {models: [local]}}\n"
    )
    return manifest.parse(text, file=folder / "models.yaml", environment={})


def test_how_a_model_is_optimised_is_locked_with_the_digest_of_its_samples(folder: Path, sources: Sources) -> None:
    (folder / "texts").write_text("one\n")
    read = optimized(folder, "{quantize: int8, samples: texts}")
    locked = lock.resolve(read, Lock(), sources=sources, names=["local"]).models["local"]
    assert locked.optimization is not None
    assert (locked.optimization.quantize, locked.samples) == ("int8", folder / "texts")
    assert locked.optimization.samples_sha256 == hashlib.sha256(b"one\n").hexdigest()
    assert locked.replaced_files == (locked.recipe.graph,)


def test_another_text_of_the_samples_or_program_is_told_and_changes_the_digest(folder: Path, sources: Sources) -> None:
    (folder / "texts").write_text("one\n")
    read = optimized(folder, "{samples: texts}")
    first = lock.resolve(read, Lock(), sources=sources, names=["local"])
    model = first.models["local"]
    assert model.optimization is not None
    older = dataclasses.replace(model, optimization=dataclasses.replace(model.optimization, program="0" * 12))
    (folder / "texts").write_text("two\n")
    second = lock.resolve(read, Lock(models={"local": older}), sources=sources, names=["local"])
    assert [
        line.partition(":")[0] + line.partition(": ")[2].partition(":")[0]
        for line in lock.differences(Lock(models={"local": older}), second)
    ] == ["models.localoptimization.samples_sha256", "models.localoptimization.program"]
    assert len({first.digest, second.digest, Lock(models={"local": older}).digest}) == 3


def test_an_original_that_is_kept_is_not_replaced(folder: Path, sources: Sources) -> None:
    read = optimized(folder, "{keep_original: true}")
    locked = lock.resolve(read, Lock(), sources=sources, names=["local"]).models["local"]
    assert (locked.replaced_files, locked.remaining_bytes) == ((), locked.size_bytes)
