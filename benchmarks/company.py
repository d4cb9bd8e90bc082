"""Measure what a text's company does to its embedding where a graph quantises dynamically, and what it costs alone.

Needs the quickstart's models (`make quickstart` makes them). The 8-bit graph is made here by ONNX Runtime's own tool.
"""

import logging
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
from onnxruntime.quantization import QuantType, quantize_dynamic

from runtime.embedder import Embedder
from runtime.inference import embed
from tests.families.serving import served
from tests.support.checkout import ROOT

MODEL = ROOT / "examples/models/all-MiniLM-L6-v2"
GRAPH, QUANTIZED = "onnx/model.onnx", "onnx/model_quantized.onnx"
TEXTS = [
    "The cat sits on the warm windowsill.",
    "rates",
    "Interest rates rose by a quarter point on Tuesday.",
    "How do I get back into my account?",
    "Bread dough should rest for an hour before it is baked. " * 12,
]
SHORT = TEXTS[:4] * 32


def quantized(folder: Path) -> Path:
    """Copy the model and add a graph whose matrices have 8 bits."""
    model = folder / "model"
    shutil.copytree(MODEL, model)
    logging.disable(logging.WARNING)  # the tool recommends steps that change nothing here
    quantize_dynamic(model / GRAPH, model / QUANTIZED, op_types_to_quantize=["MatMul"], weight_type=QuantType.QInt8)
    return model


def loaded(model: Path, *, dtype: str, batching: bool) -> Embedder:
    embedder = served(model, {"task": "embedding", "dtype": dtype, "batching": batching})
    if not isinstance(embedder, Embedder):
        raise TypeError(embedder)
    return embedder


def least_cosine(model: Path, dtype: str) -> float:
    """Compare each text alone with itself in one run with the others."""
    together = embed(loaded(model, dtype=dtype, batching=True), TEXTS).vectors
    alone = embed(loaded(model, dtype=dtype, batching=False), TEXTS).vectors
    return float(np.einsum("ij,ij->i", together, alone).min())


def texts_per_s(model: Path, dtype: str, *, batching: bool) -> float:
    embedder = loaded(model, dtype=dtype, batching=batching)
    started = time.monotonic()
    embed(embedder, SHORT)
    return len(SHORT) / (time.monotonic() - started)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        model = quantized(Path(folder))
        for dtype in ("fp32", "q8"):
            speeds = [texts_per_s(model, dtype, batching=batching) for batching in (False, True)]
            print(
                f"{dtype:4}  alone and in company: least cosine {least_cosine(model, dtype):.7f}; "
                f"one text a run: {speeds[0] / speeds[1]:.2f} of the speed of batches"
            )


if __name__ == "__main__":
    main()
