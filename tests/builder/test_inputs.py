import io
from collections.abc import Mapping, Sequence

import pytest
from onnx import TensorProto

from builder.errors import InputError
from builder.graph import read_graph
from builder.inputs import Feed, Input, decide_inputs
from tests.support.memory_repository import graph

INT64, INT32, FLOAT, HALF = TensorProto.INT64, TensorProto.INT32, TensorProto.FLOAT, TensorProto.FLOAT16
Inputs = Mapping[str, int | tuple[int, Sequence[int | str]]]


def decided(inputs: Inputs) -> dict[str, Input]:
    read = read_graph(io.BytesIO(graph({"logits": ["batch", 1]}, inputs=inputs)), path="model.onnx")
    return decide_inputs(read, path="model.onnx")


def refusal(name: str, value: int | tuple[int, Sequence[int | str]]) -> str:
    with pytest.raises(InputError) as caught:
        decided({"input_ids": INT64, name: value})
    return caught.value.message


def test_what_stands_for_tokens_is_fed_in_the_graph_s_own_type() -> None:
    names: list[Feed] = ["input_ids", "attention_mask", "token_type_ids", "position_ids"]
    assert decided(dict.fromkeys(names, INT64)) == {
        name: Input(feed=name, dtype="int64", shape=("batch", "sequence")) for name in names
    }
    assert decided({"input_ids": INT32})["input_ids"].dtype == "int32"


def test_segments_have_another_name_in_some_graphs() -> None:
    expected = Input(feed="token_type_ids", dtype="int64", shape=("batch", "sequence"))
    assert decided({"input_ids": INT64, "input_type": INT64})["input_type"] == expected


@pytest.mark.parametrize("shape", [(), (1,)])
def test_one_adapter_is_chosen_for_a_whole_run(shape: tuple[int, ...]) -> None:
    inputs = decided({"input_ids": INT64, "task_id": (INT64, shape)})
    assert inputs["task_id"] == Input(feed="adapter", dtype="int64", shape=shape)


@pytest.mark.parametrize(("kind", "dtype"), [(FLOAT, "float32"), (HALF, "float16")])
def test_a_cache_is_empty_and_has_the_graph_s_heads_and_type(kind: int, dtype: str) -> None:
    shape: list[int | str] = ["batch_size", 8, "past_sequence_length", 128]
    inputs = decided({"input_ids": INT64, "past_key_values.27.value": (kind, shape)})
    assert inputs["past_key_values.27.value"] == Input(feed="zeros", dtype=dtype, shape=("batch", 8, 0, 128))


def test_the_switch_of_a_merged_decoder_is_off() -> None:
    inputs = decided({"input_ids": INT64, "use_cache_branch": (TensorProto.BOOL, [1])})
    assert inputs["use_cache_branch"] == Input(feed="zeros", dtype="bool", shape=(1,))


@pytest.mark.parametrize("count", [0, "num_images"])
def test_a_text_comes_without_features_of_pictures(count: int | str) -> None:
    inputs = decided({"input_ids": INT64, "image_features": (FLOAT, [count, 512])})
    assert inputs["image_features"] == Input(feed="zeros", dtype="float32", shape=(0, 512))


@pytest.mark.parametrize("shape", [["batch", "heads", "past", 128], ["batch", 8, "past", "size"], ["batch", 8]])
def test_a_cache_whose_size_the_graph_does_not_say_is_not_guessed(shape: Sequence[int | str]) -> None:
    assert refusal("past_key_values.0.key", (FLOAT, shape)) == (
        f"the shape of `model.onnx`'s input `past_key_values.0.key` is `{shape}`, "
        "not [batch, heads, length, head size] with numbers for heads and head size"
    )


@pytest.mark.parametrize("shape", [[3, 512], ["num_images", "width"], [0]])
def test_features_that_cannot_be_empty_are_refused(shape: Sequence[int | str]) -> None:
    assert refusal("audio_features", (FLOAT, shape)) == (
        f"the shape of `model.onnx`'s input `audio_features` is `{shape}`, "
        "not [any number, width] with a number for the width"
    )


@pytest.mark.parametrize(
    ("name", "kind", "shown"),
    [
        ("pixel_values", FLOAT, "`pixel_values` (float32)"),
        ("task_id", INT64, "`task_id` (int64)"),  # one for each token
        ("task_id", FLOAT, "`task_id` (float32)"),
        ("attention_mask", FLOAT, "`attention_mask` (float32)"),
        ("past_key_values.0.key", TensorProto.BFLOAT16, "`past_key_values.0.key` (bfloat16)"),
        ("past_key_values.0.encoder.key", FLOAT, "`past_key_values.0.encoder.key` (float32)"),
        ("use_cache_branch", FLOAT, "`use_cache_branch` (float32)"),
    ],
)
def test_an_input_that_is_not_known_is_named(name: str, kind: int, shown: str) -> None:
    assert refusal(name, kind) == f"`model.onnx` wants the input {shown}, not supported yet"


def test_a_graph_that_takes_no_tokens_is_refused() -> None:
    with pytest.raises(InputError) as caught:
        decided({"attention_mask": INT64})
    assert caught.value.message == "`model.onnx` takes no `input_ids`: it is not a graph of a text model"
    assert caught.value.hint == "it takes `attention_mask`"
