"""Own the files of a graph: whole, read with all weights, and written with those in a second where they are large."""

import hashlib
import math
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import external_data_helper, helper

from .optimize_failures import GraphError
from .optimize_graph import subgraphs
from .optimize_session import DATA_OF_BYTES

LARGEST_BYTES = 1_800_000_000  # of one file: protobuf has no longer messages than 2 GiB
BLOCK_BYTES = 2**20


def needs_data_file(graph: Path) -> bool:
    """Tell whether what is saved of a graph needs a second file: for its size, or as its own weights are in one.

    Raises GraphError where it is not whole.
    """
    size_bytes = check_files(graph, name=graph.name)
    return size_bytes > min(LARGEST_BYTES, graph.stat().st_size)


def check_files(graph: Path, *, name: str) -> int:
    """Return the size of a graph with its weights; raises GraphError where it is not whole."""
    locations: dict[str, int] = {}
    for tensor in _tensors(_parsed(graph, name=name).graph):
        if external_data_helper.uses_external_data(tensor):
            said = {entry.key: entry.value for entry in tensor.external_data}
            end = int(said.get("offset", 0)) + int(said.get("length", 0))
            locations[said["location"]] = max(end, locations.get(said["location"], 0))
    for location, end in sorted(locations.items()):
        file = graph.parent / location
        if not file.is_file():
            raise _broken(f"`{name}`: `{location}`, where its weights are, is missing")
        if file.stat().st_size < end:
            raise _broken(f"`{name}`: `{location}` has {file.stat().st_size} bytes, and its weights end at {end}")
    return sum(file.stat().st_size for file in (graph, *(graph.parent / location for location in locations)))


def read(graph: Path) -> onnx.ModelProto:
    """Read a graph that is whole, with its weights."""
    return onnx.load(graph)


def write(model: onnx.ModelProto, graph: Path) -> list[Path]:
    """Write a graph, the same bytes for the same one, and name its files."""
    if sum(_size_bytes(tensor) for tensor in model.graph.initializer) <= LARGEST_BYTES:
        graph.write_bytes(model.SerializeToString(deterministic=True))
        return [graph]
    data = graph.with_name(graph.name + "_data")
    onnx.save_model(model, graph, save_as_external_data=True, location=data.name, size_threshold=DATA_OF_BYTES)
    return [graph, data]


def sha256_of(file: Path) -> str:
    """Return a file's digest."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _parsed(graph: Path, *, name: str) -> onnx.ModelProto:
    try:
        model = onnx.load(graph, load_external_data=False)
    except OSError as error:
        raise _broken(f"`{name}`: {error.strerror}") from error
    except DecodeError as error:
        raise _broken(f"`{name}` is cut off, or no ONNX file") from error
    if not model.graph.node:
        raise _broken(f"`{name}` is cut off, or no ONNX file")
    return model


def _size_bytes(tensor: onnx.TensorProto) -> int:
    """Count the bytes of numbers, which are raw, or in a list of their own kind: protobuf can't measure 2 GiB."""
    return len(tensor.raw_data) or math.prod(tensor.dims) * helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize


def _tensors(graph: onnx.GraphProto) -> list[onnx.TensorProto]:
    """List the tensors of a graph, of its nodes' attributes and of the graphs inside them."""
    tensors = list(graph.initializer)
    for node in graph.node:
        tensors += [attribute.t for attribute in node.attribute if attribute.HasField("t")]
        for inner in subgraphs(node):
            tensors += _tensors(inner)
    return tensors


def _broken(problem: str) -> GraphError:
    return GraphError(problem, hint="choose another `dtype`, or another revision of the model, whose graph is whole")
