from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.builder import optimizer_stage as stage

INT8, VNNI, Q4 = ({"quantize": name} for name in ("int8", "int8-vnni", "q4"))
LEAST = {"int8": 0.999, "int8-vnni": stage.VNNI_LEAST, "q4": 0.99}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    stage.encoder(tmp_path)
    return tmp_path


def exact() -> NDArray[np.float64]:
    return np.concatenate([stage.states_of(ids) for ids in stage.texts()])


def rows(done: stage.Run, **settings: Any) -> NDArray[np.float32]:
    feeds = stage.padded(stage.texts())
    attended: NDArray[np.float32] = done.answers(feeds, **settings)[feeds["attention_mask"] == 1]
    return attended


@pytest.mark.parametrize("name", LEAST)
def test_answers_stay_near(folder: Path, name: str) -> None:
    done = stage.derive(folder, optimize={"quantize": name})
    assert stage.cosines(rows(done), exact()).min() > LEAST[name]


@pytest.mark.parametrize("name", LEAST)
def test_no_answer_depends_on_the_texts_that_share_its_run(folder: Path, name: str) -> None:
    done = stage.derive(folder, optimize={"quantize": name, "fuse_pooling": True})
    alone = np.concatenate([done.answers(stage.padded([ids])) for ids in stage.texts()])
    together = done.answers(stage.padded(stage.texts()))
    np.testing.assert_allclose(together, alone, atol=1e-6)


@pytest.mark.parametrize("wish", [INT8, VNNI])
def test_products_are_of_bytes_with_a_scale_for_each_token(folder: Path, wish: dict[str, Any]) -> None:
    done = stage.derive(folder, optimize=wish)
    assert done.operators.count("MatMulIntegerToFloat") == 2
    assert not {"MatMul", "DynamicQuantizeLinear"} & set(done.operators)
    assert done.derived["quantizes_dynamically"] is False


def test_weights_for_any_processor_have_7_bits(folder: Path) -> None:
    every = {tensor.name: tensor for tensor in stage.derive(folder, optimize=INT8).model.graph.initializer}
    packed = np.frombuffer(every["optimized/up:int8"].raw_data, np.int8)
    assert (packed.min(), packed.max()) == (-63, 63)


def test_a_token_of_zeros_gives_zeros(tmp_path: Path) -> None:
    nodes = [
        stage.node("Gather", ["table", "input_ids"], ["words"]),
        stage.node("MatMul", ["words", "up"], ["states"]),
    ]
    table = stage.TABLE.copy()
    table[5] = 0
    stage.write(tmp_path, nodes, {"table": table, "up": stage.UP}, shape=("batch", "sequence", stage.INNER))
    done = stage.derive(tmp_path, optimize=INT8)
    answer = done.answers(stage.padded([[5, 6]]))[0]
    np.testing.assert_array_equal(answer[0], np.zeros(stage.INNER))
    assert answer[1].any()


def test_activations_that_several_products_read_are_rounded_once(tmp_path: Path) -> None:
    nodes = [
        stage.node("Gather", ["table", "input_ids"], ["words"]),
        stage.node("MatMul", ["words", "up"], ["query"], name="query"),
        stage.node("MatMul", ["words", "key"], ["keys"], name="key"),
        stage.node("Add", ["query", "keys"], ["states"]),
    ]
    constants = {"table": stage.TABLE, "up": stage.UP, "key": stage.normal(stage.HIDDEN, stage.INNER)}
    stage.write(tmp_path, nodes, constants, shape=("batch", "sequence", stage.INNER))
    operators = stage.derive(tmp_path, optimize=INT8).operators
    assert (operators.count("QuantizeLinear"), operators.count("MatMulIntegerToFloat")) == (1, 2)


def test_weights_that_several_layers_share_are_there_once(tmp_path: Path) -> None:
    nodes = [
        stage.node("Gather", ["table", "input_ids"], ["words"]),
        stage.node("MatMul", ["words", "square"], ["first"], name="layer.0"),
        stage.node("Tanh", ["first"], ["bent"]),
        stage.node("MatMul", ["bent", "square"], ["states"], name="layer.1"),
    ]
    square = stage.normal(stage.HIDDEN, stage.HIDDEN)
    stage.write(tmp_path, nodes, {"table": stage.TABLE, "square": square})
    every = stage.derive(tmp_path, optimize=INT8).model.graph.initializer
    assert [list(tensor.dims) for tensor in every].count([stage.HIDDEN, stage.HIDDEN]) == 1


def test_a_table_of_words_has_a_byte_a_number(folder: Path) -> None:
    done = stage.derive(folder, optimize=Q4)
    sizes = {tensor.name: len(tensor.raw_data) for tensor in done.model.graph.initializer}
    assert sizes["optimized/table:int8"] == stage.TABLE.size
    assert done.derived["applied"] == [{"step": "quantize", "detail": "q4: 2 of 2 products, 1 table of words in bytes"}]


@pytest.mark.parametrize("pattern", ["layer.*.up", "up"])
def test_products_whose_name_or_weights_are_excluded_stay(folder: Path, pattern: str) -> None:
    done = stage.derive(folder, optimize={**INT8, "exclude": [pattern]})
    assert (done.operators.count("MatMul"), done.operators.count("MatMulIntegerToFloat")) == (1, 1)


def test_where_all_are_excluded_nothing_is_derived(folder: Path) -> None:
    done = stage.derive(folder, optimize={**INT8, "exclude": ["*"]})
    assert done.derived["graph"] is None
    assert done.left_out == {"quantize": "`exclude` matches all of its 2 products"}


def test_a_graph_without_float_products_is_not_quantised_again(folder: Path) -> None:
    stage.derive(folder, into="onnx/first", optimize=INT8)
    again = stage.derive(folder, graph="onnx/first/model.onnx", into="second", optimize=INT8)
    why = "it has no product with constant float weights: it may be quantised already"
    assert (again.derived["graph"], again.left_out) == (None, {"quantize": why})


def test_a_product_with_a_bias_is_a_product(tmp_path: Path) -> None:
    bias = stage.normal(stage.INNER)
    nodes = [
        stage.node("Gather", ["table", "input_ids"], ["words"]),
        stage.node("ReduceMax", ["words"], ["pooled"], axes=[1], keepdims=0),
        stage.node("Gemm", ["pooled", "up", "bias"], ["states"], transB=1),
    ]
    constants = {"table": stage.TABLE, "up": np.ascontiguousarray(stage.UP.T), "bias": bias}
    stage.write(tmp_path, nodes, constants, shape=("batch", stage.INNER))
    done = stage.derive(tmp_path, pooling=[], optimize=INT8)
    feeds = stage.padded([ids[:3] for ids in stage.texts()])
    expected = stage.TABLE.astype(np.float64)[feeds["input_ids"]].max(axis=1) @ stage.UP.astype(np.float64) + bias
    assert stage.cosines(done.answers(feeds), expected).min() > LEAST["int8"]
    assert "Gemm" not in done.operators


OUTLIER = 400.0


@pytest.fixture
def sensitive(tmp_path: Path) -> Path:
    """Write a graph one of whose nine products is spoilt by few bits: a number that counts is small beside another."""
    weights = {f"w{number}": stage.normal(stage.HIDDEN, stage.HIDDEN) * 0.7 for number in range(8)}
    large = np.eye(stage.HIDDEN, dtype=np.float32)
    large[0] *= OUTLIER
    nodes = [stage.node("Gather", ["table", "input_ids"], ["x0"])]
    for number in range(8):
        nodes += [
            stage.node("MatMul", [f"x{number}", f"w{number}"], [f"y{number}"], name=f"plain.{number}"),
            stage.node("Tanh", [f"y{number}"], [f"x{number + 1}"]),
        ]
    nodes += [
        stage.node("Mul", ["x8", "widths"], ["wide"]),
        stage.node("MatMul", ["wide", "back"], ["states"], name="delicate"),
    ]
    widths = large.diagonal().copy()
    constants = {"table": stage.TABLE, **weights, "widths": widths, "back": np.diag(1 / widths)}
    stage.write(tmp_path, nodes, constants)
    return tmp_path


def test_products_that_err_most_are_left_out_until_answers_are_near(sensitive: Path) -> None:
    done = stage.derive(sensitive, optimize={**INT8, "min_mean_cosine": 0.99})
    (plain,) = [node.name for node in done.model.graph.node if node.op_type == "MatMul"]
    assert plain == "delicate"
    assert done.derived["applied"][0]["detail"] == "int8: 8 of 9 products, 1 left out, 1 table of words in bytes"


def test_what_4_bits_spoil_has_8_bits_in_blocks(folder: Path) -> None:
    near = stage.derive(folder, optimize={**Q4, "min_mean_cosine": 0.9975})
    bits = [entry.i for node in near.model.graph.node for entry in node.attribute if entry.name == "bits"]
    assert sorted(bits) == [4, 8]


def test_where_half_left_out_is_not_enough_nothing_is_quantised(folder: Path) -> None:
    done = stage.derive(folder, optimize={**INT8, "min_mean_cosine": 0.9999999})
    assert done.derived["graph"] is None
    assert done.left_out["quantize"].startswith("with half of its products left out the mean cosine is 0.9999")
    assert done.left_out["quantize"].endswith(", and 0.9999999 is asked for")


def test_the_head_of_a_reranker_keeps_its_numbers(tmp_path: Path) -> None:
    nodes = [
        stage.node("Gather", ["table", "input_ids"], ["words"]),
        stage.node("MatMul", ["words", "up"], ["raised"], name="up"),
        stage.node("ReduceMax", ["raised"], ["pooled"], axes=[1], keepdims=0),
        stage.node("MatMul", ["pooled", "label"], ["logits"], name="label"),
    ]
    constants = {"table": stage.TABLE, "up": stage.UP, "label": stage.normal(stage.INNER, 1)}
    stage.write(tmp_path, nodes, constants, output="logits", shape=("batch", 1))
    asked: dict[str, Any] = {"task": "reranker", "output": "logits", "pooling": [], "normalize": False}
    near = stage.derive(tmp_path, **asked, optimize={**INT8, "min_mean_cosine": 0.99})
    assert near.steps == ["quantize"]
    assert [node.name for node in near.model.graph.node if node.op_type == "MatMul"] == ["label"]
