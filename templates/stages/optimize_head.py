"""Own the cut of a causal model's head: from logits of a whole vocabulary at every token to those that are read.

What is read are the logits of one or two tokens after the last attended one.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from .optimize_failures import SkipError
from .optimize_graph import Graph
from .optimize_pooling import last_attended, pick

# Between a head and the output: none of these looks at more than one number.
ELEMENTWISE = {"Cast", "Identity", "Mul", "Div", "Tanh"}
BLOCKWISE = "MatMulNBits"
ORDER_OF_BLOCKS = 4  # an input of it that names blocks in another order


def cut_head(graph: Graph, *, answers: Sequence[int], mask: str | None) -> str:
    """Cut the head to the rows of these tokens, and where a mask tells it, to the last token; say what was done.

    Raises SkipError where the head is not found, or does not have these tokens.
    """
    head, bias = _find_head(graph)
    vocabulary = _cut(graph, head, answers)
    if bias is not None:
        (name,) = (given for given in bias.input if given in graph.constants)
        _replace_input(bias, name, _columns(graph, name, answers, width=vocabulary))
    is_cut_to_last = mask is not None and graph.rank(graph.output) == 3
    if mask is not None and is_cut_to_last:
        head.input[0] = pick(graph, head.input[0], last_attended(graph, mask))
    if graph.element_type(graph.output) != onnx.TensorProto.FLOAT:
        inner = f"optimized/{graph.output}"
        graph.rename(graph.output, inner)
        graph.add("Cast", inner, output=graph.output, to=onnx.TensorProto.FLOAT)
    if is_cut_to_last or graph.rank(graph.output) == 2:
        graph.answer(graph.output, shape=["batch", len(answers)])
    else:
        graph.answer(graph.output, shape=["batch", "sequence", len(answers)])
    return f"{len(answers)} of {vocabulary} rows" + (", at the last token" if is_cut_to_last else "")


def _find_head(graph: Graph) -> tuple[onnx.NodeProto, onnx.NodeProto | None]:
    """Follow the output back to the product that makes it, and the bias on the way."""
    name, bias = graph.output, None
    while True:
        node = graph.producer(name)
        if node is None:
            raise SkipError("its head was not found: nothing computes the output")
        if node.op_type in {"MatMul", "Gemm", BLOCKWISE}:
            return node, bias
        constants = [given for given in node.input if given in graph.constants]
        is_bias = node.op_type == "Add" and bias is None and len(constants) == 1
        is_plain = node.op_type in ELEMENTWISE and all(np.prod(graph.constants[given].dims) <= 1 for given in constants)
        variable = [given for given in node.input if given not in graph.constants]
        if len(variable) != 1 or not (is_bias or is_plain):
            raise SkipError(f"its head was not found: the output comes of a `{node.op_type}`")
        bias = node if is_bias else bias
        name = variable[0]


def _cut(graph: Graph, head: onnx.NodeProto, answers: Sequence[int]) -> int:
    """Put the columns of the answers in place of a head's weights, and return how many there were."""
    if head.op_type == BLOCKWISE:
        return _cut_blocks(graph, head, answers)
    weights = graph.matrix(head.input[1])
    if weights is None or weights.ndim != 2:
        raise SkipError("the weights of its head are not a constant")
    is_transposed = any(entry.name == "transB" and entry.i for entry in head.attribute)
    axis = 0 if is_transposed else 1
    _check(answers, vocabulary=weights.shape[axis])
    head.input[1] = graph.constant("answers", np.take(weights, list(answers), axis=axis))
    if len(head.input) > 2 and head.input[2]:
        head.input[2] = _columns(graph, head.input[2], answers, width=weights.shape[axis])
    return int(weights.shape[axis])


def _cut_blocks(graph: Graph, head: onnx.NodeProto, answers: Sequence[int]) -> int:
    """Cut weights that are quantised by blocks: each input has a row for each token."""
    (width,) = (entry for entry in head.attribute if entry.name == "N")
    vocabulary = int(width.i)
    _check(answers, vocabulary=vocabulary)
    for position, name in list(enumerate(head.input))[1:]:
        if name:
            values = None if position == ORDER_OF_BLOCKS else graph.array(name)
            if values is None or values.size % vocabulary:
                raise SkipError("the blocks of its head are not constants in rows")
            head.input[position] = graph.constant(f"answers_{position}", _rows(values, answers, count=vocabulary))
    width.i = len(answers)
    return vocabulary


def _rows(values: NDArray[Any], answers: Sequence[int], *, count: int) -> NDArray[Any]:
    rows = values.reshape(count, -1)[list(answers)]
    return rows.reshape(len(answers), *values.shape[1:]) if values.shape[0] == count else rows.reshape(-1)


def _columns(graph: Graph, name: str, answers: Sequence[int], *, width: int) -> str:
    """Cut what is added to the logits: a number for each, or one for all."""
    values = graph.array(name)
    if values is None:
        raise SkipError("the bias of its head is not a constant")
    if not values.ndim or values.shape[-1] != width:
        return name
    return graph.constant("answers_added", np.take(values, list(answers), axis=-1))


def _check(answers: Sequence[int], *, vocabulary: int) -> None:
    if max(answers) >= vocabulary:
        raise SkipError(f"its head has {vocabulary} rows, and none for token {max(answers)}")
    if len(answers) == vocabulary:
        raise SkipError(f"its head has only the {vocabulary} rows that are read")


def _replace_input(node: onnx.NodeProto, old: str, new: str) -> None:
    for position, name in enumerate(node.input):
        if name == old:
            node.input[position] = new
