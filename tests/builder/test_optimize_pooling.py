import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto
from safetensors.numpy import save_file

from tests.builder import optimizer_stage as stage
from tests.runtime import reference

TOLERANCE = 2e-6
MODES = ("cls", "lasttoken", "max", "mean", "mean_sqrt_len_tokens", "weightedmean")
FUSE = {"fuse_pooling": True}
WEIGHT, BIAS = stage.normal(20, stage.HIDDEN), stage.normal(20)
SCALE, SHIFT = stage.normal(stage.HIDDEN), stage.normal(stage.HIDDEN)


def exact(*modes: str) -> Any:
    return np.array([reference.pooled(stage.states_of(ids), modes) for ids in stage.texts()])


def dense(**changes: Any) -> dict[str, Any]:
    kept = {"kind": "dense", "weights": "2_Dense/model.safetensors", "in_features": stage.HIDDEN, "out_features": 20}
    return {**kept, "bias": True, "activation": "identity", "residual": False, **changes}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    stage.encoder(tmp_path)
    (tmp_path / "2_Dense").mkdir()
    save_file({"linear.weight": WEIGHT, "linear.bias": BIAS}, tmp_path / "2_Dense/model.safetensors")
    return tmp_path


@pytest.mark.parametrize("opset", [11, 13, 17, 18, 21])
@pytest.mark.parametrize("side", ["left", "right"])
def test_every_way_of_pooling_is_that_of_one_text_alone(tmp_path: Path, side: str, opset: int) -> None:
    stage.encoder(tmp_path, opset=opset)
    done = stage.derive(tmp_path, pooling=MODES, padding_side=side, optimize=FUSE)
    rows = done.answers(stage.padded(stage.texts(), side=side))
    np.testing.assert_allclose(rows, exact(*MODES), atol=TOLERANCE)


@pytest.mark.parametrize("mode", MODES)
def test_one_way_of_pooling_is_not_joined_with_anything(folder: Path, mode: str) -> None:
    done = stage.derive(folder, pooling=[mode], optimize=FUSE)
    rows = done.answers(stage.padded(stage.texts()))
    np.testing.assert_allclose(rows, exact(mode), atol=TOLERANCE)


def test_nothing_of_it_is_left_to_the_server_but_the_length(folder: Path) -> None:
    derived = stage.derive(folder, layers=[dense()], optimize=FUSE).derived
    left = {key: derived[key] for key in ("output", "pooling", "layers", "normalize", "batching")}
    assert left == {
        "output": "sentence_embedding",
        "pooling": [],
        "layers": [],
        "normalize": True,
        "batching": True,
    }


def test_the_length_is_made_one_where_that_is_wished(folder: Path) -> None:
    done = stage.derive(folder, optimize={**FUSE, "fuse_normalize": True})
    expected = [reference.unit(vector) for vector in exact("mean")]
    np.testing.assert_allclose(done.answers(stage.padded(stage.texts())), expected, atol=TOLERANCE)
    assert done.derived["normalize"] is False


def test_a_text_without_tokens_becomes_zeros(folder: Path) -> None:
    done = stage.derive(folder, pooling=MODES, optimize=FUSE)
    feeds = stage.padded(stage.texts())
    feeds["attention_mask"][1] = 0
    np.testing.assert_array_equal(done.answers(feeds)[1], np.zeros(stage.HIDDEN * len(MODES)))


def test_states_of_float16_are_pooled_as_float32(tmp_path: Path) -> None:
    nodes = [
        stage.node("Gather", ["table", "input_ids"], ["wide"], name="wide"),
        stage.node("Cast", ["wide"], ["states"], name="states", to=TensorProto.FLOAT16),
    ]
    stage.write(tmp_path, nodes, {"table": stage.TABLE}, kind=TensorProto.FLOAT16)
    rows = stage.derive(tmp_path, optimize=FUSE).answers(stage.padded(stage.texts()))
    halves = [stage.TABLE[ids].astype(np.float16).astype(np.float64).mean(axis=0) for ids in stage.texts()]
    np.testing.assert_allclose(rows, halves, atol=TOLERANCE)


ACTIVATIONS: dict[str, Callable[[float], float]] = {
    "identity": lambda x: x,
    "tanh": math.tanh,
    "relu": lambda x: max(x, 0),
    "gelu": lambda x: x * (1 + math.erf(x / math.sqrt(2))) / 2,
    "silu": lambda x: x / (1 + math.exp(-x)),
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
}


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_dense_layer_activates_as_it_says(folder: Path, activation: str) -> None:
    done = stage.derive(folder, layers=[dense(activation=activation)], optimize=FUSE)
    linear = exact("mean") @ WEIGHT.T.astype(np.float64) + BIAS
    expected = np.vectorize(ACTIVATIONS[activation], otypes=[np.float64])(linear)
    np.testing.assert_allclose(done.answers(stage.padded(stage.texts())), expected, atol=TOLERANCE)


def test_a_residual_layer_adds_what_went_in(folder: Path) -> None:
    weight, projection = stage.normal(20, stage.HIDDEN), stage.normal(20, stage.HIDDEN)
    save_file({"linear.weight": weight, "residual.weight": projection}, folder / "2_Dense/model.safetensors")
    done = stage.derive(folder, layers=[dense(bias=False, residual=True)], optimize=FUSE)
    expected = exact("mean") @ weight.T.astype(np.float64) + exact("mean") @ projection.T.astype(np.float64)
    np.testing.assert_allclose(done.answers(stage.padded(stage.texts())), expected, atol=TOLERANCE)


def test_a_residual_layer_of_the_same_width_has_no_projection(folder: Path) -> None:
    weight = stage.normal(stage.HIDDEN, stage.HIDDEN)
    save_file({"linear.weight": weight}, folder / "2_Dense/model.safetensors")
    done = stage.derive(folder, layers=[dense(bias=False, residual=True)], optimize=FUSE)
    expected = exact("mean") @ weight.T.astype(np.float64) + exact("mean")
    np.testing.assert_allclose(done.answers(stage.padded(stage.texts())), expected, atol=TOLERANCE)


@pytest.mark.parametrize("opset", [11, 18])
def test_a_layer_norm_makes_the_mean_zero_and_the_variance_one(tmp_path: Path, opset: int) -> None:
    stage.encoder(tmp_path, opset=opset)
    save_file({"norm.weight": SCALE, "norm.bias": SHIFT}, tmp_path / "norm.safetensors")
    layer = {"kind": "layer_norm", "weights": "norm.safetensors", "in_features": stage.HIDDEN}
    rows = stage.derive(tmp_path, layers=[layer], optimize=FUSE).answers(stage.padded(stage.texts()))
    vectors = exact("mean")
    normed = (vectors - vectors.mean(axis=1, keepdims=True)) / np.sqrt(vectors.var(axis=1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(rows, normed * SCALE + SHIFT, atol=1e-5)


def test_weights_of_bfloat16_are_read(folder: Path) -> None:
    halves = (WEIGHT.view(np.uint32) >> 16).astype("<u2")
    header = {"linear.weight": {"dtype": "BF16", "shape": [20, stage.HIDDEN], "data_offsets": [0, halves.nbytes]}}
    text = str(header).replace("'", '"').encode()
    content = len(text).to_bytes(8, "little") + text + halves.tobytes()
    (folder / "2_Dense/model.safetensors").write_bytes(content)
    done = stage.derive(folder, layers=[dense(bias=False)], optimize=FUSE)
    restored = (halves.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    np.testing.assert_allclose(done.answers(stage.padded(stage.texts())), exact("mean") @ restored.T, atol=TOLERANCE)


def test_a_prompt_that_is_not_pooled_is_left_to_the_server(folder: Path) -> None:
    done = stage.derive(folder, include_prompt=False, optimize={**FUSE, "graph": True})
    why = "the tokens of a prompt are read and not pooled, and how many they are is not fed to the graph"
    assert (done.steps, done.left_out) == (["graph"], {"fuse_pooling": why})
    assert (done.derived["pooling"], done.derived["output"]) == (["mean"], "states")


def test_a_graph_that_knows_no_mask_is_left_to_the_server(folder: Path) -> None:
    inputs = {name: {"feed": "input_ids", "dtype": "int64", "shape": ["batch", "sequence"]} for name in ("input_ids",)}
    inputs["attention_mask"] = {**inputs["input_ids"], "feed": "zeros"}
    done = stage.derive(folder, inputs=inputs, optimize={**FUSE, "graph": True})
    assert done.left_out == {"fuse_pooling": "it is not fed with a mask of the tokens that are attended to"}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "`2_Dense/model.safetensors`: No such file or directory"),
        (b"no", "`2_Dense/model.safetensors` is not a safetensors file of floats: "),
    ],
)
def test_weights_that_cannot_be_read_are_left_to_the_server(folder: Path, content: bytes | None, why: str) -> None:
    file = folder / "2_Dense/model.safetensors"
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    done = stage.derive(folder, layers=[dense()], optimize={**FUSE, "graph": True})
    assert done.left_out["fuse_pooling"].startswith(why)


def test_a_layer_without_its_tensor_is_left_to_the_server(folder: Path) -> None:
    save_file({"weight": WEIGHT}, folder / "2_Dense/model.safetensors")
    done = stage.derive(folder, layers=[dense()], optimize={**FUSE, "graph": True})
    assert done.left_out == {"fuse_pooling": "`2_Dense/model.safetensors` has no tensor 'linear.weight'"}
