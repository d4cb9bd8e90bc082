import json
from pathlib import Path

from builder import tested
from builder.settings import Settings

IMAGE = "sha256:" + "1" * 64


def settings(cache: Path) -> Settings:
    return Settings(models=Path("models.yaml"), version="1.2.3", environment={"XDG_CACHE_HOME": str(cache)})


def test_an_image_that_passed_is_known_by_its_id_alone(tmp_path: Path) -> None:
    tested.remember(settings(tmp_path), IMAGE, checks=["starts"])
    known = [tested.has_passed(settings(tmp_path), image) for image in (IMAGE, "sha256:" + "2" * 64)]
    assert known == [True, False]


def test_what_it_passed_is_kept(tmp_path: Path) -> None:
    tested.remember(settings(tmp_path), IMAGE, checks=["starts", "selftest"])
    (file,) = (tmp_path / "build-image" / "tested").iterdir()
    assert json.loads(file.read_text()) == {"build_image": "1.2.3", "checks": ["starts", "selftest"]}


def test_a_place_that_can_t_be_written_stops_no_run(tmp_path: Path) -> None:
    (tmp_path / "build-image").touch()
    tested.remember(settings(tmp_path), IMAGE, checks=[])
    assert not tested.has_passed(settings(tmp_path), IMAGE)
