"""Models that are optimised, for the tests of whatever reads how."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from builder.lock import LockedModel
from builder.optimization import Optimization
from tests.builder import data

OPTIMIZATION = Optimization(
    graph=True,
    quantize="int8",
    variants=(),
    fuse_pooling=True,
    keep_original=False,
    insist=False,
    exclude=("*/pooler/*",),
    samples_sha256="",
    min_mean_cosine=0.99,
    min_top10_overlap=0.95,
    versions={"onnx": "1.23.2", "onnxruntime": "1.32.0"},
    program="0123456789ab",
)


def model(samples: Path | None = None, **wishes: Any) -> LockedModel:
    """Make a local model that is optimised."""
    return replace(data.local(Path("/models/a")), optimization=replace(OPTIMIZATION, **wishes), samples=samples)


ACCURACY: dict[str, Any] = {
    "embedder": {
        "original": "onnx/model.onnx",
        "texts": 58,
        "samples": 2,
        "applied": [{"step": "graph", "detail": "3 nodes of 9", "why": ""}],
        "skipped": [{"step": "fuse_pooling", "detail": "", "why": "it pools itself"}],
        "versions": {"onnxruntime": "1.32.0"},
        "graphs": [
            {
                "graph": "model.onnx",
                "requires": [],
                "is_judged": True,
                "measures": [
                    {"name": "mean_cosine", "value": 0.9935, "at_least": 0.99},
                    {"name": "least_cosine", "value": 0.9856},
                    {"name": "batch_difference", "value": 0.0002, "at_most": 0.001},
                ],
                "golden": 0.9921,
            },
            {"graph": "model.q4.onnx", "requires": ["flag"], "is_judged": False, "measures": [], "golden": 0.9},
        ],
    },
    "reranker": {
        "original": "onnx/model.onnx",
        "texts": 0,
        "samples": 0,
        "applied": [],
        "skipped": [{"step": "load", "detail": "", "why": "ONNX Runtime can't load it"}],
        "versions": {},
        "graphs": [],
    },
}
