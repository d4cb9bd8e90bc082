"""Own ONNX Runtime in this program: graphs are optimised by it, saved and tried; what they mean is not known."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .optimize_failures import SkipError, in_one_line

# as in the server: the published wheels would report to their maker
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime

VERSION: str = onnxruntime.__version__
CRASHES_ONLY = 4  # errors are raised
NOTHING, PORTABLE_FUSIONS, SIMPLER = "ORT_DISABLE_ALL", "ORT_ENABLE_EXTENDED", "ORT_ENABLE_BASIC"
DATA_OF_BYTES = 1024  # smaller weights stay in the graph's own file

Feeds = Mapping[str, NDArray[Any]]


def optimize(source: Path, target: Path, *, level: str, has_data_file: bool) -> None:
    """Save a graph as ONNX Runtime rewrites it; raises SkipError with what ONNX Runtime says against it."""
    options = _options(level)
    options.optimized_model_filepath = str(target)
    if has_data_file:
        options.add_session_config_entry(
            "session.optimized_model_external_initializers_file_name", target.name + "_data"
        )
        options.add_session_config_entry(
            "session.optimized_model_external_initializers_min_size_in_bytes", str(DATA_OF_BYTES)
        )
    _load(source, options)


class Session:
    """A graph that runs as it is saved; the order of its sums is that of one thread, and so always the same."""

    def __init__(self, graph: Path) -> None:
        options = _options(NOTHING)
        options.intra_op_num_threads = 1
        self._session = _load(graph, options)

    @property
    def outputs(self) -> list[str]:
        """Name what it computes."""
        return [value.name for value in self._session.get_outputs()]

    def run(self, outputs: Sequence[str], feeds: Feeds) -> list[NDArray[Any]]:
        """Compute outputs; raises SkipError with what ONNX Runtime says against it."""
        try:
            return [np.asarray(values) for values in self._session.run(list(outputs), dict(feeds))]
        except Exception as error:  # the library's classes share no narrower one
            raise SkipError(f"ONNX Runtime can't run it: {in_one_line(error)}") from error


def _options(level: str) -> Any:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    options.log_severity_level = CRASHES_ONLY
    options.enable_cpu_mem_arena = False
    return options


def _load(graph: Path, options: Any) -> Any:
    try:
        return onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the library's classes share no narrower one
        said = in_one_line(error).replace(str(graph), graph.name)
        raise SkipError(f"ONNX Runtime {VERSION} can't load it: {said}") from error
