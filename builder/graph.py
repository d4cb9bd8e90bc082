"""Own the reading of ONNX files: inputs, outputs, notable operators and where weights lie; weights are never read.

An ONNX file is one protobuf message. It is walked field by field over a seekable stream, and what is not needed is
skipped, so a graph of a gigabyte that lies on a server costs a few hundred kilobytes. Field numbers are those of
`onnx.proto` (ONNX 1.21, https://github.com/onnx/onnx/blob/main/onnx/onnx.proto).
"""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from builder import wire
from builder.errors import InputError

_ELEMENT_TYPES = {
    1: "float32",
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    8: "string",
    9: "bool",
    10: "float16",
    11: "float64",
    12: "uint32",
    13: "uint64",
    16: "bfloat16",
}

# Which fields of a message lead to tensors, and the message each holds: weights are not only a graph's initializers
# but also attributes of its nodes, in subgraphs and in functions too.
_BRANCHES = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse_tensor"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse_tensor", 23: "sparse_tensor"},
    "sparse_tensor": {1: "tensor", 2: "tensor"},
}
_GRAPH_INPUT, _GRAPH_OUTPUT = 11, 12
_TENSOR_NAME, _TENSOR_EXTERNAL_DATA, _TENSOR_DATA_LOCATION = 8, 13, 14
_EXTERNAL = 1  # DataLocation
_LOCATION_KEY = b"location"
_NODE_OPERATOR = 4
# Operators that change how a graph may be run; the names of its other operators are of no interest.
_NOTED_OPERATOR = re.compile(rb"DynamicQuantize\w+|GroupQueryAttention")
_GLANCE_BYTES = 64 * 2**10
_LFS_POINTER = b"version https://git-lfs"


@dataclass(frozen=True, kw_only=True, slots=True)
class GraphValue:
    """An input or output.

    A dimension is its size, the name of a size that varies, or None when it has neither; `dimensions` is None when
    the graph does not even say how many there are.
    """

    name: str
    element_type: str
    dimensions: tuple[int | str | None, ...] | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Graph:
    """What a graph takes and gives; `external_data` is relative to the folder of the graph's own file."""

    inputs: tuple[GraphValue, ...]
    outputs: tuple[GraphValue, ...]
    external_data: tuple[str, ...]
    operators: frozenset[str] = frozenset()

    @property
    def quantizes_dynamically(self) -> bool:
        """Whether it takes the range of its 8-bit numbers from a whole batch, so that a text depends on its company."""
        return any(name.startswith("DynamicQuantize") for name in self.operators)

    @property
    def needs_padding_right(self) -> bool:
        """Whether it knows only how many tokens a row has: the first ones are meant, wherever its mask has them."""
        return "GroupQueryAttention" in self.operators


def read_graph(stream: BinaryIO, *, path: str) -> Graph:
    """Read the graph in `stream`; raises InputError, which names `path`, when it is not a whole ONNX file."""
    size = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    walk = _Walk(stream=stream)
    try:
        walk.message("model", size)
    except _MalformedError as error:
        stream.seek(0)
        is_pointer = stream.read(len(_LFS_POINTER)) == _LFS_POINTER
        hint = "it is a Git LFS pointer: run `git lfs pull` in its folder" if is_pointer else None
        raise InputError(f"`{path}` is damaged or not an ONNX file: {error}", hint=hint) from error
    if not walk.outputs:
        raise InputError(f"`{path}` is damaged or not an ONNX file: it has no graph with an output")
    return Graph(
        inputs=tuple(value for value in walk.inputs if value.name not in walk.initializers),
        outputs=tuple(walk.outputs),
        external_data=tuple(sorted(walk.external_data)),
        operators=frozenset(walk.operators),
    )


class _MalformedError(Exception):
    """The bytes are not a protobuf message of the kind expected."""


@dataclass(frozen=True, slots=True)
class _Field:
    """One field: its number, and either its varint or the end of its content, at whose start the stream stands."""

    number: int
    varint: int
    end: int


def _fields(stream: BinaryIO, end: int) -> Iterator[_Field]:
    """Yield the fields of the message that ends at `end`; whatever a caller reads, the next one follows the last."""
    while (start := stream.tell()) < end:
        tag = _varint(stream)
        number, wire_type = tag >> 3, tag & 7
        varint, length = 0, 0
        if wire_type == wire.VARINT:
            varint = _varint(stream)
        elif wire_type == wire.LENGTH_DELIMITED:
            length = _varint(stream)
        elif wire_type in wire.FIXED_SIZES:
            length = wire.FIXED_SIZES[wire_type]
        else:
            raise _MalformedError(f"the field at byte {start} has the unknown wire type {wire_type}")
        content_end = stream.tell() + length
        if content_end > end:
            raise _MalformedError(f"the field at byte {start} ends at byte {content_end}, but there are {end}")
        yield _Field(number, varint, content_end)
        stream.seek(content_end)


def _varint(stream: BinaryIO) -> int:
    try:
        value = wire.read_varint(stream)
    except ValueError as error:
        raise _MalformedError(str(error)) from error
    if value is None:
        raise _MalformedError("it ends in the middle of a field")
    return value


@dataclass(kw_only=True, slots=True)
class _Walk:
    """What one pass over a model has found so far; `graph_depth` is 1 inside the main graph, more in a subgraph."""

    stream: BinaryIO
    graph_depth: int = 0
    inputs: list[GraphValue] = field(default_factory=list)
    outputs: list[GraphValue] = field(default_factory=list)
    initializers: set[str] = field(default_factory=set)
    external_data: set[str] = field(default_factory=set)
    operators: set[str] = field(default_factory=set)

    def message(self, kind: str, end: int) -> None:
        """Collect from the message of `kind` that ends at `end`."""
        if kind == "tensor":
            self._tensor(end)
            return
        self.graph_depth += kind == "graph"
        for part in _fields(self.stream, end):
            branch = _BRANCHES[kind].get(part.number)
            if branch == "node" and self._is_settled_at_a_glance(part):
                continue
            if branch:
                self.message(branch, part.end)
            elif kind == "node" and part.number == _NODE_OPERATOR:
                self._operator(self._content(part))
            elif kind == "graph" and self.graph_depth == 1:
                self._graph_field(part)
        self.graph_depth -= kind == "graph"

    def _is_settled_at_a_glance(self, part: _Field) -> bool:
        """Tell that a node leads to no external data and is of no noted operator, which both would be spelled out.

        There are thousands of nodes, and walking each costs more than all the rest.
        """
        start = self.stream.tell()
        if part.end - start <= _GLANCE_BYTES:
            content = self._content(part)
            if _LOCATION_KEY not in content and not _NOTED_OPERATOR.search(content):
                return True
        self.stream.seek(start)
        return False

    def _operator(self, name: bytes) -> None:
        if _NOTED_OPERATOR.fullmatch(name):
            self.operators.add(name.decode())

    def _graph_field(self, part: _Field) -> None:
        if part.number == _GRAPH_INPUT:
            self.inputs.append(_graph_value(self._content(part)))
        elif part.number == _GRAPH_OUTPUT:
            self.outputs.append(_graph_value(self._content(part)))

    def _tensor(self, end: int) -> None:
        location, is_external = "", False
        for part in _fields(self.stream, end):
            if part.number == _TENSOR_NAME and self.graph_depth == 1:
                self.initializers.add(self._content(part).decode(errors="replace"))
            elif part.number == _TENSOR_EXTERNAL_DATA:
                entry = _parse(self._content(part))
                if wire.contents(entry, 1) == [_LOCATION_KEY]:
                    location = wire.text(entry, 2)
            elif part.number == _TENSOR_DATA_LOCATION:
                is_external = part.varint == _EXTERNAL
        if is_external:
            self.external_data.add(location)

    def _content(self, part: _Field) -> bytes:
        return self.stream.read(part.end - self.stream.tell())


def _graph_value(content: bytes) -> GraphValue:
    """Parse a ValueInfoProto: its name (1) and type (2), of which a tensor (1) has an element type and a shape."""
    value = _parse(content)
    tensor = _submessage(_submessage(value, 2), 1)
    element_type = wire.number(tensor, 1)
    shape = wire.contents(_submessage(tensor, 2), 1)
    return GraphValue(
        name=wire.text(value, 1),
        element_type=_ELEMENT_TYPES.get(element_type, f"type {element_type}"),
        dimensions=tuple(_dimension(_parse(dimension)) for dimension in shape) if 2 in tensor else None,
    )


def _dimension(dimension: wire.Fields) -> int | str | None:
    if 1 in dimension:
        return wire.number(dimension, 1)
    return wire.text(dimension, 2) or None


def _submessage(fields: wire.Fields, key: int) -> wire.Fields:
    return _parse(b"".join(wire.contents(fields, key)[-1:]))


def _parse(content: bytes) -> wire.Fields:
    try:
        return wire.parse(content)
    except ValueError as error:
        raise _MalformedError(str(error)) from error
