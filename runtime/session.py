"""Own ONNX Runtime: one graph, fed by the names and types that it asks for; what its output means is not known."""

import os
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from runtime.batch import Batch
from runtime.bundle import Input, Level, Model
from runtime.errors import InferenceError, ModelError
from runtime.feeds import feeds
from runtime.threads import may_spin

# the published wheels write a device id and report to their maker from 1.29 on, unless this is set before the import
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime

_DTYPES = {
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(bool)": "bool",
}
_LEVELS: Mapping[Level, onnxruntime.GraphOptimizationLevel] = {
    "disabled": onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
    "basic": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "extended": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    "all": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
}
_ERRORS_ONLY = 3


class Session:
    """A loaded graph, what its inputs are fed with, and the name of the output that is read.

    One that is loaded `twice` runs on all threads, or beside another run on half of them, which takes the second copy.
    Any other runs once at a time.
    """

    def __init__(
        self,
        graph: Path,
        *,
        inputs: Mapping[str, Input],
        output: str,
        threads: int,
        level: Level = "all",
        twice: bool = False,
    ) -> None:
        counts = [threads, threads // 2] if twice and threads > 1 else [threads]
        with ThreadPoolExecutor(len(counts)) as loaders:
            self._whole, *halves = loaders.map(partial(_loaded, graph, level), counts)
        self._half = halves[0] if halves else None
        self._turn = threading.Lock()
        taken = {node.name: node.type for node in self._whole.get_inputs()}
        outputs = [node.name for node in self._whole.get_outputs()]
        if problems := [*_input_problems(taken, inputs), *_output_problems(outputs, wanted=output)]:
            raise ModelError(f"`{graph}`: {'; '.join(problems)}")
        self._inputs = inputs
        self._graph = graph
        self._output = output

    def run(self, batch: Batch, *, beside: bool = False) -> NDArray[np.floating]:
        """Compute the output for one batch; its shape and type are the graph's, and it is ONNX Runtime's own memory.

        `beside` tells that another run goes on at the same time. Raises InferenceError.
        """
        fed = feeds(self._inputs, batch)
        if beside and self._half is not None:
            return self._run(self._half, fed)
        with self._turn:
            return self._run(self._whole, fed)

    def _run(
        self, session: onnxruntime.InferenceSession, fed: Mapping[str, NDArray[np.generic]]
    ) -> NDArray[np.floating]:
        try:
            (output,) = session.run([self._output], fed)
        except Exception as error:  # the library's classes share no narrower one
            raise InferenceError(f"`{self._graph}`: {error}") from error
        return np.asarray(output)


def _loaded(graph: Path, level: Level, threads: int) -> onnxruntime.InferenceSession:
    options = session_options(threads, spins=may_spin())
    options.graph_optimization_level = _LEVELS[level]
    try:
        return onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the library's classes share no narrower one
        raise ModelError(f"`{graph}`: {error}") from error


def open_session(model: Model, *, threads: int) -> Session:
    """Load a model's graph as its bundle says; raises ModelError."""
    return Session(
        model.graph_file,
        inputs=model.inputs,
        output=model.output,
        threads=threads,
        level=model.level,
        twice=model.is_small,
    )


def session_options(threads: int, *, spins: bool) -> onnxruntime.SessionOptions:
    """Choose how a graph is run, by what was measured on all-MiniLM-L6-v2 with 2 threads, two runs at a time.

    Threads wait busily for each other's part of a run, as the library does by default, which is 4% faster for a short
    text than to sleep at once. One pool for all sessions was 14% slower with two models.

    The arena keeps what the largest batch took, which the budget bounds: 238 MB resident after 800 texts with 512
    padded tokens a batch, and no page faults. Without it there were 330 MB, for the C library keeps more. Patterns of
    memory are for shapes that come again, and batches differ.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = _ERRORS_ONLY
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spins else "0")
    return options


def _input_problems(taken: Mapping[str, str], fed: Mapping[str, Input]) -> list[str]:
    """Compare the types of what the graph takes with what the bundle feeds."""
    unknown = [f"the bundle says nothing of its input `{name}`" for name in taken if name not in fed]
    absent = [f"it has no input `{name}`, which the bundle feeds" for name in fed if name not in taken]
    other = [
        f"its input `{name}` is a `{taken[name]}`, and the bundle says `{value.dtype}`"
        for name, value in fed.items()
        if name in taken and _DTYPES.get(taken[name]) != value.dtype
    ]
    return unknown + absent + other


def _output_problems(outputs: list[str], *, wanted: str) -> list[str]:
    if wanted in outputs:
        return []
    return [f"it has no output `{wanted}`, only {', '.join(f'`{name}`' for name in outputs)}"]
