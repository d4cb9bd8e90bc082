"""Models whose graph is derived in the build: the image, the gate that it has to pass, and what is left without it."""

import itertools
import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from builder.engine import ContainerOptions, Engine
from tests.engine.command import Ended, build_image

pytestmark = pytest.mark.engine

DERIVED = "/opt/hf-cache/optimized/models--local--embedder"
WORDS = "cat sits on the warm windowsill interest rates rose by a quarter point tuesday".split()
SERVER = ("python3", "-m", "runtime")


def manifest(folder: Path, name: str, wishes: dict[str, Any], **changes: Any) -> Path:
    """Write a manifest of one image with an optimised embedder; JSON is YAML."""
    path = folder / f"{name}.yaml"
    content = {
        "version": 1,
        "models": {
            "embedder": {"task": "embedding", "path": "embedder", "optimize": wishes},
            "reranker": {"task": "reranker", "path": "reranker"},
        },
        "images": {name: {"models": ["embedder", "reranker"]}},
        **changes,
    }
    path.write_text(json.dumps(content))
    return path


def stage_lines(ended: Ended, stage: str) -> list[str]:
    return [line for line in ended.err.splitlines() if f"[{stage} " in line]


def test_an_optimised_model_is_proven_baked_once_and_verified(
    engine: Engine, folder: Path, name: str, tmp_path: Path
) -> None:
    (folder / "texts").write_text("one text\nein anderer Text\n")
    wishes = {"quantize": "int8", "samples": "texts"}
    path = manifest(folder, name, wishes, gates={"max_duplicates": 1})
    report = tmp_path / "report.json"
    ended = build_image("--models", path, "--report", report)
    assert ended.code == 0, ended.err
    image = f"{name}:latest"
    with engine.run_container(ContainerOptions(image=image)) as container:
        found = container.exec(("find", "/opt/hf-cache", "-name", "*.onnx*", "-printf", "%P\n")).stdout.decode()
        selftest = json.loads(container.exec((*SERVER, "selftest", "--files")).stdout)
        bill = json.loads(container.exec(("cat", "/opt/bundle/sbom.cdx.json")).stdout)
        info = json.loads(container.exec((*SERVER, "info")).stdout)
    graphs = [line for line in found.splitlines() if "embedder" in line]
    assert [line.rpartition("/")[2] for line in graphs] == ["model.onnx"]
    assert graphs[0].startswith("optimized/models--local--embedder/")
    assert selftest["passed"]
    assert info["bundle"]["models"][0]["graph"].startswith(DERIVED)
    _assert_told(json.loads(report.read_text())["images"][0], bill)
    assert build_image("verify", image).code == 0
    assert build_image("verify", image, "--models", path).code == 0


def _assert_told(reported: dict[str, Any], bill: dict[str, Any]) -> None:
    (accuracy,) = reported["accuracy"]
    assert (accuracy["name"], accuracy["samples"], accuracy["graphs"][0]["is_judged"]) == ("embedder", 2, True)
    assert "embedder answers as its original" in {check["name"] for check in reported["checks"]}
    (model,) = [one for one in bill["components"] if one["bom-ref"] == "model/embedder"]
    (graph,) = [one for one in model["components"] if one["name"] == "optimized/model.onnx"]
    assert "onnx/model.onnx" in {ancestor["name"] for ancestor in graph["pedigree"]["ancestors"]}
    assert "onnx/model.onnx" not in {one["name"] for one in model["components"]}


def test_a_graph_that_is_not_near_enough_makes_no_image(engine: Engine, folder: Path, name: str) -> None:
    texts = [" ".join(words) for words in itertools.combinations(WORDS, 3)]  # so alike that some change places
    (folder / "alike").write_text("\n".join(texts))
    wishes = {"quantize": "q4", "samples": "alike", "min_mean_cosine": 0, "min_top10_overlap": 1}
    ended = build_image("--models", manifest(folder, name, wishes))
    assert ended.code == 1
    error = ended.err[ended.err.index(f"error: {name}: ") :]
    assert error.startswith(f"error: {name}: the optimised graph of `embedder` does not answer as its original: ")
    assert "    |   top10 overlap" in error
    assert "at least 1  <- not near enough" in error
    assert "hint: choose a gentler `quantize`" in error
    assert not engine.has_image(f"{name}:latest")


def test_a_graph_that_the_optimiser_can_t_take_stays_with_a_warning(folder: Path, name: str) -> None:
    path = manifest(folder, name, {"quantize": "int8", "graph": False, "fuse_pooling": False, "exclude": ["*"]})
    ended = build_image("--models", path)
    assert ended.code == 0, ended.err
    assert f"warning: {name}: models.embedder.optimize: the original graph stays: quantize: " in ended.err
    assert build_image("verify", f"{name}:latest", "--models", path).code == 0


def test_where_the_manifest_insists_there_is_no_image_with_the_original(
    engine: Engine, folder: Path, name: str
) -> None:
    wishes = {"quantize": "int8", "exclude": ["*"], "insist": True}
    ended = build_image("--models", manifest(folder, name, wishes))
    assert ended.code == 1
    assert f"error: {name}: `onnx/model.onnx`: quantize: `exclude` matches all of its " in ended.err
    assert not engine.has_image(f"{name}:latest")


def test_samples_that_are_empty_are_refused_before_anything_is_built(folder: Path, name: str) -> None:
    (folder / "empty").write_text("\n")
    ended = build_image("--models", manifest(folder, name, {"samples": "empty"}))
    assert ended.code == 2
    assert "`models.embedder.optimize.samples`: " in ended.err
    assert "holds no text: write one a line" in ended.err


def test_an_optimised_image_is_the_same_in_two_builds(folder: Path, name: str) -> None:
    path = manifest(folder, name, {"quantize": "q4"})
    ended = build_image("--models", path, "--verify-reproducible")
    assert ended.code == 0, ended.err
    assert f"{name}: reproducible: " in ended.err


def test_another_threshold_of_ranking_derives_no_graph_again(folder: Path, name: str) -> None:
    assert build_image("--models", manifest(folder, name, {"quantize": "int8"})).code == 0
    threshold = uuid4().int % 10**6 / 10**7  # that no earlier run of the tests has compared with
    ended = build_image("--models", manifest(folder, name, {"quantize": "int8", "min_top10_overlap": threshold}))
    assert ended.code == 0, ended.err
    assert all("cached" in line for line in stage_lines(ended, "optimize-embedder"))
    assert any("cached" not in line for line in stage_lines(ended, "compared"))


def test_an_image_of_weights_has_the_original(engine: Engine, folder: Path, name: str) -> None:
    images = {name: {"models": ["embedder"], "kind": "models"}}
    path = manifest(folder, name, {"quantize": "int8"}, images=images)
    ended = build_image("--models", path)
    assert ended.code == 0, ended.err
    assert build_image("verify", f"{name}:latest", "--models", path).code == 0
    assert "optimized:" not in json.dumps(dict(engine.inspect_image(f"{name}:latest").labels))
