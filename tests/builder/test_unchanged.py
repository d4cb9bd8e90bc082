import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from builder import unchanged
from builder.settings import Settings

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
    unchanged.remember(made, folders=[tmp_path / "model"], bases={"debian:b": "sha256:base"}, report=REPORT)
    return made


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
