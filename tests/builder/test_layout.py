import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from builder.folder import open_folder
from builder.layout import metadata_files, snapshot_directory
from builder.repository import RepositoryFile, large_file

SOURCE = "local/model"
FILES = {
    "config.json": b"{}",
    "onnx/model.onnx": b"graph",
    "onnx/model.onnx_data": b"weights",
    "tokenizer.json": b"{}",
}


def test_the_listing_has_the_form_that_huggingface_hub_writes() -> None:
    commit = "5090578d9565bb06545b4552f76e6bc2c93e4a66"
    files = {
        "onnx/model.onnx": large_file(size_bytes=5, sha256="a" * 64),
        "config.json": RepositoryFile(size_bytes=2, blob_id="b" * 40),
    }

    written = metadata_files("org/name", commit, files)

    tree = dedent("""\
        {
         "format_version": 1,
         "files": {
          "config.json": {
           "size": 2,
           "blob_id": "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
          },
          "onnx/model.onnx": {
           "size": 5,
           "blob_id": "618734ee7a80f3093cc3e4ff40347a121c645800",
           "lfs_sha256": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
           "lfs_size": 5
          }
         }
        }""")
    assert written == {
        "hub/models--org--name/refs/main": commit.encode(),
        f"hub/models--org--name/trees/{commit}.json": tree.encode(),
    }


@pytest.fixture
def revision(tmp_path: Path) -> str:
    for path, content in FILES.items():
        (tmp_path / "model" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "model" / path).write_bytes(content)
    return open_folder(tmp_path / "model", name="model", cache_directory=tmp_path / "cache").revision


@pytest.fixture
def baked(tmp_path: Path, revision: str) -> Iterator[Path]:
    """Lay a model out as an image has it, and take every permission to write away."""
    home = tmp_path / "hf"
    repository = open_folder(tmp_path / "model", name="model", cache_directory=tmp_path / "cache")
    for path, content in metadata_files(SOURCE, revision, repository.files).items():
        (home / path).parent.mkdir(parents=True, exist_ok=True)
        (home / path).write_bytes(content)
    shutil.copytree(tmp_path / "model", home / snapshot_directory(SOURCE, revision))
    subprocess.run(["chmod", "-R", "a-w", home], check=True)
    yield home
    subprocess.run(["chmod", "-R", "u+w", home], check=True)


def contents(directory: Path) -> dict[str, bytes]:
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in files}


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("snapshot_download(SOURCE)", ""),
        ("snapshot_download(SOURCE, revision=REVISION)", ""),
        ("snapshot_download(SOURCE, allow_patterns=['*.json', 'onnx/*'])", ""),
        ("snapshot_download(SOURCE, revision=REVISION, allow_patterns='*.json')", ""),
        ("hf_hub_download(SOURCE, 'onnx/model.onnx_data')", "onnx/model.onnx_data"),
        ("hf_hub_download(SOURCE, 'tokenizer.json', revision=REVISION)", "tokenizer.json"),
    ],
)
def test_the_real_client_finds_a_baked_model_offline_and_writes_nothing(
    baked: Path, revision: str, call: str, expected: str
) -> None:
    before = contents(baked)
    program = f"from huggingface_hub import *\nSOURCE, REVISION = {SOURCE!r}, {revision!r}\nprint({call})"
    environment = {"HF_HOME": str(baked), "HF_HUB_OFFLINE": "1", "PATH": os.environ["PATH"]}

    found = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)

    snapshot = baked / "hub/models--local--model/snapshots" / revision
    assert (found.stdout.strip(), contents(baked)) == (str(snapshot / expected), before)


def test_a_file_that_was_not_baked_is_known_to_be_missing(baked: Path, revision: str) -> None:
    tree = json.loads((baked / f"hub/models--local--model/trees/{revision}.json").read_text())
    assert list(tree["files"]) == sorted(FILES)
