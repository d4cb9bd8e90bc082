"""`build-image cache` as a person runs it, against the stand-in Hub."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from io import StringIO
from pathlib import Path

import huggingface_hub
import pytest

from builder import cache, cli
from builder.cache import Cache
from builder.console import Console
from builder.errors import FailedError, InputError
from builder.lock import LockedFile, LockedModel
from tests.builder import data
from tests.conftest import Golden
from tests.runtime.server import environment
from tests.support import lookalikes, project
from tests.support.hub_server import BodyFault
from tests.support.lookalikes import EMBEDDING_REPOSITORY, RERANKER_REPOSITORY
from tests.support.project import Project

TOKEN = "hf_right"


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Project]:
    made = project.make(tmp_path)
    yield made
    made.hub.close()


def tree(folder: Path) -> dict[str, bytes]:
    """Read every file below a folder, links apart."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def links(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): str(path.readlink()) for path in folder.rglob("*") if path.is_symlink()
    }


def fetched(made: Project) -> list[str]:
    """Return the files that the Hub was asked for, each by its own request for a body."""
    return [request.path.partition("/resolve/")[2][41:] for request in made.hub.requests if "/resolve/" in request.path]


def test_the_help_is_as_it_was(golden: Golden, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["cache", "--help"]) == 0
    golden.check(capsys.readouterr().out, "cache-help.txt")


@pytest.mark.parametrize(
    ("environment", "directory"),
    [
        ({}, "/project/.cache/transformers"),
        ({"HF_HOME": "/home/hf"}, "/home/hf/transformers"),
        ({"HF_HOME": "/home/hf", "TRANSFORMERS_CACHE": "/models"}, "/models"),
        ({"HF_HOME": "", "TRANSFORMERS_CACHE": ""}, "/project/.cache/transformers"),
    ],
)
def test_the_folder_is_chosen_by_the_first_variable_that_is_set(environment: dict[str, str], directory: str) -> None:
    assert cache.locate(environment, project=Path("/project")) == Cache(transformers=Path(directory))


def test_tasks_choose_the_models() -> None:
    models = (data.fetched("reranker"), data.fetched("embedder", data.EMBEDDER_RECIPE))
    chosen = [
        [model.name for model in cache.targeted(models, {"HF_PRELOAD_TARGETS": targets})]
        for targets in ("", "embedding", "reranker", "embedding, reranker")
    ]
    assert chosen == [["reranker", "embedder"], ["embedder"], ["reranker"], ["reranker", "embedder"]]


def test_an_unknown_task_is_refused_with_the_one_that_was_meant() -> None:
    with pytest.raises(InputError) as caught:
        cache.targeted([data.fetched()], {"HF_PRELOAD_TARGETS": "embeddings"})
    assert caught.value.message == "HF_PRELOAD_TARGETS: there is no task `embeddings`"
    assert caught.value.hint == "did you mean `embedding`?"


def test_a_task_that_no_model_has_is_refused() -> None:
    with pytest.raises(InputError) as caught:
        cache.targeted([data.fetched()], {"HF_PRELOAD_TARGETS": "embedding"})
    assert caught.value.message == "no model has a task that HF_PRELOAD_TARGETS names: embedding"


def test_the_cache_has_the_layout_of_the_image(made: Project) -> None:
    with made.hub:
        code, out, _ = made.run("cache")
    locked = made.lock()
    expected = {".build-image/lock": b""}
    for name, repository in (("embedder", EMBEDDING_REPOSITORY), ("reranker", RERANKER_REPOSITORY)):
        root, revision = f"hub/models--{repository.replace('/', '--')}", locked[name]["revision"]
        expected[f"{root}/refs/main"] = revision.encode()
        expected[f"{root}/trees/{revision}.json"] = (made.home / root / "trees" / f"{revision}.json").read_bytes()
        for path in locked[name]["files"]:
            expected[f"{root}/snapshots/{revision}/{path}"] = (made.hub.directory / repository / path).read_bytes()
    assert (code, tree(made.home)) == (0, expected)
    assert links(made.home) == {
        f"transformers/{repository}": f"../../hub/models--{repository.replace('/', '--')}/snapshots/{revision}"
        for repository, revision in (
            (EMBEDDING_REPOSITORY, locked["embedder"]["revision"]),
            (RERANKER_REPOSITORY, locked["reranker"]["revision"]),
        )
    }
    transformers = made.home / "transformers"
    assert out == f"{transformers / EMBEDDING_REPOSITORY}\n{transformers / RERANKER_REPOSITORY}\n"


def test_the_hub_s_own_client_finds_the_models_by_name_without_a_network(made: Project) -> None:
    with made.hub:
        made.run("cache")
    found = huggingface_hub.snapshot_download(
        RERANKER_REPOSITORY, cache_dir=made.home / "hub", local_files_only=True, endpoint="http://127.0.0.1:9"
    )
    assert Path(found) == made.snapshot("reranker")


def test_a_named_folder_has_the_hub_s_tree_beside_it(made: Project, tmp_path: Path) -> None:
    named = tmp_path / "elsewhere/models"
    with made.hub:
        code, out, _ = made.run("cache", TRANSFORMERS_CACHE=str(named), HF_PRELOAD_TARGETS="reranker")
    assert (code, out) == (0, f"{named / RERANKER_REPOSITORY}\n")
    assert sorted(path.name for path in named.parent.iterdir()) == [".build-image", "hub", "models"]
    assert (named / RERANKER_REPOSITORY / "tokenizer.json").is_file()


def test_a_server_without_this_program_is_told_of_the_models_that_were_chosen(made: Project) -> None:
    with made.hub:
        code, _, err = made.run("cache", "--bundle", "served/bundle.json", HF_PRELOAD_TARGETS="reranker")
    assert code == 0, err
    settings = environment(bundle=str(made.folder / "served/bundle.json"))
    command = [sys.executable, "-m", "runtime", "selftest", "--files"]
    ended = subprocess.run(command, env=settings, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    (model,) = json.loads((made.folder / "served/bundle.json").read_text())["models"]
    assert (model["name"], model["path"]) == ("reranker", str(made.snapshot("reranker")))


def test_a_bundle_of_the_cache_is_not_written_where_another_folder_is_filled(made: Project) -> None:
    assert made.run("cache", "--bundle", "bundle.json", "--output", "supplies") == (
        2,
        "",
        "error: `--bundle` is for a cache on this machine\nhint: leave out --bundle or --output\n",
    )


def test_a_second_run_says_that_everything_is_there_and_asks_nobody(made: Project) -> None:
    with made.hub:
        made.run("cache")
    code, _, err = made.run("cache")
    assert (code, err) == (0, "embedder: 8 of 8 files are there\nreranker: 6 of 6 files are there\n")


def test_only_the_tasks_that_are_named_are_fetched(made: Project) -> None:
    with made.hub:
        code, out, _ = made.run("cache", HF_PRELOAD_TARGETS="reranker")
    assert (code, out) == (0, f"{made.home / 'transformers' / RERANKER_REPOSITORY}\n")
    assert not made.snapshot("embedder").exists()


def test_a_corrupt_download_never_enters_and_the_next_run_fetches_that_file_alone(made: Project) -> None:
    with made.hub:
        made.run("lock")
        made.hub.inject(BodyFault(is_corrupt=True), path=f"/content-network/{RERANKER_REPOSITORY}/tokenizer.json")
        code, _, err = made.run("cache", HF_PRELOAD_TARGETS="reranker")
        present = set(tree(made.snapshot("reranker")))
        made.hub.requests.clear()
        second, _, _ = made.run("cache", HF_PRELOAD_TARGETS="reranker")
    wanted = made.lock()["reranker"]["files"]["tokenizer.json"]["sha256"]
    assert (code, f", not {wanted}: " in err) == (1, True)
    assert present == {"README.md", "config.json", "onnx/model.onnx", "special_tokens_map.json"}
    assert (second, fetched(made)) == (0, ["tokenizer.json", "tokenizer_config.json"])


def test_a_file_that_was_damaged_on_the_disk_is_fetched_again(made: Project) -> None:
    with made.hub:
        made.run("cache")
        damaged = made.snapshot("embedder") / "onnx/model.onnx_data"
        right = damaged.read_bytes()
        damaged.write_bytes(bytes(len(right)))
        made.hub.requests.clear()
        code, _, err = made.run("cache")
    assert (code, damaged.read_bytes() == right) == (0, True)
    assert fetched(made) == ["onnx/model.onnx_data"]
    assert err.startswith("embedder: 7 of 8 files are there\n")


def test_an_interrupt_leaves_nothing_that_counts_as_complete_and_nothing_is_fetched_twice(made: Project) -> None:
    path = f"/content-network/{EMBEDDING_REPOSITORY}/onnx/model.onnx_data"
    with made.hub:
        made.run("lock")
        made.hub.inject(BodyFault(sent_bytes=200_000), path=path)
        made.hub.inject(BodyFault(sent_bytes=0, is_silent=True), path=path)
        with made.start("cache") as process:
            assert process.stderr is not None
            has_begun = any("at 200 kB of 351 kB" in line for line in process.stderr)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=30)
        snapshot = made.snapshot("embedder")
        assert (has_begun, process.returncode, err.splitlines()[-1]) == (True, 130, "interrupted")
        assert set(tree(snapshot)) == {"README.md", "config.json", "generation_config.json", "onnx/model.onnx"}
        assert links(made.home) == {}
        made.hub.requests.clear()
        made.hub.clear_faults()
        code, _, err = made.run("cache", HF_PRELOAD_TARGETS="embedding")
    assert (code, err.startswith("embedder: 4 of 8 files are there\n")) == (0, True)
    assert "config.json" not in fetched(made)
    assert [request.range for request in made.hub.requests if request.path == path] == ["bytes=200000-"]
    assert "  onnx/model.onnx_data  200 kB of 351 kB are there\n" in err


def test_a_rendered_context_in_the_current_folder_does_not_take_the_place_of_the_program(made: Project) -> None:
    write(made.folder, {"stages/__init__.py": b"", "stages/fetch_model.py": b"raise SystemExit(7)"})
    with made.hub:
        assert made.run("cache")[0] == 0


def test_what_an_interrupted_run_left_takes_no_more_room(tmp_path: Path) -> None:
    whole_bytes = 10**13  # more than the disk has
    file = replace(described({"model.onnx": b""})["model.onnx"], size_bytes=whole_bytes)
    model = replace(data.fetched(), files={"model.onnx": file})
    local, fetcher = Cache(transformers=tmp_path / "transformers"), Contents({"model.onnx": b""})
    write(local.store(model), {f"{file.sha256}.partial": b""})
    os.truncate(local.store(model) / f"{file.sha256}.partial", whole_bytes - 1)
    with pytest.raises(FailedError, match="is not as it was locked"):
        cache.preload([model], local, fetcher=fetcher, console=silent(), command="")
    assert fetcher.asked == ["model.onnx"]


def test_two_paths_with_the_same_content_are_both_filled(tmp_path: Path) -> None:
    contents = {"config.json": b"{}", "onnx/config.json": b"{}", "tokenizer.json": b"[]"}
    model = replace(data.fetched(), files=described(contents))
    local = Cache(transformers=tmp_path / "transformers")
    cache.preload([model], local, fetcher=Contents(contents), console=silent(), command="")
    assert tree(local.snapshot(model)) == contents


def test_files_that_arrived_before_a_run_was_killed_are_taken_over(tmp_path: Path) -> None:
    model = replace(data.fetched(), files=described(CONTENTS))
    local = Cache(transformers=tmp_path / "transformers")
    write(local.store(model), {model.files[path].sha256: content for path, content in CONTENTS.items()})
    (local.store(model) / model.files["onnx/model.onnx"].sha256).write_bytes(b"gra")
    fetcher = Contents(CONTENTS)
    cache.preload([model], local, fetcher=fetcher, console=silent(), command="")
    assert (fetcher.asked, tree(local.snapshot(model))) == (["onnx/model.onnx"], CONTENTS)
    assert list((local.own / "partial").iterdir()) == []


def test_the_listing_of_a_commit_has_the_files_of_all_its_models(tmp_path: Path) -> None:
    first = replace(data.fetched("first"), source="example/both", files=described({"config.json": b"{}"}))
    second = replace(data.fetched("second"), source="example/both", files=described({"tokenizer.json": b"[]"}))
    local = Cache(transformers=tmp_path / "transformers")
    fetcher = Contents({"config.json": b"{}", "tokenizer.json": b"[]"})
    cache.preload([first, second], local, fetcher=fetcher, console=silent(), command="")
    listing = json.loads((local.snapshot(first).parent.parent / "trees" / f"{first.revision}.json").read_text())
    assert sorted(listing["files"]) == ["config.json", "tokenizer.json"]


def test_without_a_network_every_missing_file_is_named_and_the_hub_is_not_asked(made: Project) -> None:
    with made.hub:
        made.run("cache")
        (made.snapshot("embedder") / "config.json").unlink()
        (made.snapshot("reranker") / "tokenizer.json").write_bytes(b"cut")
        made.hub.requests.clear()
        code, out, err = made.run("cache", HF_ALLOW_REMOTE_MODELS="false")
    locked = made.lock()
    lines = [
        f"error: {made.home / 'transformers'}: `{name}`: `{path}` of {locked[name]['source']}@"
        f"{locked[name]['revision']} is missing ({size})"
        for name, path, size in (("embedder", "config.json", "320 B"), ("reranker", "tokenizer.json", "13.7 kB"))
    ]
    command = "HF_ALLOW_REMOTE_MODELS=true build-image cache --models models.yaml"
    hint = f"hint: HF_ALLOW_REMOTE_MODELS forbids asking the Hub: run `{command}`"
    assert (code, out, err.splitlines(), made.hub.requests) == (2, "", [*lines, hint], [])


def test_without_a_network_a_whole_cache_is_enough(made: Project) -> None:
    with made.hub:
        made.run("cache")
        made.hub.requests.clear()
        assert made.run("cache", HF_ALLOW_REMOTE_MODELS="false")[0] == 0
    assert made.hub.requests == []


def test_without_a_network_a_model_that_is_not_locked_is_refused(made: Project) -> None:
    with made.hub:
        code, _, err = made.run("cache", HF_ALLOW_REMOTE_MODELS="0")
    assert (code, made.hub.requests) == (2, [])
    assert err.startswith("error: the lock lacks `embedder`, and HF_ALLOW_REMOTE_MODELS forbids asking the Hub for ")


def test_a_local_folder_is_copied_and_a_changed_one_is_found_under_the_same_name(tmp_path: Path) -> None:
    made = project.make(tmp_path, reranker={"task": "reranker", "path": "mine"})
    lookalikes.write_reranker(tmp_path / "mine")
    link = made.home / "transformers/local/reranker"
    assert made.run("cache", HF_PRELOAD_TARGETS="reranker", HF_ALLOW_REMOTE_MODELS="false")[0] == 2
    with made.hub:
        made.run("lock")
    found = []
    for card in ("first", "second"):
        (tmp_path / "mine/README.md").write_text(card)
        made.run("cache", HF_PRELOAD_TARGETS="reranker", HF_ALLOW_REMOTE_MODELS="false")
        found.append((link / "README.md").read_text())
    assert found == ["first", "second"]
    assert not (link / "model.safetensors").exists()


def test_a_folder_of_something_else_in_the_link_s_place_is_left_alone(made: Project) -> None:
    mine = made.home / "transformers" / RERANKER_REPOSITORY / "mine.txt"
    write(mine.parent, {"mine.txt": b"precious"})
    with made.hub:
        code, _, err = made.run("cache", HF_PRELOAD_TARGETS="reranker")
    assert (code, mine.read_bytes()) == (2, b"precious")
    assert err.splitlines()[-2] == f"error: `{mine.parent}` is a folder of something else"


def test_a_disk_that_is_too_small_is_told_before_anything_is_fetched(made: Project) -> None:
    with made.hub:
        made.run("lock")
        path = made.folder / "models.lock"
        content = json.loads(path.read_text())
        content["models"]["embedder"]["files"]["onnx/model.onnx_data"]["size_bytes"] = 10**15
        path.write_text(json.dumps(content))
        made.hub.requests.clear()
        code, _, err = made.run("cache")
    assert (code, made.hub.requests, (made.home / "hub").exists()) == (1, [], False)
    error, hint = err.splitlines()[-2:]
    assert error.startswith(f"error: the disk of `{made.home}` has ")
    assert error.endswith(" free, and 1e+06 GB are needed: embedder 1e+06 GB, reranker 18.3 kB")
    assert hint == "hint: free space there, or name another disk by TRANSFORMERS_CACHE or HF_HOME"


def test_the_token_reaches_the_hub_and_is_not_shown(made: Project) -> None:
    made.hub.token = TOKEN
    with made.hub:
        code, out, err = made.run("cache", HF_TOKEN=TOKEN)
    assert (code, TOKEN in out + err) == (0, False)


def test_a_cache_that_can_t_be_written_is_told(made: Project) -> None:
    with made.hub:
        made.run("lock")
    (made.folder / "file").touch()
    code, _, err = made.run("cache", TRANSFORMERS_CACHE=str(made.folder / "file/models"))
    assert (code, err.splitlines()[0]) == (
        2,
        f"error: `{made.folder}/file/.build-image` can't be written: Not a directory",
    )


CONTENTS = {"config.json": b"{}", "onnx/model.onnx": b"graph", "tokenizer.json": b"[]"}


class Contents:
    """A source of files that remembers what it was asked for."""

    def __init__(self, contents: dict[str, bytes]) -> None:
        self.contents = contents
        self.asked: list[str] = []

    def fetch(self, model: LockedModel, paths: Iterable[str], store: Path) -> None:
        asked = list(paths)
        self.asked += asked
        write(store, {model.files[path].sha256: self.contents[path] for path in asked})


def described(contents: dict[str, bytes]) -> dict[str, LockedFile]:
    return {
        path: LockedFile(
            size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest(), blob_id="b" * 40, is_large=False
        )
        for path, content in contents.items()
    }


def write(folder: Path, contents: dict[str, bytes]) -> None:
    for path, content in contents.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


def silent() -> Console:
    return Console(out=StringIO(), err=StringIO())
