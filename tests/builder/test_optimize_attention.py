from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto

from tests.builder import optimizer_stage as stage

HEADS, WIDTH = 4, stage.HIDDEN // 4
TOLERANCE = 1e-5
WEIGHTS = {name: stage.normal(stage.HIDDEN, stage.HIDDEN) for name in ("query", "key", "value")}
BIASES = {name: stage.normal(stage.HIDDEN) for name in WEIGHTS}
FUSE = {"graph": True, "attention": True}
node = stage.node
Nodes = list[onnx.NodeProto]


def constants() -> dict[str, NDArray[Any]]:
    biases = {f"{name}_bias": values for name, values in BIASES.items()}
    numbers = {
        "split": np.array([0, 0, HEADS, WIDTH]),
        "join": np.array([0, 0, stage.HIDDEN]),
        "root": np.array(np.sqrt(WIDTH), np.float32),
        "root_of_scale": np.array(WIDTH**-0.25, np.float32),
        "one": np.array(1, np.float32),
        "lowest": np.array(-10000, np.float32),
        "axes": np.array([1, 2]),
    }
    return {"table": stage.TABLE, **WEIGHTS, **biases, **numbers}


def projections(*, with_bias: bool = True) -> Nodes:
    """Make `query_3`, `key_3` and `value_3`, [batch, sequence, hidden], of the words."""
    nodes = [node("Gather", ["table", "input_ids"], ["words"])]
    for name in WEIGHTS:
        nodes.append(node("MatMul", ["words", name], [f"{name}_product" if with_bias else f"{name}_3"]))
        if with_bias:
            nodes.append(node("Add", [f"{name}_product", f"{name}_bias"], [f"{name}_3"]))
    return nodes


def masked() -> Nodes:
    """Make `bias` of the mask, [batch, 1, 1, sequence]."""
    return [
        node("Unsqueeze", ["attention_mask", "axes"], ["mask_4"]),
        node("Cast", ["mask_4"], ["attended"], to=TensorProto.FLOAT),
        node("Sub", ["one", "attended"], ["forbidden"]),
        node("Mul", ["forbidden", "lowest"], ["bias"]),
    ]


def split(name: str, *permutations: Sequence[int], shape: str = "split") -> Nodes:
    """Make `name_4` of `name_3`."""
    nodes = [node("Reshape", [f"{name}_3", shape], [f"{name}_split0"])]
    for number, permutation in enumerate(permutations):
        made = f"{name}_4" if number == len(permutations) - 1 else f"{name}_split{number + 1}"
        nodes.append(node("Transpose", [f"{name}_split{number}"], [made], perm=list(permutation)))
    return nodes


def mixed(scores: str) -> Nodes:
    return [
        node("Softmax", [scores], ["shares"], axis=-1),
        node("MatMul", ["shares", "value_4"], ["mixed"]),
        node("Transpose", ["mixed"], ["turned"], perm=[0, 2, 1, 3]),
        node("Reshape", ["turned", "join"], ["states"]),
    ]


def bert(*, shape: str = "split", with_bias: bool = True) -> Nodes:
    """Write attention as exports of BERT do: scores are divided."""
    return [
        *projections(with_bias=with_bias),
        *masked(),
        *split("query", (0, 2, 1, 3), shape=shape),
        *split("key", (0, 2, 3, 1), shape=shape),
        *split("value", (0, 2, 1, 3), shape=shape),
        node("MatMul", ["query_4", "key_4"], ["scores"]),
        node("Div", ["scores", "root"], ["scaled"]),
        node("Add", ["scaled", "bias"], ["masked"]),
        *mixed("masked"),
    ]


def sdpa() -> Nodes:
    """Write attention as torch's scaled dot product is exported: queries and keys are multiplied."""
    return [
        *projections(),
        *masked(),
        *split("query", (0, 2, 1, 3)),
        *split("key", (0, 2, 1, 3), (0, 1, 3, 2)),
        *split("value", (0, 2, 1, 3)),
        node("Mul", ["query_4", "root_of_scale"], ["query_scaled"]),
        node("Mul", ["key_4", "root_of_scale"], ["key_scaled"]),
        node("MatMul", ["query_scaled", "key_scaled"], ["scores"]),
        node("Add", ["bias", "scores"], ["masked"]),
        *mixed("masked"),
    ]


def measured(*, heads: int) -> Nodes:
    """Write the shape that heads are split into as an export with sizes that vary does."""
    parts = [
        node("Shape", ["words"], ["sizes"]),
        node("Gather", ["sizes", "first"], ["batch"]),
        node("Gather", ["sizes", "second"], ["sequence"]),
        node("Concat", ["batch", "sequence", "heads", "width"], ["varying"], axis=0),
    ]
    nodes = bert(shape="varying")
    return [*nodes[:1], *parts, *nodes[1:]] if heads else nodes


def exact(*, with_bias: bool = True, far: NDArray[Any] | None = None) -> list[NDArray[np.float64]]:
    """Compute attention of each text alone, in float64."""
    answers = []
    for ids in stage.texts():
        words = stage.TABLE.astype(np.float64)[ids]
        query, key, value = (words @ WEIGHTS[name].astype(np.float64) + BIASES[name] * with_bias for name in WEIGHTS)
        heads = []
        for head in range(HEADS):
            part = slice(head * WIDTH, (head + 1) * WIDTH)
            scores = query[:, part] @ key[:, part].T / np.sqrt(WIDTH)
            powers = np.exp(scores if far is None else scores + far[0, head, : len(ids), : len(ids)])
            heads.append(powers / powers.sum(axis=1, keepdims=True) @ value[:, part])
        answers.append(np.concatenate(heads, axis=1))
    return answers


def check(done: stage.Run, expected: list[NDArray[np.float64]], *, side: str = "right") -> None:
    feeds = stage.padded(stage.texts(), side=side)
    rows = done.answers(feeds)[feeds["attention_mask"] == 1]
    np.testing.assert_allclose(rows, np.concatenate(expected), atol=TOLERANCE)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("nodes", [bert(), sdpa()], ids=["bert", "sdpa"])
def test_attention_becomes_one_operator(tmp_path: Path, nodes: Nodes, side: str) -> None:
    stage.write(tmp_path, nodes, constants())
    done = stage.derive(tmp_path, optimize=FUSE)
    check(done, exact(), side=side)
    assert done.operators.count("MultiHeadAttention") == 1
    assert not {"Softmax", "Transpose"} & set(done.operators)


def test_the_biases_of_its_projections_are_added_by_it(tmp_path: Path) -> None:
    stage.write(tmp_path, bert(), constants())
    assert "Add" not in stage.derive(tmp_path, optimize=FUSE).operators


def test_projections_need_no_bias(tmp_path: Path) -> None:
    stage.write(tmp_path, bert(with_bias=False), constants())
    done = stage.derive(tmp_path, optimize=FUSE)
    check(done, exact(with_bias=False))
    assert "MultiHeadAttention" in done.operators


@pytest.mark.parametrize("heads", [HEADS, -1])
def test_heads_are_counted_where_other_sizes_vary(tmp_path: Path, heads: int) -> None:
    sizes = {"heads": np.array([heads]), "width": np.array([WIDTH]), "first": np.array([0]), "second": np.array([1])}
    stage.write(tmp_path, measured(heads=heads), {**constants(), **sizes})
    done = stage.derive(tmp_path, optimize=FUSE)
    check(done, exact())
    assert "MultiHeadAttention" in done.operators


def test_what_is_added_to_scores_may_be_how_far_tokens_stand_apart(tmp_path: Path) -> None:
    far = stage.normal(1, HEADS, 64, 64)
    nodes = [each for each in bert() if each.output[0] not in {"mask_4", "attended", "forbidden", "bias"}]
    nodes = [
        node("Shape", ["input_ids"], ["sizes"]),
        node("Slice", ["sizes", "second", "third"], ["length"]),
        node("Concat", ["length", "length"], ["lengths"], axis=0),
        node("Slice", ["far", "zeros", "lengths", "last_axes"], ["bias"]),
        *nodes,
    ]
    places = {"second": np.array([1]), "third": np.array([2]), "zeros": np.array([0, 0]), "last_axes": np.array([2, 3])}
    stage.write(tmp_path, nodes, {**constants(), **places, "far": far})
    done = stage.derive(tmp_path, optimize=FUSE)
    first = done.answers(stage.padded(stage.texts()[:1]))[0]
    np.testing.assert_allclose(first, exact(far=far)[0], atol=TOLERANCE)
    assert "MultiHeadAttention" in done.operators


def test_quantised_attention_answers_alike(tmp_path: Path) -> None:
    stage.write(tmp_path, bert(), constants())
    done = stage.derive(tmp_path, optimize={**FUSE, "quantize": "int8"})
    feeds = stage.padded(stage.texts())
    rows = done.answers(feeds)[feeds["attention_mask"] == 1]
    assert stage.cosines(rows, np.concatenate(exact())).min() > 0.998
    assert {"MultiHeadAttention", "MatMulIntegerToFloat"} <= set(done.operators)


def without(nodes: Nodes, output: str, replacement: onnx.NodeProto) -> Nodes:
    return [replacement if each.output[0] == output else each for each in nodes]


@pytest.mark.parametrize(
    "nodes",
    [
        without(bert(), "shares", node("Softmax", ["masked"], ["shares"], axis=1)),
        without(bert(), "turned", node("Transpose", ["mixed"], ["turned"], perm=[0, 1, 2, 3])),
        without(bert(), "masked", node("Mul", ["scaled", "bias"], ["masked"])),
    ],
    ids=["over heads", "heads apart", "multiplied"],
)
def test_what_is_not_quite_attention_stays(tmp_path: Path, nodes: Nodes) -> None:
    made = {**constants(), "join": np.array([0, -1, stage.HIDDEN])}
    stage.write(tmp_path, nodes, made, shape=("batch", "rows", stage.HIDDEN))
    done = stage.derive(tmp_path, optimize=FUSE)
    assert done.left_out == {"attention": "no attention was found that can be one operator"}
    assert "MultiHeadAttention" not in done.operators
