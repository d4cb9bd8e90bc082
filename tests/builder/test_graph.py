import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from builder.errors import InputError
from builder.graph import Graph, GraphValue, read_graph
from builder.hub import resolve
from tests.support.hub_server import HubServer

INPUT = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "sequence"])
OUTPUT = helper.make_tensor_value_info("sentence_embedding", TensorProto.FLOAT, ["batch", 768])


def tensor(name: str, *, location: str | None = None, size: int = 4) -> TensorProto:
    """Make a tensor whose data lies inside, or, with `location`, in another file."""
    made = numpy_helper.from_array(np.zeros(size, dtype=np.float32), name)
    if location is not None:
        made.ClearField("raw_data")
        made.data_location = TensorProto.EXTERNAL
        for key, value in (("location", location), ("offset", "0"), ("length", str(size * 4))):
            made.external_data.add(key=key, value=value)
    return made


def model(
    *,
    nodes: Sequence[onnx.NodeProto] = (),
    inputs: Sequence[onnx.ValueInfoProto] = (INPUT,),
    outputs: Sequence[onnx.ValueInfoProto] = (OUTPUT,),
    initializers: Sequence[TensorProto] = (),
) -> onnx.ModelProto:
    graph = helper.make_graph(nodes, "test", inputs, outputs, initializer=initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])


def read(proto: onnx.ModelProto) -> Graph:
    return read_graph(io.BytesIO(proto.SerializeToString()), path="onnx/model.onnx")


def test_inputs_and_outputs_are_read_with_their_types_and_shapes() -> None:
    unnamed = helper.make_tensor_value_info("mask", TensorProto.INT32, [None, 128])
    without_shape = helper.make_tensor_value_info("logits", TensorProto.FLOAT16, None)

    graph = read(model(inputs=[INPUT, unnamed], outputs=[without_shape, OUTPUT]))

    assert graph == Graph(
        inputs=(
            GraphValue(name="input_ids", element_type="int64", dimensions=("batch", "sequence")),
            GraphValue(name="mask", element_type="int32", dimensions=(None, 128)),
        ),
        outputs=(
            GraphValue(name="logits", element_type="float16", dimensions=None),
            GraphValue(name="sentence_embedding", element_type="float32", dimensions=("batch", 768)),
        ),
        external_data=(),
    )


@pytest.mark.parametrize(
    ("element_type", "name"),
    [
        (TensorProto.FLOAT, "float32"),
        (TensorProto.UINT8, "uint8"),
        (TensorProto.INT8, "int8"),
        (TensorProto.UINT16, "uint16"),
        (TensorProto.INT16, "int16"),
        (TensorProto.INT32, "int32"),
        (TensorProto.INT64, "int64"),
        (TensorProto.STRING, "string"),
        (TensorProto.BOOL, "bool"),
        (TensorProto.FLOAT16, "float16"),
        (TensorProto.DOUBLE, "float64"),
        (TensorProto.UINT32, "uint32"),
        (TensorProto.UINT64, "uint64"),
        (TensorProto.BFLOAT16, "bfloat16"),
        (TensorProto.FLOAT8E4M3FN, "type 17"),
    ],
)
def test_element_types_have_their_numpy_names(element_type: int, name: str) -> None:
    value = helper.make_tensor_value_info("x", element_type, [1])
    assert read(model(inputs=[value])).inputs[0].element_type == name


def test_a_weight_that_old_exports_list_as_an_input_is_none() -> None:
    weight = helper.make_tensor_value_info("weight", TensorProto.FLOAT, [4])
    graph = read(model(inputs=[INPUT, weight], initializers=[tensor("weight")]))

    assert [value.name for value in graph.inputs] == ["input_ids"]


def test_external_data_of_initializers_is_named_once_each() -> None:
    initializers = [
        tensor("a", location="model.onnx_data"),
        tensor("b", location="model.onnx_data_1"),
        tensor("c", location="model.onnx_data"),
        tensor("d"),
    ]
    assert read(model(initializers=initializers)).external_data == ("model.onnx_data", "model.onnx_data_1")


def test_external_data_of_a_constant_node_is_found() -> None:
    node = helper.make_node("Constant", [], ["c"], value=tensor("value", location="Constant_7_attr__value"))
    assert read(model(nodes=[node])).external_data == ("Constant_7_attr__value",)


def test_external_data_of_subgraphs_is_found_and_their_inputs_are_not_the_models() -> None:
    inner_value = helper.make_tensor_value_info("inner", TensorProto.FLOAT, [4])
    constant = helper.make_node("Constant", [], ["k"], value=tensor("value", location="constant.data"))
    weights = [tensor("w", location="branch.data")]
    branch = helper.make_graph([constant], "branch", [inner_value], [inner_value], initializer=weights)
    outer = helper.make_graph([helper.make_node("If", ["x"], ["y"], then_branch=branch)], "outer", [], [inner_value])
    node = helper.make_node("If", ["x"], ["z"], then_branch=outer, else_branch=branch)

    graph = read(model(nodes=[node]))

    assert graph.external_data == ("branch.data", "constant.data")
    assert [value.name for value in (*graph.inputs, *graph.outputs)] == ["input_ids", "sentence_embedding"]


def test_external_data_of_functions_and_sparse_weights_is_found() -> None:
    proto = model()
    constant = helper.make_node("Constant", [], ["k"], value=tensor("value", location="function.data"))
    opset = helper.make_opsetid("", 18)
    proto.functions.append(helper.make_function("local", "f", [], ["k"], [constant], [opset]))
    sparse = proto.graph.sparse_initializer.add()
    sparse.values.CopyFrom(tensor("values", location="sparse.data"))

    assert read(proto).external_data == ("function.data", "sparse.data")


QUANTIZE = helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "scale", "zero"])
ATTENTION = helper.make_node("GroupQueryAttention", ["q", "k", "v"], ["a"], domain="com.microsoft")


def in_a_subgraph(node: onnx.NodeProto) -> onnx.ModelProto:
    branch = helper.make_graph([node], "branch", [], [OUTPUT])
    return model(nodes=[helper.make_node("If", ["x"], ["z"], then_branch=branch, else_branch=branch)])


def in_a_function(node: onnx.NodeProto) -> onnx.ModelProto:
    proto = model()
    proto.functions.append(helper.make_function("local", "f", ["x"], ["q"], [node], [helper.make_opsetid("", 18)]))
    return proto


@pytest.mark.parametrize(
    ("node", "quantizes", "pads_right"),
    [
        (QUANTIZE, True, False),
        (helper.make_node("DynamicQuantizeMatMul", ["x"], ["q"], domain="com.microsoft"), True, False),
        (ATTENTION, False, True),
        (helper.make_node("DequantizeLinear", ["x"], ["q"]), False, False),
        (helper.make_node("MatMulNBits", ["x"], ["q"], domain="com.microsoft"), False, False),
        (helper.make_node("Mul", ["DynamicQuantizeLinear_1"], ["q"], name="DynamicQuantizeLinear"), False, False),
        (helper.make_node("NoDynamicQuantizeLinear", ["x"], ["q"], name="location"), False, False),
    ],
)
@pytest.mark.parametrize("placed", [lambda node: model(nodes=[node]), in_a_subgraph, in_a_function])
def test_operators_that_change_how_a_graph_is_run_are_noted_wherever_they_stand(
    placed: Callable[[onnx.NodeProto], onnx.ModelProto], node: onnx.NodeProto, *, quantizes: bool, pads_right: bool
) -> None:
    graph = read(placed(node))
    assert (graph.quantizes_dynamically, graph.needs_padding_right) == (quantizes, pads_right)


def test_an_operator_of_a_node_with_a_large_attribute_is_noted() -> None:
    node = helper.make_node("DynamicQuantizeLSTM", ["x"], ["y"], domain="com.microsoft", big=[1.0] * 20_000)
    assert read(model(nodes=[node])).quantizes_dynamically


def test_a_location_counts_only_when_the_data_is_outside() -> None:
    inside = tensor("a", location="old.data")
    inside.data_location = TensorProto.DEFAULT

    assert read(model(initializers=[inside])).external_data == ()


def test_a_graph_that_onnx_saves_with_external_data_is_read(tmp_path: Path) -> None:
    proto = model(initializers=[tensor("weights", size=4096)])
    onnx.save(proto, tmp_path / "model.onnx", save_as_external_data=True, location="model.onnx_data")

    with (tmp_path / "model.onnx").open("rb") as stream:
        assert read_graph(stream, path="model.onnx").external_data == ("model.onnx_data",)


def test_a_large_graph_on_the_hub_is_read_without_its_weights(tmp_path: Path) -> None:
    folder = tmp_path / "example/model/onnx"
    folder.mkdir(parents=True)
    weights = [tensor(f"layer{number}", size=1024 * 1024) for number in range(4)]
    onnx.save(model(initializers=[*weights, tensor("last", location="last.data")]), folder / "model.onnx")

    with HubServer(tmp_path) as server:
        repository = resolve("example/model", revision="main", endpoint=server.endpoint)
        with repository.open("onnx/model.onnx") as stream:
            graph = read_graph(stream, path="onnx/model.onnx")

    ranges = [request for request in server.requests if request.path.startswith("/content-network/")]
    assert (graph.outputs[0].name, graph.external_data, len(ranges)) == ("sentence_embedding", ("last.data",), 5)


def test_a_file_cut_anywhere_is_refused_or_lacks_nothing_that_was_asked() -> None:
    whole = model(initializers=[tensor("a", location="model.onnx_data")]).SerializeToString()
    graph_start = whole.index(b"test") - 2
    for length in range(graph_start, len(whole) - 8):  # the operator set stands after the graph
        with pytest.raises(InputError):
            read_graph(io.BytesIO(whole[:length]), path="model.onnx")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it has no graph with an output"),
        (b"<!DOCTYPE html><html>", "the field at byte 0 has the unknown wire type 4"),
        (b"\x3a\xff\xff\x03\x00", "the field at byte 0 ends at byte 65539, but there are 5"),
        (b"\x3a", "it ends in the middle of a field"),
        (b"\x3a\x80", "a number ends in the middle"),
        (b"\x3a\x03\x5a\x01\x0b", "wire type 3 is unknown"),
    ],
)
def test_what_is_not_a_whole_graph_is_refused_with_its_path(content: bytes, reason: str) -> None:
    with pytest.raises(InputError) as caught:
        read_graph(io.BytesIO(content), path="onnx/model.onnx")

    assert caught.value.message == f"`onnx/model.onnx` is damaged or not an ONNX file: {reason}"


def test_a_git_lfs_pointer_is_recognised() -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"
    with pytest.raises(InputError) as caught:
        read_graph(io.BytesIO(pointer), path="onnx/model.onnx")

    assert caught.value.hint == "it is a Git LFS pointer: run `git lfs pull` in its folder"
