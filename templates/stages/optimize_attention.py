"""Own attention inside a graph: found as its export wrote it, and written as one operator; nothing is run here.

What is found is softmax(q k^T * scale + bias) v of heads that stand side by side in [batch, sequence, heads * width].
ONNX Runtime's own scripts find it in fewer graphs, and its fusions while it loads in none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from .optimize_failures import SkipError
from .optimize_graph import CONTRIB, Graph

TO_HEADS, TO_KEYS, TO_TURNED_KEYS = [0, 2, 1, 3], [0, 2, 3, 1], [0, 1, 3, 2]


@dataclass(frozen=True, kw_only=True, slots=True)
class Attention:
    """What one attention reads and makes; `bias` is what is added to its scores."""

    query: str
    key: str
    value: str
    bias: str | None
    heads: int
    scale: float
    output: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Heads:
    """What is split into heads, into how many, and what they are multiplied with."""

    values: str
    count: int
    scale: float


def fuse_attention(graph: Graph) -> str:
    """Write every attention that is found as one operator; say how many. Raises SkipError where there is none."""
    every = [node for node in graph.nodes if node.op_type == "Softmax"]
    found = [attention for node in every if (attention := _read(graph, node)) is not None]
    if not found:
        raise SkipError("no attention was found that can be one operator")
    for attention in found:
        _write(graph, attention)
    return f"{len(found)} of {len(every)}"


def _write(graph: Graph, attention: Attention) -> None:
    """Put the operator in place of what makes its output; what it does not need falls away."""
    node = graph.producer(attention.output)
    if node is not None:
        graph.remove(node)
    inputs, biases = [], []
    for name in (attention.query, attention.key, attention.value):
        product, bias = _without_constant(graph, name)
        inputs.append(product)
        biases.append(bias)
    whole = [bias for bias in biases if bias is not None]
    if len(whole) == len(biases):
        inputs.append(graph.constant(f"{attention.output}:biases", np.concatenate(whole)))
    else:
        inputs = [attention.query, attention.key, attention.value]
    if attention.bias is not None:
        inputs += [""] * (5 - len(inputs)) + [_full_bias(graph, attention.bias, inputs[0])]
    graph.add(
        "MultiHeadAttention",
        *inputs,
        output=attention.output,
        domain=CONTRIB,
        num_heads=attention.heads,
        scale=attention.scale,
    )


def _without_constant(graph: Graph, name: str) -> tuple[str, NDArray[Any] | None]:
    """Step over the bias of a projection, which the operator adds while it sorts the heads."""
    node = graph.producer(name)
    if node is None or node.op_type != "Add" or len(graph.consumers(name)) != 1:
        return name, None
    constants = [given for given in node.input if given in graph.constants]
    bias = graph.array(constants[0]) if len(constants) == 1 else None
    if bias is None or bias.ndim != 1:
        return name, None
    return next(given for given in node.input if given != constants[0]), bias


def _full_bias(graph: Graph, bias: str, query: str) -> str:
    """Repeat what is added for each query, once for all layers: the operator wants [batch, heads, query, key]."""
    name = f"optimized/{bias}:full"
    if graph.producer(name) is None:
        length = graph.add("Gather", graph.add("Shape", query), graph.integers(1), axis=0)
        one = graph.integers(1)
        graph.add("Expand", bias, graph.add("Concat", one, one, length, one, axis=0), output=name)
    return name


def _read(graph: Graph, softmax: onnx.NodeProto) -> Attention | None:
    """Read what stands around a softmax as an attention, None where it is none."""
    if _attribute(softmax, "axis", -1) not in {-1, 3}:
        return None
    scores, bias = _without_bias(graph, softmax.input[0])
    scores, scale = _without_scale(graph, scores)
    product = graph.producer(scores)
    mixed = _only_reader(graph, softmax.output[0], "MatMul")
    if product is None or product.op_type != "MatMul" or mixed is None or mixed.input[0] != softmax.output[0]:
        return None
    query, key, value = (
        _heads(graph, product.input[0], [TO_HEADS]),
        _heads(graph, product.input[1], [TO_KEYS, TO_HEADS + TO_TURNED_KEYS]),
        _heads(graph, mixed.input[1], [TO_HEADS]),
    )
    joined = _joined(graph, mixed.output[0])
    if query is None or key is None or value is None or joined is None:
        return None
    if not query.count == key.count == value.count or value.scale != 1:
        return None
    return Attention(
        query=query.values,
        key=key.values,
        value=value.values,
        bias=bias,
        heads=query.count,
        scale=scale * query.scale * key.scale,
        output=joined,
    )


def _without_bias(graph: Graph, name: str) -> tuple[str, str | None]:
    """Step over what is added to scores: a mask, or how far tokens stand apart."""
    node = graph.producer(name)
    if node is None or node.op_type != "Add":
        return name, None
    products = [given for given in node.input if _is_of_a_product(graph, given)]
    if len(products) != 1:
        return name, None
    (bias,) = (given for given in node.input if given != products[0])
    return products[0], bias


def _is_of_a_product(graph: Graph, name: str) -> bool:
    node = graph.producer(_without_scale(graph, name)[0])
    return node is not None and node.op_type == "MatMul"


def _without_scale(graph: Graph, name: str) -> tuple[str, float]:
    """Step over a product with a number, and return that."""
    node = graph.producer(name)
    if node is None or node.op_type not in {"Mul", "Div"}:
        return name, 1.0
    numbers = [given for given in node.input if given in graph.constants]
    values = graph.array(numbers[0]) if len(numbers) == 1 else None
    if values is None or values.size != 1 or (node.op_type == "Div" and node.input[1] != numbers[0]):
        return name, 1.0
    factor = float(values.reshape(()))
    (rest,) = (given for given in node.input if given != numbers[0])
    return rest, 1 / factor if node.op_type == "Div" else factor


def _heads(graph: Graph, name: str, permutations: Sequence[list[int]]) -> Heads | None:
    """Step back from [batch, head, sequence, width], or its keys turned, to what was split; with heads and scale."""
    name, scale = _without_scale(graph, name)
    turned: list[int] = []
    while (node := graph.producer(name)) is not None and node.op_type == "Transpose":
        turned = [*_attribute(node, "perm", []), *turned]
        name = node.input[0]
    if turned not in permutations or node is None or node.op_type != "Reshape":
        return None
    heads = _count_heads(graph, node)
    return None if heads is None else Heads(values=node.input[0], count=heads, scale=scale)


def _count_heads(graph: Graph, split: onnx.NodeProto) -> int | None:
    """Read into how many heads a product is split, where its width tells that too."""
    shape = graph.array(split.input[1])
    if shape is None:
        node = graph.producer(split.input[1])
        parts = [] if node is None or node.op_type != "Concat" else [graph.array(name) for name in node.input]
        if len(parts) != 4 or parts[2] is None or parts[3] is None:
            return None
        shape = np.concatenate([[0, 0], parts[2].reshape(-1), parts[3].reshape(-1)])
    if shape.size != 4 or shape[3] <= 0:
        return None
    width = _width(graph, split.input[0])
    return int(shape[2]) if shape[2] > 0 else None if width is None else width // int(shape[3])


def _width(graph: Graph, name: str) -> int | None:
    """Count what a product with weights, or the bias after it, makes of a token."""
    node = graph.producer(name)
    if node is None or node.op_type not in {"Add", "MatMul"}:
        return None
    return next((graph.constants[given].dims[-1] for given in node.input if given in graph.constants), None)


def _joined(graph: Graph, name: str) -> str | None:
    """Step on to where the heads stand side by side again."""
    turned = _only_reader(graph, name, "Transpose")
    if turned is None or _attribute(turned, "perm", []) != TO_HEADS:
        return None
    joined = _only_reader(graph, turned.output[0], "Reshape")
    shape = None if joined is None else graph.array(joined.input[1])
    return joined.output[0] if joined is not None and shape is not None and shape.size == 3 else None


def _only_reader(graph: Graph, name: str, operator: str) -> onnx.NodeProto | None:
    readers = graph.consumers(name)
    return readers[0] if len(readers) == 1 and readers[0].op_type == operator else None


def _attribute(node: onnx.NodeProto, name: str, otherwise: Any) -> Any:
    for entry in node.attribute:
        if entry.name == name:
            return list(entry.ints) if isinstance(otherwise, list) else int(np.int64(entry.i))
    return otherwise
