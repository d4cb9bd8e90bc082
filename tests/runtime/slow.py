"""Make a tiny graph slow: every run of it also multiplies matrices of ones, whose mean changes no answer."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

SIZE = 512


def slow_down(file: Path, *, products: int) -> None:
    """Let every run of the graph at `file` multiply so many matrices before it answers, about 4 ms each."""
    model = onnx.load(file)
    for node in model.graph.node:
        for names in (node.input, node.output):
            for position, name in enumerate(names):
                if name == "last_hidden_state":
                    names[position] = "states"
    constants: dict[str, NDArray[Any]] = {
        "matrix_shape": np.array([SIZE, SIZE], dtype=np.int64),
        "matrix_scale": np.array(1 / SIZE, dtype=np.float32),
    }
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in constants.items())
    model.graph.node.extend(
        [
            helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMax", ["mask"], ["one"], keepdims=0),
            helper.make_node("Expand", ["one", "matrix_shape"], ["ones_0"]),
            *(node for number in range(products) for node in _product(number)),
            helper.make_node("ReduceMean", [f"ones_{products}"], ["mean"], keepdims=0),
            helper.make_node("Mul", ["states", "mean"], ["last_hidden_state"]),
        ]
    )
    onnx.checker.check_model(model)
    file.write_bytes(model.SerializeToString())


def _product(number: int) -> list[onnx.NodeProto]:
    return [
        helper.make_node("MatMul", [f"ones_{number}", f"ones_{number}"], [f"sums_{number}"]),
        helper.make_node("Mul", [f"sums_{number}", "matrix_scale"], [f"ones_{number + 1}"]),
    ]
