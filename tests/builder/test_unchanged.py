import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from builder import unchanged
from builder.settings import Settings
from builder.unchanged import Memory

MANIFEST = "models: {m: {repo: '${ORG:-a}/b', path: model}}\n"
REPORT: dict[str, Any] = {
    "images": [
        {"name": "tagged", "id": "sha256:1", "references": ["app:1", "app:latest"], "build_s": 3.0, "duration_s": 9.0},
        {"name": "built", "id": "sha256:2", "references": [], "build_s": 3.0, "duration_s": 9.0},
    ]
}


@dataclass(frozen=True)
class FakeEngine:
    """The ids that an engine has under some names."""

    ids: Mapping[str, str]

    def image_id(self, reference: str, /) -> str:
        return self.ids.get(reference, "")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "model/onnx").mkdir(parents=True)
    (tmp_path / "model/onnx/model.onnx").write_bytes(b"weights")
    (tmp_path / "models.yaml").write_text(MANIFEST)
    (tmp_path / "models.lock").write_text("{}")
    environment = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "ORG": "x", "OTHER": "y"}
    made = Settings(models=tmp_path / "models.yaml", version="1", environment=environment)
    unchanged.remember(made, memory(made))
    return made


def memory(settings: Settings) -> Memory:
    folders = (str(settings.directory / "model"),)
    fingerprint = unchanged.fingerprint(settings, folders)
    return Memory(fingerprint=fingerprint, folders=folders, bases={"debian:b": "sha256:base"}, report=REPORT)


def test_the_same_run_is_remembered(settings: Settings) -> None:
    memory = unchanged.recall(settings)
    assert memory is not None
    assert (memory.report, memory.bases) == (REPORT, {"debian:b": "sha256:base"})


def test_what_does_not_touch_the_images_is_no_change(settings: Settings) -> None:
    same = replace(settings, jobs=4, environment={**settings.environment, "OTHER": "z"})
    assert unchanged.recall(same) is not None


def test_another_choice_of_images_is_another_run(settings: Settings) -> None:
    assert unchanged.recall(replace(settings, images=("one",))) is None
    assert unchanged.recall(replace(settings, build_only=True)) is None


def test_a_variable_that_the_manifest_names_is_a_change(settings: Settings) -> None:
    assert unchanged.recall(replace(settings, environment={**settings.environment, "ORG": "z"})) is None


def test_another_version_of_the_program_is_a_change(settings: Settings) -> None:
    assert unchanged.recall(replace(settings, version="2")) is None


def test_another_manifest_is_a_change(settings: Settings) -> None:
    settings.models.write_text(MANIFEST + "# more\n")
    assert unchanged.recall(settings) is None


def test_another_lock_is_a_change(settings: Settings) -> None:
    settings.lock_path.write_text('{"models": {}}')
    assert unchanged.recall(settings) is None


def test_a_new_file_of_a_model_is_a_change(settings: Settings) -> None:
    (settings.directory / "model/new.json").write_text("{}")
    assert unchanged.recall(settings) is None


def test_a_file_of_the_same_size_but_another_time_is_a_change(settings: Settings) -> None:
    os.utime(settings.directory / "model/onnx/model.onnx", ns=(1, 1))
    assert unchanged.recall(settings) is None


def test_a_file_of_the_same_size_and_time_but_other_content_is_a_change(settings: Settings) -> None:
    file = settings.directory / "model/onnx/model.onnx"
    before = file.stat()
    file.write_bytes(b"WEIGHTS")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert unchanged.recall(settings) is None


def test_a_folder_s_link_that_leads_elsewhere_is_a_change(settings: Settings) -> None:
    model = settings.directory / "model"
    model.rename(settings.directory / "first")
    shutil.copytree(settings.directory / "first", settings.directory / "second")
    model.symlink_to("first")
    unchanged.remember(settings, memory(settings))
    model.unlink()
    model.symlink_to("second")
    assert unchanged.recall(settings) is None


def test_other_supplies_are_a_change(settings: Settings) -> None:
    (settings.directory / "build-image.json").write_text("{}")
    supplied = replace(settings, supplies=settings.directory)
    assert unchanged.recall(supplied) is None  # the run with a network is another one
    unchanged.remember(supplied, memory(supplied))
    assert unchanged.recall(supplied) is not None
    (settings.directory / "build-image.json").write_text('{"files": {}}')
    assert unchanged.recall(supplied) is None


def test_what_changes_during_the_run_is_a_change(settings: Settings) -> None:
    before = memory(settings)
    settings.models.write_text(MANIFEST + "# edited while the images were built\n")
    unchanged.remember(settings, before)
    assert unchanged.recall(settings) is None


def test_links_without_an_end_or_in_ignored_folders_do_not_matter(settings: Settings) -> None:
    (settings.directory / "model/loop").symlink_to(".")
    (settings.directory / "model/.git").mkdir()
    (settings.directory / "model/.git/dangling").symlink_to("nowhere")
    unchanged.remember(settings, memory(settings))
    assert unchanged.recall(settings) is not None


def test_a_cache_that_can_t_be_written_only_costs_time(settings: Settings) -> None:
    nowhere = replace(settings, environment={"XDG_CACHE_HOME": "/proc/nowhere"})
    unchanged.remember(nowhere, memory(nowhere))
    assert unchanged.recall(nowhere) is None


def test_a_folder_that_is_gone_is_a_change(settings: Settings) -> None:
    (settings.directory / "model").rename(settings.directory / "elsewhere")
    assert unchanged.recall(settings) is None


def test_a_memory_that_can_t_be_read_is_none(settings: Settings) -> None:
    (file,) = (settings.cache_directory / "runs").iterdir()
    for text in ("", "[]", "{}", '{"fingerprint": 1, "folders": null}'):
        file.write_text(text)
        assert unchanged.recall(settings) is None


HELD = {"debian:b": "sha256:base", "app:1": "sha256:1", "app:latest": "sha256:1", "sha256:2": "sha256:2"}


def test_the_report_of_a_spared_run_says_unchanged(settings: Settings) -> None:
    memory = unchanged.recall(settings)
    assert memory is not None
    told = unchanged.report(memory, FakeEngine(HELD))
    assert told is not None
    assert [(image["name"], image["result"], image["duration_s"]) for image in told["images"]] == [
        ("tagged", "unchanged", 0.0),
        ("built", "unchanged", 0.0),
    ]


@pytest.mark.parametrize("name", HELD)
def test_an_image_that_is_gone_or_another_by_now_makes_a_run_needed(settings: Settings, name: str) -> None:
    memory = unchanged.recall(settings)
    assert memory is not None
    assert unchanged.report(memory, FakeEngine({**HELD, name: ""})) is None
    assert unchanged.report(memory, FakeEngine({**HELD, name: "sha256:other"})) is None
