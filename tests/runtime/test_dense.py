from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from runtime.bundle import Dense
from runtime.dense import apply, load_layer
from runtime.errors import ModelError

RANDOM = np.random.default_rng(5)
WEIGHT = RANDOM.normal(size=(3, 4)).astype(np.float32)
BIAS = RANDOM.normal(size=3).astype(np.float32)
VECTORS = RANDOM.normal(size=(5, 4)).astype(np.float32)
TOLERANCE = 1e-6


def dense(**changes: Any) -> Dense:
    settled = {"weights": "model.safetensors", "in_features": 4, "out_features": 3, "bias": True}
    return Dense(**{**settled, "activation": "identity", **changes})


def by_hand(vector: Any, weight: Any, bias: Any) -> list[float]:
    columns = [float(value) for value in vector]
    rows = [[float(value) for value in row] for row in weight]
    return [sum(a * b for a, b in zip(columns, row, strict=True)) + float(c) for row, c in zip(rows, bias, strict=True)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_file({"linear.weight": WEIGHT, "linear.bias": BIAS}, tmp_path / "model.safetensors")
    save_file({"linear.weight": WEIGHT}, tmp_path / "plain.safetensors")
    return tmp_path


def test_a_layer_multiplies_and_adds(folder: Path) -> None:
    expected = [by_hand(vector, WEIGHT, BIAS) for vector in VECTORS]
    np.testing.assert_allclose(apply([load_layer(dense(), folder=folder)], VECTORS), expected, atol=TOLERANCE)


def test_a_layer_without_a_bias_only_multiplies(folder: Path) -> None:
    layer = load_layer(dense(weights="plain.safetensors", bias=False), folder=folder)
    expected = [by_hand(vector, WEIGHT, [0, 0, 0]) for vector in VECTORS]
    np.testing.assert_allclose(apply([layer], VECTORS), expected, atol=TOLERANCE)


def test_the_activation_comes_after_the_bias(folder: Path) -> None:
    layer = load_layer(dense(activation="tanh"), folder=folder)
    expected = np.tanh([by_hand(vector, WEIGHT, BIAS) for vector in VECTORS])
    np.testing.assert_allclose(apply([layer], VECTORS), expected, atol=TOLERANCE)


def test_layers_follow_each_other(tmp_path: Path) -> None:
    back = RANDOM.normal(size=(4, 3)).astype(np.float32)
    save_file({"linear.weight": WEIGHT}, tmp_path / "model.safetensors")
    save_file({"linear.weight": back}, tmp_path / "back.safetensors")
    layers = [
        load_layer(dense(bias=False, activation="tanh"), folder=tmp_path),
        load_layer(dense(weights="back.safetensors", in_features=3, out_features=4, bias=False), folder=tmp_path),
    ]
    inner = np.tanh([by_hand(vector, WEIGHT, [0] * 3) for vector in VECTORS])
    expected = [by_hand(vector, back, [0] * 4) for vector in inner]
    np.testing.assert_allclose(apply(layers, VECTORS), expected, atol=TOLERANCE)


def test_no_layer_changes_nothing() -> None:
    assert apply([], VECTORS) is VECTORS


@pytest.mark.parametrize("changes", [{"out_features": 2}, {"in_features": 3}, {"bias": False}])
def test_weights_that_are_not_as_the_bundle_says_are_refused(folder: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match="has tensors of shapes .*, and the bundle says "):
        load_layer(dense(**changes), folder=folder)
