from pathlib import Path

import pytest

from runtime.bundle import Bundle, read_bundle
from runtime.errors import BundleError
from tests.runtime import tiny
from tests.runtime.conftest import Folders

DENSE = {
    "weights": "2_Dense/model.safetensors",
    "in_features": 32,
    "out_features": 32,
    "bias": True,
    "activation": "tanh",
    "kind": "dense",
    "residual": False,
}


def message_of(file: Path) -> str:
    with pytest.raises(BundleError) as caught:
        read_bundle(file)
    return str(caught.value)


def test_a_bundle_is_read_as_it_is_written(folders: Folders, bundle: Bundle) -> None:
    assert bundle.version == 2
    assert [(model.name, model.task, model.dimensions, model.activation) for model in bundle.models] == [
        ("tiny", "embedding", (32, 16), None),
        ("ranker", "reranker", (), "sigmoid"),
    ]
    assert bundle.models[0].graph_file == folders.embedder / "onnx" / "model.onnx"


def test_a_missing_bundle_is_named(tmp_path: Path) -> None:
    assert message_of(tmp_path / "bundle.json") == f"`{tmp_path}/bundle.json`: No such file or directory"


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[]", b'{"models": []}', b'"\xff"'])
def test_what_is_no_bundle_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "bundle.json"
    file.write_bytes(content)
    assert message_of(file).startswith(f"`{file}`: ")


def test_another_version_is_refused_before_anything_else(tmp_path: Path) -> None:
    file = tmp_path / "bundle.json"
    file.write_text('{"version": 3, "weights": []}')
    assert message_of(file) == f"`{file}`: version `3` is not the one this server reads, `2`"


def test_an_unknown_key_is_refused(folders: Folders, tmp_path: Path) -> None:
    file = tiny.write_bundle(tmp_path / "bundle.json", tiny.embedder_entry(folders.embedder, poolings="mean"))
    assert message_of(file) == f"`{file}`: Object contains unknown field `poolings` - at `$.models[0]`"


def test_a_key_that_is_left_out_is_not_guessed(folders: Folders, tmp_path: Path) -> None:
    entry = tiny.embedder_entry(folders.embedder)
    del entry["pooling"]
    file = tiny.write_bundle(tmp_path / "bundle.json", entry)
    assert message_of(file) == f"`{file}`: Object missing required field `pooling` - at `$.models[0]`"


def test_a_value_of_another_kind_is_refused(folders: Folders, tmp_path: Path) -> None:
    file = tiny.write_bundle(tmp_path / "bundle.json", tiny.embedder_entry(folders.embedder, pooling=["median"]))
    assert message_of(file) == f"`{file}`: Invalid enum value 'median' - at `$.models[0].pooling[0]`"


def test_a_bundle_without_models_is_refused(tmp_path: Path) -> None:
    file = tiny.write_bundle(tmp_path / "bundle.json")
    assert message_of(file) == f"`{file}`: it names no models"


def test_all_problems_of_the_decisions_and_files_come_together(folders: Folders, tmp_path: Path) -> None:
    file = tiny.write_bundle(
        tmp_path / "bundle.json",
        tiny.embedder_entry(folders.embedder, dimensions=[], default_prompt="passage", graph="model.onnx"),
        tiny.embedder_entry(folders.embedder, dimensions=[16, 32]),
        tiny.reranker_entry(tmp_path, activation=None, inputs={}),
        tiny.embedder_entry(folders.embedder, name="dense", pooling=[], layers=[DENSE]),
        tiny.embedder_entry(folders.embedder, name="adapted", adapters={"passage": 1}),
        tiny.reranker_entry(folders.reranker, name="two", labels=["no", "yes"], template="{query} {query}"),
        tiny.reranker_entry(folders.reranker, name="three", labels=[], answer_tokens=[1, 2, 3]),
        tiny.reranker_entry(Path("models"), name="other"),
    )
    assert message_of(file).removeprefix(f"`{file}`: ").split("; ") == [
        "2 models are called `tiny`",
        "model `tiny`: the default prompt `passage` is not among the prompts",
        "model `tiny`: an embedding model needs its dimensions",
        f"model `tiny`: `{folders.embedder}/model.onnx` is not a file",
        "model `tiny`: no dimension can be above the native one, `16`",
        "model `ranker`: no input is fed with `input_ids`",
        "model `ranker`: a reranker needs an activation",
        f"model `ranker`: `{tmp_path}/onnx/model.onnx` is not a file",
        f"model `ranker`: `{tmp_path}/tokenizer.json` is not a file",
        "model `dense`: layers come after pooling, and there is none",
        f"model `dense`: `{folders.embedder}/2_Dense/model.safetensors` is not a file",
        "model `adapted`: adapters and an input that is fed with one belong together",
        "model `adapted`: each adapter needs a prompt, and each prompt an adapter",
        "model `adapted`: adapters need a default prompt",
        "model `two`: a reranker has one label, not 2",
        "model `two`: a template holds `{query}` and `{document}` once each",
        "model `three`: a reranker needs labels",
        "model `three`: a score comes from the logits of one or two tokens, not 3",
        "model `other`: `models` is not an absolute path",
    ]


def test_a_file_of_another_size_is_refused_with_both(folders: Folders, tmp_path: Path) -> None:
    entry = tiny.embedder_entry(folders.embedder)
    entry["files"]["tokenizer.json"]["size_bytes"] += 1
    size = entry["files"]["tokenizer.json"]["size_bytes"]
    file = tiny.write_bundle(tmp_path / "bundle.json", entry)
    told = f"`{folders.embedder}/tokenizer.json` has {size - 1} bytes, and {size} were baked"
    assert message_of(file) == f"`{file}`: model `tiny`: {told}"


def test_of_many_files_that_are_missing_some_are_named(tmp_path: Path) -> None:
    baked = {"size_bytes": 1, "sha256": "0" * 64}
    entry = {**tiny.reranker_entry(tmp_path), "files": {f"part-{number}": baked for number in range(7)}}
    problems = message_of(tiny.write_bundle(tmp_path / "bundle.json", entry)).split("; ")
    assert problems[-2:] == [
        f"model `ranker`: `{tmp_path}/tokenizer.json` is not a file",
        "model `ranker`: 7 more files are missing or others",
    ]
