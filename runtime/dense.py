"""Own the Dense layers between pooling and normalisation: their weights and pure numerics."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from runtime.bundle import Dense, DenseActivation
from runtime.errors import ModelError
from runtime.weights import read_tensors

_WEIGHT, _BIAS = "linear.weight", "linear.bias"  # names that sentence-transformers gives them


@dataclass(frozen=True, kw_only=True, slots=True)
class Layer:
    """One loaded layer: `weight` is [out, in]; without a bias, `bias` is zeros."""

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    activation: DenseActivation


def load_layer(dense: Dense, *, folder: Path) -> Layer:
    """Load the weights of a layer; raises ModelError when they are not as the bundle says."""
    file = folder / dense.weights
    tensors = read_tensors(file)
    shapes = {name: list(tensor.shape) for name, tensor in tensors.items()}
    expected = {_WEIGHT: [dense.out_features, dense.in_features]}
    if dense.bias:
        expected[_BIAS] = [dense.out_features]
    if shapes != expected:
        raise ModelError(f"`{file}` has tensors of shapes `{shapes}`, and the bundle says `{expected}`")
    return Layer(
        weight=tensors[_WEIGHT],
        bias=tensors.get(_BIAS, np.zeros(dense.out_features, dtype=np.float32)),
        activation=dense.activation,
    )


def apply(layers: Sequence[Layer], vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Pass vectors through each layer: [batch, in] -> [batch, out]."""
    for layer in layers:
        vectors = _activate(vectors @ layer.weight.T + layer.bias, activation=layer.activation)
    return vectors


def _activate(values: NDArray[np.float32], *, activation: DenseActivation) -> NDArray[np.float32]:
    match activation:
        case "identity":
            return values
        case "tanh":
            return np.tanh(values)
        case _:
            assert_never(activation)
