import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from runtime.bundle import Dense, LayerNorm
from runtime.errors import ModelError
from runtime.layers import apply, load_layer

RANDOM = np.random.default_rng(5)
WEIGHT = RANDOM.normal(size=(3, 4)).astype(np.float32)
BIAS = RANDOM.normal(size=3).astype(np.float32)
VECTORS = RANDOM.normal(size=(5, 4)).astype(np.float32)
TOLERANCE = 1e-6


def dense(**changes: Any) -> Dense:
    settled = {"weights": "model.safetensors", "in_features": 4, "out_features": 3, "bias": True, "residual": False}
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


@pytest.mark.parametrize(
    ("activation", "definition"),
    [
        ("identity", lambda x: x),
        ("relu", lambda x: max(x, 0.0)),
        ("gelu", lambda x: x * (1 + math.erf(x / math.sqrt(2))) / 2),
        ("silu", lambda x: x / (1 + math.exp(-x))),
        ("sigmoid", lambda x: 1 / (1 + math.exp(-x))),
    ],
)
def test_every_activation_equals_its_definition(
    folder: Path, activation: str, definition: Callable[[float], float]
) -> None:
    layer = load_layer(dense(activation=activation), folder=folder)
    expected = [[definition(value) for value in by_hand(vector, WEIGHT, BIAS)] for vector in VECTORS]
    answers = apply([layer], VECTORS)
    np.testing.assert_allclose(answers, expected, atol=TOLERANCE)
    assert answers.dtype == np.float32


def test_a_residual_layer_adds_what_went_in(tmp_path: Path) -> None:
    square = RANDOM.normal(size=(4, 4)).astype(np.float32)
    save_file({"linear.weight": square}, tmp_path / "model.safetensors")
    layer = load_layer(dense(out_features=4, bias=False, residual=True, activation="tanh"), folder=tmp_path)
    expected = [np.tanh(by_hand(vector, square, [0] * 4)) + vector for vector in VECTORS]
    np.testing.assert_allclose(apply([layer], VECTORS), expected, atol=TOLERANCE)


def test_a_residual_layer_of_another_width_projects_what_went_in(tmp_path: Path) -> None:
    projection = RANDOM.normal(size=(3, 4)).astype(np.float32)
    save_file({"linear.weight": WEIGHT, "residual.weight": projection}, tmp_path / "model.safetensors")
    layer = load_layer(dense(bias=False, residual=True), folder=tmp_path)
    sums = WEIGHT.astype(np.float64) + projection
    np.testing.assert_allclose(
        apply([layer], VECTORS), [by_hand(row, sums, [0] * 3) for row in VECTORS], atol=TOLERANCE
    )


def test_a_layer_norm_equals_its_definition(tmp_path: Path) -> None:
    scale, shift = RANDOM.normal(size=4).astype(np.float32), RANDOM.normal(size=4).astype(np.float32)
    save_file({"norm.weight": scale, "norm.bias": shift}, tmp_path / "model.safetensors")
    layer = load_layer(LayerNorm(weights="model.safetensors", in_features=4), folder=tmp_path)
    exact = VECTORS.astype(np.float64)
    expected = [(row - row.mean()) / math.sqrt(row.var() + 1e-5) * scale + shift for row in exact]
    np.testing.assert_allclose(apply([layer], VECTORS), expected, atol=TOLERANCE)


def test_a_layer_norm_of_another_width_is_refused(folder: Path) -> None:
    with pytest.raises(ModelError, match="has tensors of shapes .*, and the bundle says "):
        load_layer(LayerNorm(weights="model.safetensors", in_features=4), folder=folder)


def test_no_layer_changes_nothing() -> None:
    assert apply([], VECTORS) is VECTORS


@pytest.mark.parametrize("changes", [{"out_features": 2}, {"in_features": 3}, {"bias": False}, {"residual": True}])
def test_weights_that_are_not_as_the_bundle_says_are_refused(folder: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match="has tensors of shapes .*, and the bundle says "):
        load_layer(dense(**changes), folder=folder)
