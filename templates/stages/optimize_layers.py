"""Own the layers after pooling inside a graph: their weights and operators; nothing is run here."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
from numpy.typing import NDArray

from .optimize_failures import SkipError
from .optimize_graph import Graph
from .optimize_request import DENSE, Layer

EPSILON = 1e-5  # of torch's LayerNorm
DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}
PLAIN = {"tanh": "Tanh", "relu": "Relu", "sigmoid": "Sigmoid"}

_deserialize: Any = safetensors.deserialize  # compiled, and without types

Floats = NDArray[np.float32]


def apply(graph: Graph, layer: Layer, vectors: str, *, folder: Path) -> str:
    """Add one layer: [batch, in] -> [batch, out]; raises SkipError where its weights can't be read."""
    tensors = read_tensors(folder / layer.weights, name=layer.weights)
    try:
        if layer.kind == DENSE:
            return _dense(graph, layer, tensors, vectors)
        return _layer_norm(graph, layer, tensors, vectors)
    except KeyError as error:
        raise SkipError(f"`{layer.weights}` has no tensor {error}") from error


def read_tensors(file: Path, *, name: str) -> dict[str, Floats]:
    """Read every tensor of a safetensors file as float32; raises SkipError when it is not whole, or not of floats."""
    try:
        entries: list[tuple[str, Mapping[str, Any]]] = _deserialize(file.read_bytes())
        return {key: _floats(entry) for key, entry in entries}
    except OSError as error:
        raise SkipError(f"`{name}`: {error.strerror}") from error
    except (safetensors.SafetensorError, KeyError, ValueError) as error:
        raise SkipError(f"`{name}` is not a safetensors file of floats: {error}") from error


def _floats(entry: Mapping[str, Any]) -> Floats:
    if entry["dtype"] == "BF16":  # the upper half of a float32
        flat = (np.frombuffer(entry["data"], dtype="<u2").astype(np.uint32) << 16).view(np.float32)
    else:
        flat = np.frombuffer(entry["data"], dtype=DTYPES[entry["dtype"]]).astype(np.float32)
    shaped: Floats = flat.reshape(entry["shape"])
    return shaped


def _dense(graph: Graph, layer: Layer, tensors: Mapping[str, Floats], vectors: str) -> str:
    def weight(name: str) -> str:
        return graph.constant(f"{layer.weights}:{name}", tensors[name].T)

    output = graph.add("MatMul", vectors, weight("linear.weight"))
    if "linear.bias" in tensors:
        output = graph.add("Add", output, weight("linear.bias"))
    output = _activated(graph, output, layer.activation)
    if not layer.is_residual:
        return output
    has_projection = "residual.weight" in tensors
    return graph.add(
        "Add", output, graph.add("MatMul", vectors, weight("residual.weight")) if has_projection else vectors
    )


def _layer_norm(graph: Graph, layer: Layer, tensors: Mapping[str, Floats], vectors: str) -> str:
    centred = graph.add("Sub", vectors, graph.reduce("ReduceMean", vectors, axis=1))
    variance = graph.reduce("ReduceMean", graph.add("Mul", centred, centred), axis=1)
    deviation = graph.add("Sqrt", graph.add("Add", variance, graph.scalar(EPSILON)))
    scale, shift = (graph.constant(f"{layer.weights}:{name}", tensors[name]) for name in ("norm.weight", "norm.bias"))
    return graph.add("Add", graph.add("Mul", graph.add("Div", centred, deviation), scale), shift)


def _activated(graph: Graph, values: str, activation: str) -> str:
    match activation:
        case "identity":
            return values
        case "gelu":  # the exact one: x (1 + erf(x / sqrt(2))) / 2
            erf = graph.add("Erf", graph.add("Div", values, graph.scalar(math.sqrt(2))))
            doubled = graph.add("Mul", values, graph.add("Add", erf, graph.scalar(1.0)))
            return graph.add("Mul", doubled, graph.scalar(0.5))
        case "silu":
            return graph.add("Mul", values, graph.add("Sigmoid", values))
        case _:
            return graph.add(PLAIN[activation], values)
