import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from runtime import golden
from runtime.bundle import Bundle, read_bundle
from runtime.embedder import Embedder
from runtime.errors import BundleError, ModelError
from runtime.inference import load
from runtime.reranker import Reranker
from runtime.selftest import check_model
from tests.runtime import tiny
from tests.runtime.conftest import Folders
from tests.runtime.server import free_port, run_command, running_server

TOLERANCE = 1e-5


def baked(bundle: Bundle) -> dict[str, Any]:
    """Return what the file of golden answers says of this bundle."""
    found: dict[str, Any] = json.loads(golden.document(bundle.models, threads=1))
    return found


def write_baked(folder: Path, content: object) -> Path:
    file = folder / "golden.json"
    file.write_text(json.dumps(content))
    return file


def change_weights(graph: Path, *, by: float) -> None:
    """Change the words' vectors as a damaged disk would, but so that the graph still loads."""
    model = onnx.load(graph)
    words = next(tensor for tensor in model.graph.initializer if tensor.name == "words")
    noise = np.random.default_rng(7).normal(size=tiny.WORD_EMBEDDINGS.shape).astype(np.float32)
    words.CopyFrom(numpy_helper.from_array(tiny.WORD_EMBEDDINGS + by * noise, "words"))
    graph.write_bytes(model.SerializeToString())


def test_the_answers_are_those_of_an_independent_computation(bundle: Bundle) -> None:
    models = baked(bundle)["models"]
    embeddings = [tiny.embedding(text) for text in golden.TEXTS]
    # the tiny reranker reads 24 tokens, and the longer texts are cut
    logits = [[tiny.logit(golden.QUERY, text)] for text in golden.TEXTS[:2]]
    np.testing.assert_allclose(models["tiny"]["rows"][:2], embeddings[:2], atol=TOLERANCE)
    np.testing.assert_allclose(models["ranker"]["rows"][:2], logits, atol=TOLERANCE)


def test_the_same_answers_are_the_same_file(bundle: Bundle) -> None:
    assert golden.document(bundle.models, threads=1) == golden.document(bundle.models, threads=1)


def test_a_model_that_answers_as_it_did_is_told_so(embedder: Embedder, reranker: Reranker) -> None:
    said = [golden.compare(model, golden.ask(model)).detail for model in (embedder, reranker)]
    assert said == ["least cosine 1.000000 over 6 texts", "widest difference of logits 0.000000 over 6 pairs"]


@pytest.mark.parametrize(
    ("write", "entry", "message"),
    [
        (tiny.write_embedder, tiny.embedder_entry, "model `tiny` does not give its golden answer: text "),
        (tiny.write_reranker, tiny.reranker_entry, "model `ranker` does not give its golden answer: pair "),
    ],
)
def test_a_model_whose_weights_changed_is_refused(tmp_path: Path, write: Any, entry: Any, message: str) -> None:
    write(tmp_path / "model")
    (model,) = read_bundle(tiny.write_bundle(tmp_path / "bundle.json", entry(tmp_path / "model"))).models
    answers = golden.ask(load(model, threads=1))
    change_weights(model.graph_file, by=0.5)
    with pytest.raises(ModelError) as caught:
        golden.compare(load(model, threads=1), answers)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("changes", [{}, {"windows": {"query_length": 8, "overlap": 2}, "max_length": 16}])
def test_a_reranker_says_one_row_a_text_also_where_it_reads_windows(
    folders: Folders, tmp_path: Path, changes: dict[str, Any]
) -> None:
    entry = tiny.reranker_entry(folders.reranker, **changes)
    (model,) = read_bundle(tiny.write_bundle(tmp_path / "bundle.json", entry)).models
    assert np.array(golden.ask(load(model, threads=1)).rows).shape == (len(golden.TEXTS), 1)


def test_a_classifier_says_a_row_of_labels(folders: Folders, tmp_path: Path) -> None:
    entry = tiny.classifier_entry(folders.classifier)
    (model,) = read_bundle(tiny.write_bundle(tmp_path / "bundle.json", entry)).models
    loaded = load(model, threads=1)
    answers = golden.ask(loaded)
    expected = [tiny.class_logits(text) for text in golden.TEXTS[:2]]
    np.testing.assert_allclose(answers.rows[:2], expected, atol=TOLERANCE)
    assert golden.compare(loaded, answers).detail.startswith("widest difference of logits 0.00000")


def test_a_difference_as_between_processors_is_none(tmp_path: Path) -> None:
    tiny.write_embedder(tmp_path / "model")
    entry = tiny.embedder_entry(tmp_path / "model")
    (model,) = read_bundle(tiny.write_bundle(tmp_path / "bundle.json", entry)).models
    answers = golden.ask(load(model, threads=1))
    change_weights(model.graph_file, by=1e-4)
    assert golden.compare(load(model, threads=1), answers).detail == "least cosine 1.000000 over 6 texts"


def test_answers_of_another_revision_are_not_compared(embedder: Embedder) -> None:
    other = golden.Answers(revision="f" * 40, graph="onnx/model.onnx", rows=golden.ask(embedder).rows)
    with pytest.raises(ModelError) as caught:
        golden.compare(embedder, other)
    assert str(caught.value) == (
        f"model `tiny`: its golden answers are of `onnx/model.onnx` at `{'f' * 40}`, another model"
    )


def test_answers_of_another_width_are_not_compared(embedder: Embedder) -> None:
    asked = golden.ask(embedder)
    narrow = golden.Answers(revision=asked.revision, graph=asked.graph, rows=[row[:8] for row in asked.rows])
    with pytest.raises(ModelError) as caught:
        golden.compare(embedder, narrow)
    assert str(caught.value) == "model `tiny`: its answers are `[6, 32]`, and its golden answers are `[6, 8]`"


def test_without_a_file_there_is_nothing_to_compare(tmp_path: Path) -> None:
    assert golden.read(tmp_path / "golden.json") == {}


@pytest.mark.parametrize("content", [{}, {"version": 2, "models": {}}, {"version": 1, "models": {"m": {"rows": []}}}])
def test_a_file_of_another_shape_is_refused(tmp_path: Path, content: object) -> None:
    with pytest.raises(BundleError):
        golden.read(write_baked(tmp_path, content))


def test_a_selftest_holds_a_model_to_its_answers(bundle: Bundle, embedder: Embedder) -> None:
    report = check_model(bundle.models[0], threads=1, answers=golden.ask(embedder))
    found = {check.name: (check.passed, check.detail) for check in report.checks}
    assert found["golden"] == (True, "least cosine 1.000000 over 6 texts")


def test_a_server_holds_its_models_to_their_answers_before_it_is_ready(folders: Folders, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.json"
    bundle.write_bytes(folders.bundle.read_bytes())
    write_baked(tmp_path, baked(read_bundle(bundle)))
    with running_server(bundle) as server:
        server.terminate()
    messages = [json.loads(line)["message"] for line in server.log]
    assert "tiny gives its golden answers: least cosine 1.000000 over 6 texts" in messages


def test_a_server_whose_model_answers_otherwise_ends(folders: Folders, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.json"
    bundle.write_bytes(folders.bundle.read_bytes())
    content = baked(read_bundle(bundle))
    rows = content["models"]["tiny"]["rows"]
    rows[0] = [0.0] * tiny.HIDDEN
    write_baked(tmp_path, content)
    ended = run_command(bundle=str(bundle), hostname="127.0.0.1", http_port=str(free_port()), log_level="critical")
    assert (ended.returncode, ended.stderr) == (
        1,
        "error: model `tiny` does not give its golden answer: text 0 has cosine 0.500000 to it, less than 0.999; "
        "its files were damaged, or this processor or ONNX Runtime computes differently\n",
    )


def test_the_command_prints_the_file(folders: Folders, bundle: Bundle) -> None:
    printed = run_command("golden", bundle=str(folders.bundle), intra_op_threads="1")
    assert (printed.returncode, json.loads(printed.stdout), printed.stderr) == (0, baked(bundle), "")


def test_a_text_whose_vector_is_zero_still_has_it(folders: Folders, tmp_path: Path) -> None:
    bundle = read_bundle(tiny.write_bundle(tmp_path / "bundle.json", tiny.embedder_entry(folders.embedder)))
    tiny.write_graph(
        tmp_path / "onnx/model.onnx",
        nodes=[
            onnx.helper.make_node("Gather", ["words", "input_ids"], ["word"]),
            onnx.helper.make_node("Sub", ["word", "word"], ["last_hidden_state"]),
        ],
        outputs={"last_hidden_state": ["batch", "sequence", tiny.HIDDEN]},
        inputs=("input_ids", "attention_mask", "token_type_ids"),
    )
    (model,) = bundle.models
    zeros = load(msgspec.structs.replace(model, graph=str(tmp_path / "onnx/model.onnx")), threads=1)
    assert golden.compare(zeros, golden.ask(zeros)).detail == "least cosine 1.000000 over 6 texts"
