"""The gate of derived graphs: what it measures, what it refuses, and what the server makes of it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from runtime import accuracy, golden
from runtime.bundle import read_bundle
from runtime.errors import BundleError, ModelError
from runtime.inference import load
from tests.runtime import overlays, tiny
from tests.runtime.conftest import Folders
from tests.runtime.server import running_server

ROOT = Path(__file__).parents[2]


def write(root: Path, *entries: dict[str, Any], samples: str = "", **facts: Any) -> Path:
    written = [overlays.write(root, entry, **facts) for entry in entries]
    for entry in written:
        overlays.write_wishes(root, entry["name"], samples=samples)
    return tiny.write_bundle(root / "bundle.json", *written)


def compare(root: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "runtime", "compare", str(root / "originals"), str(root / "wanted")]
    environment = {**os.environ, "RUNTIME_BUNDLE": str(root / "bundle.json"), "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def measures(report: str, name: str) -> dict[str, float]:
    (graph,) = json.loads(report)["models"][name]["graphs"]
    return {measure["name"]: measure["value"] for measure in graph["measures"]}


def entries(folders: Folders) -> tuple[dict[str, Any], ...]:
    return (
        tiny.embedder_entry(folders.embedder),
        tiny.reranker_entry(folders.reranker),
        tiny.classifier_entry(folders.classifier),
    )


def test_a_graph_that_computes_the_same_agrees_wholly_for_every_task(tmp_path: Path, folders: Folders) -> None:
    written = entries(folders)
    write(tmp_path, *written)
    ended = compare(tmp_path)
    assert (ended.returncode, "error" in ended.stderr) == (0, False)
    ranked = {"mean_cosine": 1.0, "least_cosine": 1.0, "top10_overlap": 1.0, "kendall_tau": 1.0}
    assert measures(ended.stdout, written[0]["name"]).items() >= ranked.items()
    assert measures(ended.stdout, written[1]["name"]).items() >= ranked.items()
    assert measures(ended.stdout, written[2]["name"]).items() >= {"mean_cosine": 1.0, "same_label": 1.0}.items()


def test_what_is_measured_is_the_same_every_time(tmp_path: Path, folders: Folders) -> None:
    write(tmp_path, *entries(folders), noise=0.01)
    assert compare(tmp_path).stdout == compare(tmp_path).stdout


def test_a_graph_that_answers_otherwise_is_refused_with_its_table_last(tmp_path: Path, folders: Folders) -> None:
    embedder, reranker, _ = entries(folders)
    bad = overlays.write(tmp_path, embedder, noise=1.0)
    good = overlays.write(tmp_path, reranker)
    for entry in (bad, good):
        overlays.write_wishes(tmp_path, entry["name"])
    tiny.write_bundle(tmp_path / "bundle.json", bad, good)
    ended = compare(tmp_path)
    lines = ended.stderr.splitlines()
    assert ended.returncode == 1
    assert lines[0].startswith("ranker: model.onnx against onnx/model.onnx, ")
    assert lines[-1].startswith("error: the optimised graph of `tiny` does not answer as its original: mean cosine 0.")
    (line,) = [line for line in lines if line.startswith("  mean cosine") and line.endswith("<- not near enough")]
    assert "at least 0.99" in line


def test_samples_are_compared_too(tmp_path: Path, folders: Folders) -> None:
    write(tmp_path, tiny.embedder_entry(folders.embedder), samples="The cat sits.\n\nInterest rates rose.\n")
    ended = compare(tmp_path)
    report = json.loads(ended.stdout)["models"]["tiny"]
    assert (report["samples"], ", 2 of them samples" in ended.stderr) == (2, True)


def test_a_graph_for_another_processor_is_measured_and_not_judged(tmp_path: Path, folders: Folders) -> None:
    variants = [{"graph": "other.onnx", "requires": [overlays.FLAG]}]
    write(tmp_path, tiny.embedder_entry(folders.embedder), variants=variants)
    overlays.write_graph(folders.embedder / "onnx/model.onnx", tmp_path / "optimized/tiny/other.onnx", noise=1.0)
    ended = compare(tmp_path)
    other, own = json.loads(ended.stdout)["models"]["tiny"]["graphs"]
    assert ended.returncode == 0
    assert (other["graph"], other["is_judged"], own["graph"], own["is_judged"]) == (
        "other.onnx",
        False,
        "model.onnx",
        True,
    )
    assert other["measures"][0]["value"] < 0.99


def test_where_the_original_stays_there_is_nothing_to_compare_and_why_is_told(tmp_path: Path, folders: Folders) -> None:
    skipped = [{"step": "load", "why": "it can't be loaded"}]
    file = write(tmp_path, tiny.embedder_entry(folders.embedder), graph=None, applied=[], skipped=skipped)
    entry = json.loads(file.read_text())["models"][0]
    Path(entry["path"], entry["graph"]).write_bytes((folders.embedder / "onnx/model.onnx").read_bytes())
    ended = compare(tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "tiny: its original stays: load: it can't be loaded\n")
    assert json.loads(ended.stdout)["models"]["tiny"]["graphs"] == []


def baked(root: Path) -> None:
    """Bake what a build bakes beside the bundle."""
    models = read_bundle(root / "bundle.json", originals=root / "originals").models
    (root / "golden.json").write_bytes(golden.document(models, threads=1))
    ended = compare(root)
    assert ended.returncode == 0, ended.stderr
    (root / "accuracy.json").write_text(ended.stdout)


def test_the_server_holds_a_derived_graph_to_the_original_s_answers_by_what_was_measured(
    tmp_path: Path, folders: Folders
) -> None:
    file = write(tmp_path, tiny.embedder_entry(folders.embedder), noise=0.06)
    baked(tmp_path)
    models = read_bundle(file).models
    reports = accuracy.read(tmp_path / "accuracy.json")
    answers = golden.expected(tmp_path / "golden.json", models, reports=reports)["tiny"]
    loaded = load(models[0], threads=1)
    assert answers.nearness is not None
    assert answers.nearness < golden.LEAST_COSINE
    assert golden.compare(loaded, answers).value == pytest.approx(answers.nearness, abs=1e-5)
    with pytest.raises(ModelError, match="does not give its golden answer"):
        golden.compare(loaded, msgspec.structs.replace(answers, nearness=None))


def test_info_says_which_graph_is_served_and_how_near_it_is(tmp_path: Path, folders: Folders) -> None:
    file = write(tmp_path, *entries(folders)[:2], noise=0.01)
    baked(tmp_path)
    with running_server(file) as server:
        told = server.request("GET", "/info").body["optimization"]
    assert (told["graph"], told["requires"], told["applied"], told["skipped"]) == (
        "model.onnx",
        [],
        ["graph: noise"],
        [],
    )
    assert 0.99 < told["accuracy"]["mean_cosine"] <= 1


@pytest.mark.parametrize("text", ["", "[]", '{"models": 1}'])
def test_a_report_that_can_t_be_read_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "accuracy.json").write_text(text)
    with pytest.raises(BundleError, match=r"accuracy\.json`: "):
        accuracy.read(tmp_path / "accuracy.json")


def test_without_a_report_nothing_was_optimised(tmp_path: Path) -> None:
    assert accuracy.read(tmp_path / "accuracy.json") == {}
