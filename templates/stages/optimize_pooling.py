"""Own pooling inside a graph: what the server would compute of token states, in operators; nothing is run here.

Modes are named, and behave, as those of sentence-transformers: only attended tokens count, whichever side is padded.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from onnx import TensorProto

from .optimize_graph import Graph

# as the server clamps it, so that a text without tokens gives zeros and not NaN
SMALLEST_COUNT = 1e-9
SMALLEST_NORM = 1e-12
LOWEST = -np.inf


def pool(graph: Graph, states: str, *, mask: str, modes: Sequence[str]) -> str:
    """Add what makes one vector of each text: [batch, sequence, hidden] float32 -> [batch, hidden * modes].

    `mask`, [batch, sequence], is one where a token is attended. A text without such tokens becomes zeros.
    """
    attended = graph.cast(mask, TensorProto.INT64)
    counted = graph.add("CumSum", attended, graph.integer(1))
    ordinals = graph.add("Mul", counted, attended)  # attended tokens from one, and zero elsewhere
    vectors = [_MODES[mode](graph, states, attended, ordinals) for mode in modes]
    joined = vectors[0] if len(vectors) == 1 else graph.add("Concat", *vectors, axis=1)
    total = graph.reduce("ReduceSum", attended, axis=1)
    has_tokens = graph.cast(total, TensorProto.BOOL)
    return graph.add("Where", has_tokens, joined, graph.scalar(0.0))


def unit(graph: Graph, vectors: str) -> str:
    """Add what scales each row to a Euclidean length of one."""
    norm = graph.reduce("ReduceL2", vectors, axis=1)
    return graph.add("Div", vectors, graph.add("Max", norm, graph.scalar(SMALLEST_NORM)))


def pick(graph: Graph, states: str, positions: str) -> str:
    """Add what takes one position of each row: [batch, sequence, n] and [batch] -> [batch, n]."""
    batch = graph.add("Gather", graph.add("Shape", positions), graph.integer(0), axis=0)
    rows = graph.add("Range", graph.integer(0), batch, graph.integer(1))
    columns = [graph.add("Reshape", values, graph.integers(-1, 1)) for values in (rows, positions)]
    return graph.add("GatherND", states, graph.add("Concat", *columns, axis=1))


def last_attended(graph: Graph, mask: str) -> str:
    """Add what finds the last attended token of each row: [batch, sequence] -> [batch]."""
    attended = graph.cast(mask, TensorProto.INT64)
    ordinals = graph.add("Mul", graph.add("CumSum", attended, graph.integer(1)), attended)
    return graph.add("ArgMax", ordinals, axis=1, keepdims=0)


def _first(graph: Graph, states: str, attended: str, _ordinals: str) -> str:
    return pick(graph, states, graph.add("ArgMax", attended, axis=1, keepdims=0))


def _last(graph: Graph, states: str, _attended: str, ordinals: str) -> str:
    return pick(graph, states, graph.add("ArgMax", ordinals, axis=1, keepdims=0))


def _maximum(graph: Graph, states: str, attended: str, _ordinals: str) -> str:
    column = graph.add("Reshape", graph.cast(attended, TensorProto.BOOL), graph.integers(0, -1, 1))
    lowest = graph.constant("lowest", np.array(LOWEST, dtype=np.float32))
    return graph.reduce("ReduceMax", graph.add("Where", column, states, lowest), axis=1, keeps=False)


def _mean(graph: Graph, states: str, attended: str, _ordinals: str) -> str:
    return graph.add("Div", _sum(graph, states, attended), _total(graph, attended))


def _mean_sqrt(graph: Graph, states: str, attended: str, _ordinals: str) -> str:
    return graph.add("Div", _sum(graph, states, attended), graph.add("Sqrt", _total(graph, attended)))


def _weighted(graph: Graph, states: str, _attended: str, ordinals: str) -> str:
    return graph.add("Div", _sum(graph, states, ordinals), _total(graph, ordinals))


def _sum(graph: Graph, states: str, weights: str) -> str:
    """Sum states by weight: [batch, sequence, hidden] and [batch, sequence] -> [batch, hidden]."""
    row = graph.add("Reshape", graph.cast(weights, TensorProto.FLOAT), graph.integers(0, 1, -1))
    return graph.reduce("ReduceSum", graph.add("MatMul", row, states), axis=1, keeps=False)


def _total(graph: Graph, weights: str) -> str:
    total = graph.reduce("ReduceSum", graph.cast(weights, TensorProto.FLOAT), axis=1)
    return graph.add("Max", total, graph.scalar(SMALLEST_COUNT))


_MODES: Mapping[str, Callable[[Graph, Any, Any, Any], str]] = {
    "cls": _first,
    "lasttoken": _last,
    "max": _maximum,
    "mean": _mean,
    "mean_sqrt_len_tokens": _mean_sqrt,
    "weightedmean": _weighted,
}
