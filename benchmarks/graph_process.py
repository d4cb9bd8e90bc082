"""Own one graph in a process of its own, as it is measured: loaded, run and compared; run by `benchmarks/optimize.py`.

It is told what to do by lines of JSON, so that the rounds of several graphs take turns in the same minutes.
"""

import json
import statistics
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from benchmarks.load import resident_bytes
from runtime.pooling import pool, unit
from runtime.session import session_options

LOADS = 5
NEVER_RUN = {"load_s": 0.0}


class Loaded:
    """A graph with ONNX Runtime's options of the server; `level` is how much is optimised while it loads."""

    def __init__(self, spec: Mapping[str, Any]) -> None:
        self._spec = spec
        self._session = self._load()
        with np.load(spec["batches"]) as arrays:
            numbers = range(len(arrays.files) // 2)
            self._batches = [(arrays[f"ids_{number}"], arrays[f"mask_{number}"]) for number in numbers]

    def _load(self) -> Any:
        options = session_options(self._spec["threads"], spins=True)
        options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, self._spec["level"])
        return onnxruntime.InferenceSession(self._spec["graph"], options, providers=["CPUExecutionProvider"])

    def load_s(self) -> float:
        """Load it several times more, and return the median."""
        return statistics.median(_seconds(self._load) for _ in range(LOADS))

    def run(self) -> None:
        """Run every batch."""
        for ids, mask in self._batches:
            self._rows(ids, mask)

    def answers(self) -> NDArray[np.float32]:
        """Return a row a text."""
        return np.concatenate([self._rows(ids, mask) for ids, mask in self._batches])

    def company(self) -> float:
        """Return the most that a number of an answer differs where its text is alone."""
        ids, mask = self._batches[len(self._batches) // 2]
        together = self._rows(ids, mask)
        lengths = mask.sum(axis=1)
        alone = [self._rows(ids[[row], :length], mask[[row], :length]) for row, length in enumerate(lengths)]
        return float(np.abs(np.concatenate(alone) - together).max())

    def _rows(self, ids: NDArray[np.int64], mask: NDArray[np.int64]) -> NDArray[np.float32]:
        feeds = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        (output,) = self._session.run([self._spec["output"]], feeds)
        rows: NDArray[np.float32] = output
        if self._spec["pooling"]:
            rows = pool(rows, attention_mask=mask, modes=self._spec["pooling"])
        return unit(rows) if self._spec["normalize"] else rows


def answers(loaded: Loaded) -> Iterator[dict[str, Any]]:
    """Do what each line of the input asks for."""
    for line in sys.stdin:
        match line.strip():
            case "load":
                yield {"seconds": loaded.load_s()}
            case "run":
                yield {"seconds": _seconds(loaded.run)}
            case "answers":
                yield {"rows": loaded.answers().tolist(), "company": loaded.company()}


def _seconds(act: Any) -> float:
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def main() -> None:
    loaded = Loaded(json.loads(Path(sys.argv[1]).read_text()))
    loaded.run()
    print(json.dumps({"resident_bytes": resident_bytes("self")}), flush=True)
    for answer in answers(loaded):
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
