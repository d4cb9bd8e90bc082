"""Own tiny models that were optimised: an original's files, and a derived graph that differs from it by some noise."""

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from tests.runtime import tiny

FLAG = "no_processor_has_this_flag"


def write(root: Path, entry: dict[str, Any], *, noise: float = 0.0, **facts: Any) -> dict[str, Any]:
    """Lay the model of `entry` out below `root` as a build leaves it, and return how the bundle then describes it.

    Its original is in `originals`, as a stage mounts it, and its graph is not among its own files any more.
    """
    source, name = Path(entry["path"]), entry["name"]
    home = root / "image" / name
    original = root / "originals" / name / str(home).removeprefix("/")
    for place in (home, original):
        shutil.copytree(source, place)
    (home / entry["graph"]).unlink()
    overlay = root / "optimized" / name
    write_graph(source / entry["graph"], overlay / "model.onnx", noise=noise)
    _describe(overlay, entry, **facts)
    files = {**entry["files"]}
    return {
        **entry,
        "path": str(home),
        "files": files,
        "overlay": {"path": str(overlay), "replaces": [entry["graph"]]},
    }


def write_graph(source: Path, target: Path, *, noise: float) -> None:
    """Write a graph over words that differ by some noise."""
    model = onnx.load(source)
    words = next(tensor for tensor in model.graph.initializer if tensor.name == "words")
    values = np.random.default_rng(11).normal(size=tiny.WORD_EMBEDDINGS.shape).astype(np.float32)
    words.CopyFrom(numpy_helper.from_array(tiny.WORD_EMBEDDINGS + noise * values, "words"))
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(model.SerializeToString())


def _describe(overlay: Path, entry: dict[str, Any], **facts: Any) -> None:
    same = {key: entry[key] for key in ("output", "pooling", "layers", "normalize", "answer_tokens", "inputs")}
    derived = {
        "graph": "model.onnx",
        **same,
        "quantizes_dynamically": False,
        "batching": True,
        "level": "disabled",
        "applied": [{"step": "graph", "detail": "noise"}],
        "skipped": [],
        "versions": {"onnxruntime": "1"},
        "variants": [],
        "files": {path.name: baked(path) for path in sorted(overlay.iterdir())},
        **facts,
    }
    (overlay / "derived.json").write_text(json.dumps(derived))


def baked(file: Path) -> dict[str, Any]:
    """Describe a file as a bundle does."""
    content = file.read_bytes()
    return {"size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def variants(*requires: Sequence[str]) -> list[dict[str, Any]]:
    """Describe the same graph for several kinds of processors."""
    return [{"graph": "model.onnx", "requires": list(flags)} for flags in requires]


def write_wishes(root: Path, name: str, *, samples: str = "", **thresholds: float) -> None:
    """Write what a stage is told of the comparison of one model."""
    folder = root / "wanted" / name
    folder.mkdir(parents=True)
    content = {"mean_cosine": 0.99, "top10_overlap": 0.95, **thresholds}
    (folder / "thresholds.json").write_text(json.dumps(content))
    if samples:
        (folder / "samples.txt").write_text(samples)
