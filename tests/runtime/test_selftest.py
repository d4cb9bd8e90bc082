from pathlib import Path
from typing import Any

import msgspec
from onnx import helper

from runtime import golden, inference
from runtime.bundle import BakedFile, Bundle, read_bundle
from runtime.selftest import Check, ModelReport, check_model
from tests.runtime import tiny
from tests.runtime.conftest import Folders


def report_of(tmp_path: Path, entry: dict[str, Any]) -> ModelReport:
    (model,) = read_bundle(tiny.write_bundle(tmp_path / "bundle.json", entry)).models
    return check_model(model, threads=1)


def outcomes(report: ModelReport) -> list[tuple[str, bool]]:
    return [(check.name, check.passed) for check in report.checks]


def failed(report: ModelReport) -> list[str]:
    return [check.name for check in report.checks if not check.passed]


def test_an_embedder_passes_every_check(bundle: Bundle) -> None:
    report = check_model(bundle.models[0], threads=1)
    assert (report.name, report.passed, outcomes(report)) == (
        "tiny",
        True,
        [
            ("dimension", True),
            ("unit_norm", True),
            ("paraphrase_beats_unrelated", True),
            ("matryoshka_16", True),
            ("batch_equals_singles", True),
        ],
    )


def test_a_reranker_passes_every_check(bundle: Bundle) -> None:
    report = check_model(bundle.models[1], threads=1)
    assert (report.passed, outcomes(report)) == (
        True,
        [("relevant_beats_unrelated", True), ("batch_equals_singles", True)],
    )


def test_a_classifier_passes_every_check(folders: Folders, tmp_path: Path) -> None:
    report = report_of(tmp_path, tiny.classifier_entry(folders.classifier))
    assert (report.passed, outcomes(report)) == (
        True,
        [("different_texts_differ", True), ("batch_equals_singles", True)],
    )


def test_a_classifier_that_does_not_see_the_text_fails(tmp_path: Path) -> None:
    graph = tmp_path / "onnx" / "model.onnx"
    nodes = [
        helper.make_node("Gather", ["segments", "token_type_ids"], ["rows"]),
        helper.make_node("ReduceMean", ["rows"], ["logits"], axes=[1], keepdims=0),
    ]
    tiny.write_graph(graph, nodes=nodes, outputs={"logits": ["batch", "labels"]})
    tiny.write_tokenizer(tmp_path)
    labels = [f"LABEL_{number}" for number in range(tiny.HIDDEN)]
    assert failed(report_of(tmp_path, tiny.classifier_entry(tmp_path, labels=labels))) == ["different_texts_differ"]


def test_what_is_not_normalised_is_not_asked_for_its_norm(folders: Folders, tmp_path: Path) -> None:
    report = report_of(tmp_path, tiny.embedder_entry(folders.embedder, normalize=False))
    assert (report.passed, outcomes(report)[:2]) == (
        True,
        [("dimension", True), ("paraphrase_beats_unrelated", True)],
    )


def test_an_embedder_that_does_not_see_the_text_fails(tmp_path: Path) -> None:
    nodes = [helper.make_node("Gather", ["words", "input_ids"], ["last_hidden_state"])]
    tiny.write_graph(tmp_path / "onnx" / "model.onnx", nodes=nodes, outputs={"last_hidden_state": ["a", "b", "c"]})
    tiny.write_tokenizer(tmp_path)
    report = report_of(tmp_path, tiny.embedder_entry(tmp_path, pooling=["cls"]))
    assert (report.passed, failed(report)) == (False, ["paraphrase_beats_unrelated"])


def test_an_embedder_that_does_not_mask_its_padding_fails(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Gather", ["words", "input_ids"], ["word"]),
        helper.make_node("ReduceMean", ["word"], ["vector"], axes=[1], keepdims=0),
    ]
    tiny.write_graph(tmp_path / "onnx" / "model.onnx", nodes=nodes, outputs={"vector": ["a", "b"]})
    tiny.write_tokenizer(tmp_path)
    report = report_of(tmp_path, tiny.embedder_entry(tmp_path, output="vector", pooling=[]))
    assert failed(report) == ["batch_equals_singles"]


def test_a_reranker_that_prefers_what_is_unrelated_fails(tmp_path: Path) -> None:
    nodes = [*tiny.reranker_nodes("agreement"), helper.make_node("Neg", ["agreement"], ["logits"])]
    tiny.write_graph(tmp_path / "onnx" / "model.onnx", nodes=nodes, outputs={"logits": ["a", 1]})
    tiny.write_tokenizer(tmp_path)
    report = report_of(tmp_path, tiny.reranker_entry(tmp_path))
    assert (report.passed, failed(report)) == (False, ["relevant_beats_unrelated"])


def test_a_model_that_does_not_load_is_a_failed_check(folders: Folders, tmp_path: Path) -> None:
    report = report_of(tmp_path, tiny.embedder_entry(folders.embedder, output="pooler_output"))
    graph = folders.embedder / "onnx" / "model.onnx"
    detail = f"`{graph}`: it has no output `pooler_output`, only `last_hidden_state`, `sentence_embedding`"
    assert (report.passed, report.checks) == (False, (Check(name="load", passed=False, detail=detail),))


def test_the_files_are_checked_where_that_is_asked(folders: Folders, tmp_path: Path) -> None:
    (model,) = read_bundle(tiny.write_bundle(tmp_path / "bundle.json", tiny.embedder_entry(folders.embedder))).models
    report = check_model(model, threads=1, with_files=True)
    assert (report.passed, outcomes(report)[0]) == (True, ("files", True))


def test_a_file_that_is_not_the_locked_one_fails_with_both_digests(folders: Folders, tmp_path: Path) -> None:
    entry = tiny.embedder_entry(folders.embedder)
    actual = entry["files"]["tokenizer.json"]["sha256"]
    entry["files"]["tokenizer.json"]["sha256"] = "0" * 64
    (model,) = read_bundle(tiny.write_bundle(tmp_path / "bundle.json", entry)).models
    lost = BakedFile(size_bytes=1, sha256="1" * 64)  # since the bundle was read, which looks for every file
    model = msgspec.structs.replace(model, files={**model.files, "lost.json": lost})
    report = check_model(model, threads=1, with_files=True)
    assert failed(report) == ["files"]
    assert report.checks[0].detail == (
        "`lost.json` can't be read: No such file or directory; "
        f"`tokenizer.json` has sha256 {actual}, and {'0' * 64} was locked"
    )


def test_the_nearness_to_golden_answers_is_a_figure_of_each_model(bundle: Bundle) -> None:
    reports = [
        check_model(model, threads=1, answers=golden.ask(inference.load(model, threads=1))) for model in bundle.models
    ]
    figures = {name: round(value, 6) for report in reports for name, value in report.figures.items()}
    assert figures == {"golden_cosine": 1.0, "golden_difference": 0.0}


def test_speed_is_measured_where_it_is_asked_for(bundle: Bundle) -> None:
    report = check_model(bundle.models[0], threads=1, max_batch_tokens=512)
    assert [check.name for check in report.checks][-1] == "speed"
    assert report.figures["tokens_per_second"] > 0
