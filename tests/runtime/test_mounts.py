from pathlib import Path

import pytest

from runtime.mounts import hiding

SNAPSHOT = Path("/opt/hf-cache/hub/models--local--tiny/snapshots/0123")
ROOT = "1 0 0:30 / / ro - overlay overlay ro"
VOLUME = "2 1 254:0 {root} {place} rw,relatime - ext4 /dev/vda rw"
DOCKER = "/var/lib/docker/volumes/search_hf-cache/_data"
TOLD = (
    "the volume `search_hf-cache` at `/opt/hf-cache` hides the models that were baked, and holds others:"
    " remove the containers that use it and run `docker volume rm search_hf-cache`"
)
OTHERWISE = "what is mounted at `{place}` hides the models that were baked, and is not what this bundle was made with"


def mounts(folder: Path, *lines: str) -> Path:
    path = folder / "mountinfo"
    path.write_text("".join(f"{line}\n" for line in (ROOT, *lines)))
    return path


@pytest.mark.parametrize("root", [DOCKER, "/volumes/search_hf-cache/_data"], ids=["root disk", "disk of its own"])
def test_a_volume_is_named_with_the_command_that_removes_it(root: str, tmp_path: Path) -> None:
    found = mounts(tmp_path, VOLUME.format(root=root, place="/opt/hf-cache"))
    assert hiding(SNAPSHOT, mounts=found) == TOLD


def test_a_part_of_a_volume_is_that_volume(tmp_path: Path) -> None:
    found = mounts(tmp_path, VOLUME.format(root=f"{DOCKER}/models", place="/opt/hf-cache"))
    assert hiding(SNAPSHOT, mounts=found) == TOLD


@pytest.mark.parametrize("place", ["/opt/hf-cache", "/opt/hf-cache/hub"])
def test_what_is_no_volume_is_named_by_its_place(place: str, tmp_path: Path) -> None:
    found = mounts(tmp_path, VOLUME.format(root="/srv/models", place=place))
    assert hiding(SNAPSHOT, mounts=found) == OTHERWISE.format(place=place)


def test_a_place_with_a_space_is_read(tmp_path: Path) -> None:
    found = mounts(tmp_path, VOLUME.format(root="/srv", place="/my\\040cache"))
    snapshot = Path("/my cache/hub/models--local--tiny/snapshots/0123")
    assert hiding(snapshot, mounts=found) == OTHERWISE.format(place="/my cache")


@pytest.mark.parametrize("place", ["/opt", "/opt/hf-cache/hub/models--local--other", "/data"])
def test_what_lies_elsewhere_hides_nothing(place: str, tmp_path: Path) -> None:
    assert hiding(SNAPSHOT, mounts=mounts(tmp_path, VOLUME.format(root=DOCKER, place=place))) == ""


def test_without_a_list_of_mounts_nothing_is_said(tmp_path: Path) -> None:
    assert hiding(SNAPSHOT, mounts=tmp_path / "nothing") == ""
