from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from runtime.batch import Batch, pad
from runtime.errors import InferenceError, ModelError
from runtime.session import Session
from runtime.tokenizer import Entry
from tests.runtime import tiny
from tests.runtime.conftest import Folders

TOLERANCE = 1e-5
IDS = (tiny.CLS, 8, 9, tiny.SEP)


def one_text(*ids: int) -> Batch:
    return pad([Entry(ids=ids, type_ids=(0,) * len(ids), truncated=False)], pad_token_id=tiny.PAD)


def graph_over(file: Path, *inputs: str, integers: int = TensorProto.INT64) -> Path:
    nodes = [helper.make_node("Gather", ["words", inputs[0]], ["states"])]
    tiny.write_graph(file, nodes=nodes, outputs={"states": ["a", "b", "c"]}, inputs=inputs, integers=integers)
    return file


def message_of(graph: Path, *, output: str) -> str:
    with pytest.raises(ModelError) as caught:
        Session(graph, output=output, threads=1)
    return str(caught.value).removeprefix(f"`{graph}`: ")


def test_the_named_output_is_computed(folders: Folders) -> None:
    session = Session(folders.embedder / "onnx" / "model.onnx", output="last_hidden_state", threads=1)
    np.testing.assert_allclose(session.run(one_text(*IDS))[0], tiny.states(IDS), atol=TOLERANCE)


def test_a_graph_gets_the_integers_that_it_asks_for(tmp_path: Path) -> None:
    tiny.write_embedder(tmp_path, integers=TensorProto.INT32)
    session = Session(tmp_path / "onnx" / "model.onnx", output="last_hidden_state", threads=1)
    np.testing.assert_allclose(session.run(one_text(*IDS))[0], tiny.states(IDS), atol=TOLERANCE)


def test_a_graph_gets_only_the_inputs_that_it_has(tmp_path: Path) -> None:
    session = Session(graph_over(tmp_path / "model.onnx", "input_ids"), output="states", threads=1)
    np.testing.assert_array_equal(session.run(one_text(*IDS))[0], tiny.WORD_EMBEDDINGS[list(IDS)])


def test_an_input_that_cannot_be_fed_is_named(tmp_path: Path) -> None:
    graph = graph_over(tmp_path / "model.onnx", "input_ids", "position_ids", "task_id")
    assert message_of(graph, output="states") == (
        "input `position_ids` is not one this server can feed; input `task_id` is not one this server can feed"
    )


def test_an_input_of_another_type_is_named(tmp_path: Path) -> None:
    nodes = [helper.make_node("Cast", ["input_ids"], ["states"], to=TensorProto.FLOAT)]
    file = tmp_path / "model.onnx"
    tiny.write_graph(
        file, nodes=nodes, outputs={"states": ["a", "b"]}, inputs=["input_ids"], integers=TensorProto.DOUBLE
    )
    assert message_of(file, output="states") == (
        "input `input_ids` is a `tensor(double)`, not an int64 or int32 tensor"
    )


def test_a_graph_without_token_ids_is_refused(tmp_path: Path) -> None:
    graph = graph_over(tmp_path / "model.onnx", "attention_mask")
    assert message_of(graph, output="states") == "it has no input `input_ids`"


def test_an_output_that_is_not_there_is_answered_with_those_that_are(folders: Folders) -> None:
    graph = folders.embedder / "onnx" / "model.onnx"
    assert message_of(graph, output="pooler_output") == (
        "it has no output `pooler_output`, only `last_hidden_state`, `sentence_embedding`"
    )


def test_what_is_no_graph_is_named(tmp_path: Path) -> None:
    graph = tmp_path / "model.onnx"
    graph.write_bytes(b"version https://git-lfs.github.com/spec/v1")
    with pytest.raises(ModelError, match=f"^`{graph}`: .*INVALID_PROTOBUF"):
        Session(graph, output="states", threads=1)


def test_a_run_that_fails_says_whose_it_is(folders: Folders) -> None:
    graph = folders.embedder / "onnx" / "model.onnx"
    session = Session(graph, output="last_hidden_state", threads=1)
    with pytest.raises(InferenceError, match=f"^`{graph}`: "):
        session.run(one_text(10_000))
