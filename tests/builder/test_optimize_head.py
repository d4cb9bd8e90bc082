from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto

from templates.stages import optimize_numbers
from tests.builder import optimizer_stage as stage

YES, NO = 901, 17
TOLERANCE = 2e-5
HEAD = stage.normal(stage.HIDDEN, stage.WORDS)
BIAS = stage.normal(stage.WORDS)
LOGITS = ("batch", "sequence", stage.WORDS)
STATES: list[onnx.NodeProto] = [
    stage.node("Gather", ["table", "input_ids"], ["words"], name="words"),
    stage.node("Tanh", ["words"], ["states"], name="tanh"),
]


def causal(folder: Path, nodes: Sequence[onnx.NodeProto], constants: dict[str, Any], **settings: Any) -> None:
    """Write a graph whose nodes make `logits` of `states`."""
    constants = {"table": stage.TABLE, **constants}
    stage.write(folder, [*STATES, *nodes], constants, output="logits", **{"shape": LOGITS, **settings})


def cut(folder: Path, **changes: Any) -> stage.Run:
    asked = {"task": "reranker", "output": "logits", "pooling": [], "normalize": False, "answer_tokens": [YES, NO]}
    return stage.derive(folder, **{**asked, **changes})


def exact(head: NDArray[Any] = HEAD) -> NDArray[np.float64]:
    """Compute the two logits after each text's last token."""
    last = [np.tanh(stage.TABLE[ids[-1]].astype(np.float64)) for ids in stage.texts()]
    logits: NDArray[np.float64] = np.array(last) @ head.astype(np.float64)[:, [YES, NO]]
    return logits


@pytest.mark.parametrize("opset", [11, 17])
@pytest.mark.parametrize("side", ["left", "right"])
def test_two_logits_of_the_last_token_are_left(tmp_path: Path, side: str, opset: int) -> None:
    causal(tmp_path, [stage.node("MatMul", ["states", "head"], ["logits"])], {"head": HEAD}, opset=opset)
    done = cut(tmp_path, padding_side=side)
    rows = done.answers(stage.padded(stage.texts(), side=side))
    np.testing.assert_allclose(rows, exact(), atol=TOLERANCE)
    assert done.derived["applied"] == [{"step": "cut_head", "detail": "2 of 1200 rows, at the last token"}]


def test_the_answers_are_the_first_two_and_texts_may_share_a_run(tmp_path: Path) -> None:
    causal(tmp_path, [stage.node("MatMul", ["states", "head"], ["logits"])], {"head": HEAD})
    derived = cut(tmp_path).derived
    assert (derived["answer_tokens"], derived["output"], derived["batching"]) == ([0, 1], "logits", True)


def test_one_answer_is_one_logit(tmp_path: Path) -> None:
    causal(tmp_path, [stage.node("MatMul", ["states", "head"], ["logits"])], {"head": HEAD})
    done = cut(tmp_path, answer_tokens=[YES])
    np.testing.assert_allclose(done.answers(stage.padded(stage.texts())), exact()[:, :1], atol=TOLERANCE)
    assert done.derived["answer_tokens"] == [0]


def test_the_weights_of_the_other_words_are_gone(tmp_path: Path) -> None:
    causal(tmp_path, [stage.node("MatMul", ["states", "head"], ["logits"])], {"head": HEAD})
    shapes = {tensor.name: list(tensor.dims) for tensor in cut(tmp_path).model.graph.initializer}
    assert shapes["optimized/answers"] == [stage.HIDDEN, 2]
    assert "head" not in shapes


def test_a_table_of_words_that_is_the_head_stays_for_the_words(tmp_path: Path) -> None:
    nodes = [
        stage.node("Transpose", ["table"], ["turned"], perm=[1, 0]),
        stage.node("MatMul", ["states", "turned"], ["logits"]),
    ]
    causal(tmp_path, nodes, {})
    done = cut(tmp_path)
    np.testing.assert_allclose(done.answers(stage.padded(stage.texts())), exact(stage.TABLE.T), atol=TOLERANCE)
    assert sum(np.prod(tensor.dims) for tensor in done.model.graph.initializer) < stage.TABLE.size * 1.1


def test_a_bias_is_cut_too(tmp_path: Path) -> None:
    nodes = [stage.node("MatMul", ["states", "head"], ["wide"]), stage.node("Add", ["wide", "bias"], ["logits"])]
    causal(tmp_path, nodes, {"head": HEAD, "bias": BIAS})
    rows = cut(tmp_path).answers(stage.padded(stage.texts()))
    np.testing.assert_allclose(rows, exact() + BIAS[[YES, NO]], atol=TOLERANCE)


def test_a_head_that_scales_and_caps_its_logits_is_cut(tmp_path: Path) -> None:
    nodes = [
        stage.node("MatMul", ["states", "head"], ["wide"]),
        stage.node("Div", ["wide", "cap"], ["small"]),
        stage.node("Tanh", ["small"], ["bent"]),
        stage.node("Mul", ["bent", "cap"], ["logits"]),
    ]
    causal(tmp_path, nodes, {"head": HEAD, "cap": np.array(30, np.float32)})
    rows = cut(tmp_path).answers(stage.padded(stage.texts()))
    np.testing.assert_allclose(rows, 30 * np.tanh(exact() / 30), atol=TOLERANCE)


@pytest.mark.parametrize("is_transposed", [0, 1])
def test_a_head_for_one_token_a_text_is_cut(tmp_path: Path, is_transposed: int) -> None:
    nodes = [
        stage.node("ReduceMax", ["states"], ["pooled"], axes=[1], keepdims=0),
        stage.node("Gemm", ["pooled", "head", "bias"], ["logits"], transB=is_transposed),
    ]
    head = HEAD.T if is_transposed else HEAD
    causal(tmp_path, nodes, {"head": head, "bias": BIAS}, shape=("batch", stage.WORDS))
    done = cut(tmp_path)
    feeds = stage.padded([ids[:3] for ids in stage.texts()])
    pooled = np.tanh(stage.TABLE.astype(np.float64))[feeds["input_ids"]].max(axis=1)
    expected = (pooled @ HEAD.astype(np.float64) + BIAS)[:, [YES, NO]]
    np.testing.assert_allclose(done.answers(feeds), expected, atol=TOLERANCE)
    assert done.derived["applied"][0]["detail"] == "2 of 1200 rows"


def test_a_head_of_float16_answers_in_float32(tmp_path: Path) -> None:
    nodes = [
        stage.node("Cast", ["states"], ["halves"], to=TensorProto.FLOAT16),
        stage.node("MatMul", ["halves", "head"], ["logits"]),
    ]
    causal(tmp_path, nodes, {"head": HEAD.astype(np.float16)}, kind=TensorProto.FLOAT16)
    rows = cut(tmp_path).answers(stage.padded(stage.texts()))
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows, exact(), atol=0.02)  # a half has 11 bits


@pytest.mark.parametrize("bits", [4, 8])
def test_a_head_of_blocks_is_cut_by_rows(tmp_path: Path, bits: int) -> None:
    blocks = optimize_numbers.by_block(HEAD, bits=bits)
    names = ["states", "packed", "scales", "zeros"]
    sizes: dict[str, Any] = {"K": stage.HIDDEN, "N": stage.WORDS, "bits": bits, "block_size": optimize_numbers.BLOCK}
    nodes = [stage.node("MatMulNBits", names, ["logits"], domain="com.microsoft", **sizes)]
    constants = {"packed": blocks.packed, "scales": blocks.scales.reshape(-1), "zeros": blocks.zero_points.reshape(-1)}
    causal(tmp_path, nodes, constants)
    feeds = stage.padded(stage.texts())
    whole = stage.run(tmp_path / stage.GRAPH, feeds, "logits")
    last = feeds["attention_mask"].sum(axis=1) - 1
    expected = whole[np.arange(len(last)), last][:, [YES, NO]]
    np.testing.assert_allclose(cut(tmp_path).answers(feeds), expected, atol=TOLERANCE)


@pytest.mark.parametrize(
    ("nodes", "why"),
    [
        (["Softmax"], "its head was not found: the output comes of a `Softmax`"),
        (["MatMul", "Relu"], "its head was not found: the output comes of a `Relu`"),
    ],
)
def test_a_head_that_is_not_found_stays(tmp_path: Path, nodes: list[str], why: str) -> None:
    names = ["states", *(f"made{number}" for number in range(1, len(nodes))), "logits"]
    made = [
        stage.node(operator, [names[at], *(["head"] if operator == "MatMul" else [])], [names[at + 1]])
        for at, operator in enumerate(nodes)
    ]
    shape = LOGITS if "MatMul" in nodes else ("batch", "sequence", stage.HIDDEN)
    causal(tmp_path, made, {"head": HEAD} if "MatMul" in nodes else {}, shape=shape)
    done = cut(tmp_path, optimize={"graph": True})
    assert (done.code, done.left_out) == (0, {"cut_head": why})
    assert (done.derived["answer_tokens"], done.derived["batching"]) == ([YES, NO], False)


def test_a_head_without_the_answers_stays(tmp_path: Path) -> None:
    causal(tmp_path, [stage.node("MatMul", ["states", "head"], ["logits"])], {"head": HEAD})
    done = cut(tmp_path, answer_tokens=[1300], optimize={"graph": True})
    assert done.left_out == {"cut_head": "its head has 1200 rows, and none for token 1300"}


def test_a_head_that_was_cut_already_stays(tmp_path: Path) -> None:
    nodes = [stage.node("MatMul", ["states", "head"], ["logits"])]
    causal(tmp_path, nodes, {"head": HEAD[:, :2]}, shape=("batch", "sequence", 2))
    done = cut(tmp_path, answer_tokens=[1, 0], optimize={"graph": True})
    assert done.left_out == {"cut_head": "its head has only the 2 rows that are read"}
