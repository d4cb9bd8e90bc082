import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.errors import InputError
from builder.folder import FolderRepository, open_folder
from builder.repository import large_file

LONG_AGO_NS = 1_700_000_000 * 10**9
EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

Open = Callable[[], FolderRepository]


def write(path: Path, content: bytes, *, time_ns: int = LONG_AGO_NS) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, ns=(time_ns, time_ns))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    write(tmp_path / "model/config.json", b"{}")
    write(tmp_path / "model/onnx/model.onnx", b"weights")
    return tmp_path / "model"


@pytest.fixture
def opened(model: Path, tmp_path: Path) -> Open:
    return lambda: open_folder(model, name="house-model", cache_directory=tmp_path / "cache")


def test_a_folder_lists_every_file_with_its_size_and_digest(model: Path, opened: Open) -> None:
    write(model / "empty.json", b"")

    repository = opened()

    assert repository.source == "local/house-model"
    assert list(repository.files) == ["config.json", "empty.json", "onnx/model.onnx"]
    assert repository.files["empty.json"] == large_file(size_bytes=0, sha256=EMPTY_SHA256)


def test_files_are_read_and_opened_by_their_path(opened: Open) -> None:
    repository = opened()

    with repository.open("onnx/model.onnx") as stream:
        assert (repository.read("config.json"), stream.read()) == (b"{}", b"weights")


def test_the_revision_looks_like_a_commit_and_depends_on_content_alone(opened: Open, tmp_path: Path) -> None:
    write(tmp_path / "copy/onnx/model.onnx", b"weights")
    write(tmp_path / "copy/config.json", b"{}")
    copy = open_folder(tmp_path / "copy", name="other", cache_directory=tmp_path / "cache")

    assert len(copy.revision) == 40
    assert copy.revision == opened().revision


@pytest.mark.parametrize(
    ("path", "content"), [("config.json", b"[]"), ("onnx/model.onnx", b"weightz"), ("added.json", b"{}")]
)
def test_the_revision_changes_with_any_file(model: Path, opened: Open, path: str, content: bytes) -> None:
    before = opened().revision
    write(model / path, content, time_ns=LONG_AGO_NS + 1)

    assert opened().revision != before


def test_bookkeeping_of_other_programs_is_no_part_of_a_model(model: Path, opened: Open) -> None:
    before = opened()
    for path in (".git/HEAD", ".cache/huggingface/x", "onnx/.DS_Store"):
        write(model / path, b"x")

    assert opened() == before


def test_a_snapshot_of_links_to_blobs_is_the_files_they_lead_to(opened: Open, tmp_path: Path) -> None:
    write(tmp_path / "hub/blobs/1", b"{}")
    write(tmp_path / "hub/blobs/2", b"weights")
    snapshot = tmp_path / "hub/snapshots/1"
    (snapshot / "onnx").mkdir(parents=True)
    (snapshot / "config.json").symlink_to("../../blobs/1")
    (snapshot / "onnx/model.onnx").symlink_to("../../../blobs/2")

    linked = open_folder(snapshot, name="house-model", cache_directory=tmp_path / "cache")

    assert (linked.revision, linked.files) == (opened().revision, opened().files)


def test_a_link_to_a_parent_is_walked_once(model: Path, opened: Open) -> None:
    (model / "onnx/loop").symlink_to("..")

    assert list(opened().files) == ["config.json", "onnx/model.onnx"]


def test_an_unchanged_file_is_not_hashed_again(model: Path, opened: Open, tmp_path: Path) -> None:
    opened()
    cache = tmp_path / "cache/digests.json"
    content = json.loads(cache.read_text())
    content["files"][str(model / "config.json")][-1] = EMPTY_SHA256  # what hashing it would not give
    cache.write_text(json.dumps(content))

    assert opened().files["config.json"].sha256 == EMPTY_SHA256


def test_a_changed_file_with_the_old_size_and_time_is_hashed_again(model: Path, opened: Open) -> None:
    before = opened().files
    write(model / "config.json", b"[]")  # as unpacking an archive does

    assert opened().files != before


def test_a_name_that_is_not_utf_8_is_a_name(model: Path, opened: Open) -> None:
    write(model / os.fsdecode(b"\xff.txt"), b"")

    assert os.fsdecode(b"\xff.txt") in opened().files


def test_a_file_of_the_last_two_seconds_is_hashed_again(model: Path, opened: Open) -> None:
    far_ahead = 4_000_000_000 * 10**9
    write(model / "config.json", b"{}", time_ns=far_ahead)
    before = opened().files
    write(model / "config.json", b"[]", time_ns=far_ahead)

    assert opened().files != before


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"version": 9, "files": {}}', '{"version": 2, "files": {"x": 5}}', '{"version": 2}']
)
def test_a_damaged_cache_is_ignored(opened: Open, tmp_path: Path, text: str) -> None:
    expected = opened()
    (tmp_path / "cache/digests.json").write_text(text)

    assert opened() == expected


def test_the_cache_forgets_files_that_are_gone(model: Path, opened: Open, tmp_path: Path) -> None:
    opened()
    (model / "config.json").unlink()
    write(model / "new.json", b"{}")
    opened()

    remembered = json.loads((tmp_path / "cache/digests.json").read_text())["files"]
    assert sorted(remembered) == [str(model / "new.json"), str(model / "onnx/model.onnx")]


def test_a_cache_that_cannot_be_kept_is_no_failure(model: Path, tmp_path: Path, opened: Open) -> None:
    write(tmp_path / "file", b"")
    repository = open_folder(model, name="house-model", cache_directory=tmp_path / "file/below")

    assert repository == opened()


def test_a_folder_that_is_not_there_names_its_key(tmp_path: Path) -> None:
    path = tmp_path / "absent"
    with pytest.raises(InputError) as caught:
        open_folder(path, name="house-model", cache_directory=tmp_path)

    assert caught.value.message == f"the model folder `{path}` can't be read: No such file or directory (`{path}`)"
    assert caught.value.hint == "check `models.house-model.path`"


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    with pytest.raises(InputError, match="has no files"):
        open_folder(tmp_path / "model", name="house-model", cache_directory=tmp_path)


def test_a_link_that_leads_nowhere_is_refused_by_name(model: Path, opened: Open) -> None:
    (model / "dangling.json").symlink_to("nowhere")
    with pytest.raises(InputError) as caught:
        opened()

    path = model / "dangling.json"
    assert caught.value.message == f"the model folder `{model}` can't be read: No such file or directory (`{path}`)"
