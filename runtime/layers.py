"""Own the layers between pooling and normalisation: their weights and pure numerics."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from runtime.bundle import Dense, DenseActivation, LayerNorm
from runtime.errors import ModelError
from runtime.scoring import sigmoid
from runtime.weights import read_tensors

# names that sentence-transformers gives them
_WEIGHT, _BIAS, _RESIDUAL = "linear.weight", "linear.bias", "residual.weight"
_SCALE, _SHIFT = "norm.weight", "norm.bias"
_EPSILON = 1e-5  # of torch's LayerNorm

_Floats = NDArray[np.float32]
Layer = Callable[[_Floats], _Floats]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Linear:
    """`weight` and `projection` are [out, in]; what a layer does not have is zeros, or None."""

    weight: _Floats
    bias: _Floats
    activation: DenseActivation
    is_residual: bool
    projection: _Floats | None


def load_layer(layer: Dense | LayerNorm, *, folder: Path) -> Layer:
    """Load the weights of a layer: what it makes of [batch, in]; raises ModelError when they are not as bundled."""
    tensors = read_tensors(folder / layer.weights)
    expected = _dense_shapes(layer) if isinstance(layer, Dense) else _layer_norm_shapes(layer)
    shapes = {name: list(tensor.shape) for name, tensor in tensors.items()}
    if shapes != expected:
        file = folder / layer.weights
        raise ModelError(f"`{file}` has tensors of shapes `{shapes}`, and the bundle says `{expected}`")
    if isinstance(layer, Dense):
        return partial(_dense, _linear(layer, tensors))
    return partial(_layer_norm, tensors[_SCALE], tensors[_SHIFT])


def apply(layers: Sequence[Layer], vectors: _Floats) -> _Floats:
    """Pass vectors through each layer: [batch, in] -> [batch, out]."""
    for layer in layers:
        vectors = layer(vectors)
    return vectors


def _dense_shapes(dense: Dense) -> dict[str, list[int]]:
    shape = [dense.out_features, dense.in_features]
    shapes = {_WEIGHT: shape}
    if dense.bias:
        shapes[_BIAS] = [dense.out_features]
    if dense.residual and dense.in_features != dense.out_features:
        shapes[_RESIDUAL] = shape
    return shapes


def _layer_norm_shapes(layer: LayerNorm) -> dict[str, list[int]]:
    return {_SCALE: [layer.in_features], _SHIFT: [layer.in_features]}


def _linear(dense: Dense, tensors: Mapping[str, _Floats]) -> _Linear:
    return _Linear(
        weight=tensors[_WEIGHT],
        bias=tensors.get(_BIAS, np.zeros(dense.out_features, dtype=np.float32)),
        activation=dense.activation,
        is_residual=dense.residual,
        projection=tensors.get(_RESIDUAL),
    )


def _dense(linear: _Linear, vectors: _Floats) -> _Floats:
    output = _activate(vectors @ linear.weight.T + linear.bias, activation=linear.activation)
    if linear.is_residual:
        return output + (vectors if linear.projection is None else vectors @ linear.projection.T)
    return output


def _layer_norm(scale: _Floats, shift: _Floats, vectors: _Floats) -> _Floats:
    centred = vectors - vectors.mean(axis=1, keepdims=True)
    deviation = np.sqrt((centred**2).mean(axis=1, keepdims=True) + np.float32(_EPSILON))
    normed: _Floats = centred / deviation * scale + shift
    return normed


def _activate(values: _Floats, *, activation: DenseActivation) -> _Floats:
    match activation:
        case "identity":
            return values
        case "tanh":
            return np.tanh(values)
        case "relu":
            return np.maximum(values, np.float32(0))
        case "gelu":
            return _gelu(values)
        case "silu":
            return values * sigmoid(values)
        case "sigmoid":
            return sigmoid(values)
        case _:
            assert_never(activation)


def _gelu(values: _Floats) -> _Floats:
    """Compute x (1 + erf(x / sqrt(2))) / 2: torch's GELU is exact unless told otherwise, and numpy has no erf."""
    powers = np.vectorize(math.erf, otypes=[np.float32])(values / np.float32(math.sqrt(2)))
    activated: _Floats = values * (1 + powers) / 2
    return activated
