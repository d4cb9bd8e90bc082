"""Own which products of a graph are computed with few bits, and the operators of that; what it costs is not known.

`int8` multiplies bytes: each token's activations have a scale of their own, so that no answer depends on its company.
Weights have 7 bits, for processors without VNNI add pairs of products in 16 bits, where 8 would overflow; `int8-vnni`
has 8, for those with it. `q4` has weights of 4 bits in blocks. Tables of words have a byte a number in each.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial

import numpy as np
import onnx
from numpy.typing import NDArray

from . import optimize_numbers as numbers
from .optimize_failures import SkipError, counted
from .optimize_graph import CONTRIB, Graph

LEAST_WIDTH = 16  # of a product: a head of a few labels saves nothing, and every score comes through it
LEAST_ROWS = 1000  # of a table
MIDDLE = 128  # where zero is among bytes from 1 to 255
STEP = np.float32(1 / numbers.MOST)

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class Quantization:
    """How many bits weights have, and the flags of processors of which one is needed."""

    name: str
    most: int | None  # of a byte that is multiplied with bytes; None where weights are in blocks
    flags: tuple[str, ...] = ()

    @property
    def product(self) -> numbers.Product:
        """Compute a product as the graph will."""
        if self.most is None:
            return partial(numbers.block_product, bits=4)
        return partial(numbers.int8_product, most=self.most)


QUANTIZATIONS = {
    "int8": Quantization(name="int8", most=63),
    "int8-vnni": Quantization(name="int8-vnni", most=127, flags=("avx512_vnni", "avx_vnni")),
    "q4": Quantization(name="q4", most=None),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """A product with constant weights, by the name of what it makes, and of what goes in."""

    name: str
    output: str
    values: str
    weights: str


def find_targets(graph: Graph, *, exclude: Sequence[str]) -> list[Target]:
    """List the products that can have few bits, without those whose name or weights match one of the patterns.

    Raises SkipError where there is none.
    """
    found = [target for node in graph.nodes if (target := _target(graph, node)) is not None]
    if not found:
        raise SkipError("it has no product with constant float weights: it may be quantised already")
    kept = [target for target in found if not any(_matches(target, pattern) for pattern in exclude)]
    if not kept:
        raise SkipError(f"`exclude` matches all of its {len(found)} products")
    return kept


def quantize(
    graph: Graph, quantization: Quantization, *, targets: Sequence[Target], left_out: Collection[str]
) -> list[str]:
    """Rewrite the targets, less those that are left out, and the tables; say what was done.

    What is left out stays as it is, or has 8 bits in blocks where the others have 4.
    """
    done = 0
    for target in targets:
        is_left_out = target.output in left_out
        if quantization.most is None:
            _write_blocks(graph, target, bits=8 if is_left_out else 4)
        elif not is_left_out:
            _write_int8(graph, target, most=quantization.most)
        done += not is_left_out
    tables = _shrink_tables(graph)
    left = f", {len(left_out)} left out" if left_out else ""
    return [
        f"{quantization.name}: {done} of {len(targets)} products{left}",
        f"{counted(tables, 'table')} of words in bytes",
    ]


def _target(graph: Graph, node: onnx.NodeProto) -> Target | None:
    """Read a node as a product; one of `Gemm` in its plain form is one too."""
    if node.op_type not in {"MatMul", "Gemm"} or node.name.startswith("optimized/"):
        return None
    if node.op_type == "Gemm" and not _is_plain(node):
        return None
    weights = _weights(graph, node)
    if weights is None or min(weights.shape) < LEAST_WIDTH:
        return None
    return Target(name=node.name or node.output[0], output=node.output[0], values=node.input[0], weights=node.input[1])


def _is_plain(node: onnx.NodeProto) -> bool:
    return all(entry.f == 1 if entry.name in {"alpha", "beta"} else entry.name == "transB" for entry in node.attribute)


def _weights(graph: Graph, node: onnx.NodeProto) -> Floats | None:
    """Return the weights of a product as [in, out] float32."""
    weights = graph.matrix(node.input[1])
    if weights is None or weights.ndim != 2 or weights.dtype != np.float32:
        return None
    return weights.T if any(entry.name == "transB" and entry.i for entry in node.attribute) else weights


def weights_of(graph: Graph, target: Target) -> Floats:
    """Return the weights of a target as [in, out] float32."""
    node = graph.producer(target.output)
    weights = None if node is None else _weights(graph, node)
    if weights is None:
        raise SkipError(f"`{target.name}` is no product any more")
    return weights


def _matches(target: Target, pattern: str) -> bool:
    return fnmatchcase(target.name, pattern) or fnmatchcase(target.weights, pattern)


def _take(graph: Graph, target: Target) -> tuple[Floats, str]:
    """Take a product out, and return its weights and the name of what is to be made: a bias is added from there."""
    weights = weights_of(graph, target)
    node = graph.producer(target.output)
    if node is None:
        raise SkipError(f"`{target.name}` is no product any more")
    graph.remove(node)
    if len(node.input) == 2 or not node.input[2]:
        return weights, target.output
    product = f"optimized/{target.output}"
    graph.add("Add", product, node.input[2], output=target.output)
    return weights, product


def _key(graph: Graph, target: Target) -> str:
    """Name weights for all that read them alike: a model may use those of one layer in every layer."""
    node = graph.producer(target.output)
    is_turned = node is not None and any(entry.name == "transB" and entry.i for entry in node.attribute)
    return f"{target.weights}:turned" if is_turned else target.weights


def _write_int8(graph: Graph, target: Target, *, most: int) -> None:
    key = _key(graph, target)
    weights, output = _take(graph, target)
    packed, scales = numbers.by_column(weights, most=most)
    values, largest = _bytes_of(graph, target.values)
    step = graph.scalar(float(STEP))
    middle = graph.constant("middle", np.array(MIDDLE, dtype=np.uint8))
    product = graph.add(
        "MatMulIntegerToFloat",
        *(values, graph.constant(f"{key}:int8", packed), step, graph.constant(f"{key}:int8:scales", scales), middle),
        domain=CONTRIB,
    )
    graph.add("Mul", product, largest, output=output)


def _bytes_of(graph: Graph, values: str) -> tuple[str, str]:
    """Add what makes bytes of activations, once for all that read them, with the largest size of each token.

    A token of zeros gives anything here, and zero where its largest is multiplied with.
    """
    made, largest = f"optimized/{values}:bytes", f"optimized/{values}:largest"
    if graph.producer(made) is None:
        graph.reduce("ReduceMax", graph.add("Abs", values), axis=-1, output=largest)
        shares = graph.add("Mul", values, graph.add("Reciprocal", largest))
        middle = graph.constant("middle", np.array(MIDDLE, dtype=np.uint8))
        graph.add("QuantizeLinear", shares, graph.scalar(float(STEP)), middle, output=made)
    return made, largest


def _write_blocks(graph: Graph, target: Target, *, bits: int) -> None:
    key = f"{_key(graph, target)}:q{bits}"
    weights, output = _take(graph, target)
    blocks = numbers.by_block(weights, bits=bits)
    graph.add(
        "MatMulNBits",
        target.values,
        graph.constant(key, blocks.packed),
        graph.constant(f"{key}:scales", blocks.scales.reshape(-1)),
        graph.constant(f"{key}:zero_points", blocks.zero_points.reshape(-1)),
        output=output,
        domain=CONTRIB,
        K=weights.shape[0],
        N=weights.shape[1],
        bits=bits,
        block_size=numbers.BLOCK,
        accuracy_level=4,
    )


def _shrink_tables(graph: Graph) -> int:
    """Give tables of words a byte a number and a scale a row, where nothing but lookups reads them."""
    shrunk = 0
    for name in sorted(graph.constants):
        readers = graph.consumers(name)
        is_looked_up = bool(readers) and all(_is_lookup(node, name) for node in readers)
        table = graph.array(name) if is_looked_up else None
        if table is not None and table.ndim == 2 and table.dtype == np.float32 and len(table) >= LEAST_ROWS:
            _shrink(graph, name, table, readers)
            shrunk += 1
    return shrunk


def _is_lookup(node: onnx.NodeProto, table: str) -> bool:
    axis = next((entry.i for entry in node.attribute if entry.name == "axis"), 0)
    return node.op_type == "Gather" and node.input[0] == table and axis == 0


def _shrink(graph: Graph, name: str, table: Floats, readers: Sequence[onnx.NodeProto]) -> None:
    rows, scales = numbers.by_row(table)
    packed, sizes = graph.constant(f"{name}:int8", rows), graph.constant(f"{name}:int8:scales", scales)
    for node in readers:
        graph.remove(node)
        found, size = (graph.add("Gather", given, node.input[1], axis=0) for given in (packed, sizes))
        graph.add("Mul", graph.cast(found, onnx.TensorProto.FLOAT), size, output=node.output[0])
