"""Own ONNX Runtime: one graph, fed by the names and types that it asks for; what its output means is not known."""

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from runtime.batch import Batch
from runtime.errors import InferenceError, ModelError

# the published wheels write a device id and report to their maker from 1.29 on, unless this is set before the import
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime

_FEEDS = ("input_ids", "attention_mask", "token_type_ids")
_DTYPES = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}
_ERRORS_ONLY = 3


class Session:
    """A loaded graph and the name of the output that is read."""

    def __init__(self, graph: Path, *, output: str, threads: int) -> None:
        try:
            self._session = onnxruntime.InferenceSession(
                str(graph), _options(threads), providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # the library's classes share no narrower one
            raise ModelError(f"`{graph}`: {error}") from error
        inputs = {node.name: node.type for node in self._session.get_inputs()}
        outputs = [node.name for node in self._session.get_outputs()]
        if problems := [*_input_problems(inputs), *_output_problems(outputs, wanted=output)]:
            raise ModelError(f"`{graph}`: {'; '.join(problems)}")
        self._dtypes = {name: _DTYPES[kind] for name, kind in inputs.items()}
        self._graph = graph
        self._output = output

    def run(self, batch: Batch) -> NDArray[np.float32]:
        """Compute the output for one batch; its shape is the graph's.

        Raises InferenceError.
        """
        feeds = {name: getattr(batch, name).astype(dtype, copy=False) for name, dtype in self._dtypes.items()}
        try:
            (output,) = self._session.run([self._output], feeds)
        except Exception as error:  # the library's classes share no narrower one
            raise InferenceError(f"`{self._graph}`: {error}") from error
        return np.asarray(output, dtype=np.float32)


def _options(threads: int) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = _ERRORS_ONLY
    # batches differ in shape, and both would keep the memory of the largest one for good
    options.enable_mem_pattern = False
    options.enable_cpu_mem_arena = False
    return options


def _input_problems(inputs: dict[str, str]) -> list[str]:
    unknown = [f"input `{name}` is not one this server can feed" for name in inputs if name not in _FEEDS]
    untyped = [
        f"input `{name}` is a `{kind}`, not an int64 or int32 tensor"
        for name, kind in inputs.items()
        if name in _FEEDS and kind not in _DTYPES
    ]
    missing = [] if "input_ids" in inputs else ["it has no input `input_ids`"]
    return unknown + untyped + missing


def _output_problems(outputs: list[str], *, wanted: str) -> list[str]:
    if wanted in outputs:
        return []
    return [f"it has no output `{wanted}`, only {', '.join(f'`{name}`' for name in outputs)}"]
