"""Own a graph that is being rewritten: its nodes and constants, found by name and added to; it decides nothing."""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from .optimize_failures import SkipError

OLDEST_OPSET = 11  # the first one with CumSum, GatherND and Range
AXES_ARE_AN_INPUT = {"ReduceSum": 13}  # of other reductions since 18
CONTRIB = "com.microsoft"


class Graph:
    """One model, whose nodes may be added and removed in any order: `finished` puts them in theirs."""

    def __init__(self, model: onnx.ModelProto, *, output: str) -> None:
        self._model = model
        self.output = output
        self.nodes: list[onnx.NodeProto] = []
        self.constants = {tensor.name: tensor for tensor in model.graph.initializer}
        for node in model.graph.node:
            tensor = _constant(node)
            if tensor is None:
                self.nodes.append(node)
            else:
                self.constants[tensor.name] = tensor
        self._number = 0

    @property
    def opset(self) -> int:
        """The version of the standard operators."""
        return next(int(entry.version) for entry in self._model.opset_import if entry.domain in {"", "ai.onnx"})

    def check(self) -> None:
        """Raise SkipError where what is written for a graph can't be put into this one."""
        if self.opset < OLDEST_OPSET:
            raise SkipError(f"its operators are of opset {self.opset}, and at least {OLDEST_OPSET} is needed")
        for node in self.nodes:
            if any(True for _ in subgraphs(node)):
                raise SkipError(f"it has control flow: `{node.op_type}`")

    def array(self, name: str) -> NDArray[Any] | None:
        """Return the numbers of a constant, None for anything else."""
        tensor = self.constants.get(name)
        return None if tensor is None else numpy_helper.to_array(tensor)

    def matrix(self, name: str) -> NDArray[Any] | None:
        """Return constant weights, converted and transposed as they are on their way; None for anything else.

        A table of words that is its own head is such a one.
        """
        node = self.producer(name)
        if node is None or node.op_type not in {"Cast", "Transpose"}:
            return self.array(name)
        values = self.matrix(node.input[0])
        if values is None or node.op_type == "Cast":
            return values if values is None else values.astype(helper.tensor_dtype_to_np_dtype(node.attribute[0].i))
        return values.transpose(node.attribute[0].ints) if node.attribute else values.T

    def producer(self, name: str) -> onnx.NodeProto | None:
        """Return the node that computes a value, None for an input or a constant."""
        return next((node for node in self.nodes if name in node.output), None)

    def consumers(self, name: str) -> list[onnx.NodeProto]:
        """List the nodes that read a value."""
        return [node for node in self.nodes if name in node.input]

    def input_names(self) -> set[str]:
        """Return the names that are fed."""
        return {value.name for value in self._model.graph.input}

    def element_type(self, name: str) -> int:
        """Return the type of an input or of the outputs."""
        values = [*self._model.graph.input, *self._model.graph.output]
        return next(int(value.type.tensor_type.elem_type) for value in values if value.name == name)

    def rank(self, name: str) -> int | None:
        """Count the axes of an output, None where the graph does not say."""
        value = next(value for value in self._model.graph.output if value.name == name)
        kind = value.type.tensor_type
        return len(kind.shape.dim) if kind.HasField("shape") else None

    def constant(self, label: str, values: NDArray[Any]) -> str:
        """Add a constant under this name, once."""
        name = f"optimized/{label}"
        if name not in self.constants:
            self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(values), name)
        return name

    def scalar(self, value: float) -> str:
        """Add a float32 number."""
        return self.constant(f"float_{value:g}", np.array(value, dtype=np.float32))

    def integers(self, *values: int) -> str:
        """Add a list of int64 numbers."""
        return self.constant("integers_" + "_".join(map(str, values)), np.array(values, dtype=np.int64))

    def integer(self, value: int) -> str:
        """Add an int64 number."""
        return self.constant(f"integer_{value}", np.array(value, dtype=np.int64))

    def add(self, operator: str, *inputs: str, output: str = "", domain: str = "", **attributes: Any) -> str:
        """Add a node and return the name of its output."""
        self._number += 1
        name = f"optimized/{operator}_{self._number}"
        made = output or f"{name}_output"
        self.nodes.append(helper.make_node(operator, inputs, [made], name=name, domain=domain, **attributes))
        return made

    def reduce(self, operator: str, values: str, *, axis: int, keeps: bool = True, output: str = "") -> str:
        """Add a reduction along one axis, in the words of this opset."""
        if self.opset >= AXES_ARE_AN_INPUT.get(operator, 18):
            return self.add(operator, values, self.integers(axis), output=output, keepdims=int(keeps))
        return self.add(operator, values, output=output, axes=[axis], keepdims=int(keeps))

    def cast(self, values: str, kind: int) -> str:
        """Add a conversion to an element type."""
        return self.add("Cast", values, to=kind)

    def rename(self, old: str, new: str) -> None:
        """Give a value another name wherever it is made or read."""
        for node in self.nodes:
            for names in (node.input, node.output):
                for position, name in enumerate(names):
                    if name == old:
                        names[position] = new

    def remove(self, node: onnx.NodeProto) -> None:
        """Take a node out; another one has to compute its outputs."""
        self.nodes = [other for other in self.nodes if other is not node]

    def answer(self, name: str, *, shape: Sequence[int | str]) -> None:
        """Make a float32 value of the graph its output."""
        del self._model.graph.output[:]
        self._model.graph.output.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape))
        self.output = name

    def finished(self) -> onnx.ModelProto:
        """Return the model with what its output needs, in order; the inputs are those it had."""
        graph = self._model.graph
        nodes = _in_order(_needed(self.nodes, self.output))
        named = {name for node in nodes for name in (*node.input, *inner_names(node))} | {self.output}
        kept = [value for value in graph.output if value.name == self.output]
        inputs = [value for value in graph.input if value.name not in self.constants]
        tensors = [self.constants[name] for name in sorted(self.constants) if name in named]
        model = onnx.ModelProto()
        model.ir_version, model.producer_name = max(self._model.ir_version, 4), "build-image"
        model.opset_import.extend(self._model.opset_import)
        if not any(entry.domain == CONTRIB for entry in model.opset_import):
            model.opset_import.append(helper.make_opsetid(CONTRIB, 1))
        model.functions.extend(self._model.functions)
        model.graph.name = graph.name or "graph"
        model.graph.node.extend(nodes)
        model.graph.input.extend(inputs)
        model.graph.output.extend(kept)
        model.graph.initializer.extend(tensors)
        return model


def subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """Yield the graphs inside a node."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def inner_names(node: onnx.NodeProto) -> Iterator[str]:
    """Yield the names that the graphs inside a node read, of which some may be of the graph around."""
    for graph in subgraphs(node):
        yield from (value.name for value in graph.output)
        for inner in graph.node:
            yield from inner.input
            yield from inner_names(inner)


def _constant(node: onnx.NodeProto) -> onnx.TensorProto | None:
    """Return the tensor of a node `Constant`, where it holds one."""
    if node.op_type != "Constant" or node.attribute[0].name != "value":
        return None
    tensor = onnx.TensorProto()
    tensor.CopyFrom(node.attribute[0].t)
    tensor.name = node.output[0]
    return tensor


def _needed(nodes: Sequence[onnx.NodeProto], output: str) -> list[onnx.NodeProto]:
    """Keep the nodes that the output depends on."""
    makers = {name: position for position, node in enumerate(nodes) for name in node.output if name}
    kept: set[int] = set()
    wanted = [output]
    while wanted:
        position = makers.get(wanted.pop())
        if position is not None and position not in kept:
            kept.add(position)
            wanted += [*nodes[position].input, *inner_names(nodes[position])]
    return [nodes[position] for position in sorted(kept)]


def _in_order(nodes: Sequence[onnx.NodeProto]) -> list[onnx.NodeProto]:
    """Sort nodes so that each stands behind those it reads from, and otherwise as they stood."""
    makers = {name: position for position, node in enumerate(nodes) for name in node.output if name}
    readers: list[list[int]] = [[] for _ in nodes]
    missing = []
    for position, node in enumerate(nodes):
        sources = {makers[name] for name in _read(node) if name in makers}
        missing.append(len(sources))
        for source in sources:
            readers[source].append(position)
    ready = [position for position, count in enumerate(missing) if not count]
    heapq.heapify(ready)
    ordered = []
    while ready:
        position = heapq.heappop(ready)
        ordered.append(nodes[position])
        for reader in readers[position]:
            missing[reader] -= 1
            if not missing[reader]:
                heapq.heappush(ready, reader)
    return ordered


def _read(node: onnx.NodeProto) -> Iterable[str]:
    return (*node.input, *inner_names(node))
