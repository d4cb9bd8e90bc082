import json
from dataclasses import fields, replace
from pathlib import Path

import pytest

from builder import lockfile
from builder.errors import InputError
from builder.lock import Lock, OutdatedModel
from builder.recipe import Recipe
from tests.builder import data, optimized
from tests.conftest import Golden

LOCK = replace(data.lock(data.fetched(), data.local(Path("/models/a"))), bases={"debian:b": f"sha256:{'1' * 64}"})
RECIPE_KEYS = {field.name for field in fields(Recipe)} - {"files"}


def test_the_text_is_as_it_was(golden: Golden) -> None:
    golden.check(lockfile.text(LOCK), "models.lock")


def test_a_lock_is_read_as_it_was_written_but_for_the_place_of_a_folder(tmp_path: Path) -> None:
    lockfile.write(LOCK, tmp_path / "models.lock")
    local = replace(LOCK.models["embedder"], folder=None)
    assert lockfile.read(tmp_path / "models.lock") == replace(LOCK, models={**LOCK.models, "embedder": local})


def test_how_a_model_is_optimised_is_read_as_it_was_written(tmp_path: Path) -> None:
    lockfile.write(data.lock(optimized.model()), tmp_path / "models.lock")
    read = lockfile.read(tmp_path / "models.lock").models["embedder"]
    assert read == replace(optimized.model(), folder=None)


def test_the_order_of_models_does_not_matter() -> None:
    other = replace(LOCK, models={name: LOCK.models[name] for name in reversed(list(LOCK.models))})
    assert lockfile.text(other) == lockfile.text(LOCK)


def test_a_file_that_is_not_there_is_an_empty_lock(tmp_path: Path) -> None:
    assert lockfile.read(tmp_path / "models.lock") == Lock()


def test_writing_tells_whether_anything_changed(tmp_path: Path) -> None:
    path = tmp_path / "models.lock"
    assert [lockfile.write(LOCK, path), lockfile.write(LOCK, path)] == [True, False]
    assert [file.name for file in tmp_path.iterdir()] == ["models.lock"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "the lock `.*` can't be read: "),
        ("[]", "`.*` is not a lock: TypeError"),
        ("{}", "`.*` is not a lock: KeyError: 'version'"),
        ('{"version": 1, "bases": {}, "models": {"m": {}}}', "`.*` is not a lock: KeyError: 'asked'"),
        ('{"version": 2, "bases": {}, "models": {"m": {}}}', "`.*` is not a lock: KeyError: 'files'"),
    ],
)
def test_what_is_no_lock_is_refused_with_a_way_out(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "models.lock"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        lockfile.read(path)
    assert caught.value.hint == f"remove `{path}` and run `build-image lock`"


@pytest.mark.parametrize("key", sorted(RECIPE_KEYS))
def test_a_decision_that_is_missing_is_refused(tmp_path: Path, key: str) -> None:
    path = tmp_path / "models.lock"
    content = json.loads(lockfile.text(LOCK))
    del content["models"]["reranker"]["recipe"][key]
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=f"is not a lock: KeyError: '{key}'"):
        lockfile.read(path)


def test_a_lock_of_an_older_release_holds_revisions_and_bases_alone(tmp_path: Path) -> None:
    path = tmp_path / "models.lock"
    content = json.loads(lockfile.text(LOCK))
    path.write_text(json.dumps({**content, "version": 1}))
    held = {name: OutdatedModel(asked=model.asked, revision=model.revision) for name, model in LOCK.models.items()}
    assert lockfile.read(path) == Lock(bases=LOCK.bases, outdated=held)


def test_a_lock_of_a_later_release_is_refused_as_such(tmp_path: Path) -> None:
    path = tmp_path / "models.lock"
    path.write_text('{"version": 3}')
    with pytest.raises(InputError) as caught:
        lockfile.read(path)
    assert caught.value.message == f"`{path}` is a lock of version `3`, and this release reads `2`"
    assert caught.value.hint == f"use the release that wrote it, or remove `{path}` and run `build-image lock`"


def test_a_place_that_can_t_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="can't be written: "):
        lockfile.write(LOCK, tmp_path / "nowhere" / "models.lock")
