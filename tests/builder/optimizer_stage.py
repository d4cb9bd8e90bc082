"""Own running the program that derives a graph, on tiny graphs, and running what it derives."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from runtime import processor
from templates.stages import optimize_model
from templates.stages.optimize_quantize import QUANTIZATIONS

GRAPH = "onnx/model.onnx"
HIDDEN = 32
INNER = 48
WORDS = 1200  # enough for a table to be worth its bytes
LENGTHS = (7, 3, 5)
# What 8-bit weights keep of an answer. Without VNNI pairs of products overflow, which is why the server leaves them.
VNNI_LEAST = 0.9995 if processor.flags().intersection(QUANTIZATIONS["int8-vnni"].flags) else 0.95
NOTHING: Mapping[str, Any] = {
    "graph": False,
    "attention": False,
    "quantize": "none",
    "fuse_pooling": False,
    "insist": False,
}

node = helper.make_node
_random = np.random.default_rng(20261129)


def normal(*shape: int) -> NDArray[np.float32]:
    return (_random.normal(size=shape) / 4).astype(np.float32)


TABLE = normal(WORDS, HIDDEN) * 4
UP, DOWN = normal(HIDDEN, INNER), normal(INNER, HIDDEN)


@dataclass(frozen=True, kw_only=True)
class Run:
    code: int
    output: Path

    @property
    def derived(self) -> dict[str, Any]:
        """Read what the program says of its graph."""
        content: dict[str, Any] = json.loads((self.output / "derived.json").read_text())
        return content

    @property
    def model(self) -> onnx.ModelProto:
        return onnx.load(self.output / self.derived["graph"])

    @property
    def operators(self) -> list[str]:
        return [each.op_type for each in self.model.graph.node]

    @property
    def steps(self) -> list[str]:
        return [step["step"] for step in self.derived["applied"]]

    @property
    def left_out(self) -> dict[str, str]:
        return {step["step"]: step["why"] for step in self.derived["skipped"]}

    def answers(self, feeds: Mapping[str, NDArray[Any]], *, graph: str | None = None) -> NDArray[np.float32]:
        """Run the derived graph as it was saved."""
        return run(self.output / (graph or self.derived["graph"]), feeds, self.derived["output"])


def run(graph: Path, feeds: Mapping[str, NDArray[Any]], output: str) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
    (values,) = session.run([output], dict(feeds))
    rows: NDArray[np.float32] = np.asarray(values)
    return rows


def request(**changes: Any) -> dict[str, Any]:
    """Ask for an embedding model's graph; `optimize` is added to a wish for nothing."""
    wishes = {**NOTHING, **changes.pop("optimize", {})}
    names = changes.pop("names", ("input_ids", "attention_mask"))
    return {
        "graph": GRAPH,
        "task": "embedding",
        "inputs": {name: {"feed": name, "dtype": "int64", "shape": ["batch", "sequence"]} for name in names},
        "output": "states",
        "pooling": ["mean"],
        "include_prompt": True,
        "layers": [],
        "normalize": True,
        "answer_tokens": [],
        "padding_side": "right",
        "optimize": wishes,
        **changes,
    }


def derive(folder: Path, *, into: str = "derived", **changes: Any) -> Run:
    """Run the program on the model in `folder`."""
    asked, target = folder / "request.json", folder / into
    asked.write_text(json.dumps(request(**changes)))
    code = optimize_model.main([str(asked), str(folder), str(target)])
    return Run(code=code, output=target)


def write(
    folder: Path,
    nodes: Sequence[onnx.NodeProto],
    constants: Mapping[str, NDArray[Any]],
    *,
    output: str = "states",
    shape: Sequence[str | int] = ("batch", "sequence", HIDDEN),
    kind: int = TensorProto.FLOAT,
    opset: int = 17,
    **saved: Any,
) -> Path:
    """Write a graph of ids and mask."""
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"])
        for name in ("input_ids", "attention_mask")
    ]
    outputs = [helper.make_tensor_value_info(output, kind, shape)]
    tensors = [numpy_helper.from_array(values, name) for name, values in constants.items()]
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, tensors)
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    file = folder / GRAPH
    file.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), file, **saved)
    return file


def encoder(folder: Path, **settings: Any) -> Path:
    """Write a graph of two products, whose states are those of `states_of`."""
    nodes = [
        node("Gather", ["table", "input_ids"], ["words"], name="words"),
        node("MatMul", ["words", "up"], ["raised"], name="layer.0.up"),
        node("Tanh", ["raised"], ["bent"], name="bent"),
        node("MatMul", ["bent", "down"], ["lowered"], name="layer.0.down"),
        node("Add", ["lowered", "words"], ["states"], name="states"),
    ]
    return write(folder, nodes, {"table": TABLE, "up": UP, "down": DOWN}, **settings)


def states_of(ids: Sequence[int]) -> NDArray[np.float64]:
    """Compute the states of one text in float64: [tokens, hidden]."""
    words = TABLE.astype(np.float64)[list(ids)]
    states: NDArray[np.float64] = np.tanh(words @ UP.astype(np.float64)) @ DOWN.astype(np.float64) + words
    return states


def texts() -> list[list[int]]:
    chance = np.random.default_rng(3)
    return [chance.integers(1, WORDS, length).tolist() for length in LENGTHS]


def padded(rows: Sequence[Sequence[int]], *, side: str = "right") -> dict[str, NDArray[np.int64]]:
    """Lay texts side by side, and fill the shorter ones up."""
    longest = max(map(len, rows))
    ids, mask = np.zeros((len(rows), longest), np.int64), np.zeros((len(rows), longest), np.int64)
    for at, row in enumerate(rows):
        place = slice(longest - len(row), None) if side == "left" else slice(len(row))
        ids[at, place], mask[at, place] = row, 1
    return {"input_ids": ids, "attention_mask": mask}


def cosines(rows: NDArray[Any], exact: NDArray[Any]) -> NDArray[np.float64]:
    each: NDArray[np.float64] = np.einsum("ij,ij->i", rows, exact)
    lengths: NDArray[np.float64] = np.linalg.norm(rows, axis=1) * np.linalg.norm(exact, axis=1)
    return each / lengths
