from pathlib import Path

import pytest

from builder.settings import Settings


def settings(models: Path) -> Settings:
    return Settings(models=models, version="1", environment={})


def test_a_lock_has_the_stem_of_its_manifest_and_lies_beside_it() -> None:
    assert settings(Path("search/models.yaml")).lock_path == Path("search/models.lock")


def test_a_manifest_that_is_a_link_has_its_lock_and_its_models_where_it_leads(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared/search.yaml").touch()
    (tmp_path / "models.yaml").symlink_to("shared/search.yaml")
    linked = settings(tmp_path / "models.yaml")
    assert (linked.lock_path, linked.directory) == (tmp_path / "shared/search.lock", tmp_path / "shared")


def test_a_folder_that_is_a_link_is_shown_as_it_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared/models.yaml").touch()
    (tmp_path / "link").symlink_to("shared")
    monkeypatch.chdir(tmp_path)
    linked = settings(Path("link/models.yaml"))
    assert (linked.lock_path, linked.directory) == (Path("link/models.lock"), tmp_path / "shared")
    assert linked.lock_path.parent.samefile(linked.directory)
