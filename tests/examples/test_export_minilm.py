"""Own the proof that the quickstart's models score as the original does, and that an export is whole or absent."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from tokenizers import Tokenizer

from examples import export_minilm

SCRIPT = Path(export_minilm.__file__)

ANSWERS = (
    ("How do I reset my password?", "To change your password, open Settings and choose Security."),
    ("How do I reset my password?", "Forgotten passwords can be recovered by e-mail."),
    ("What is the capital of France?", "Paris is the capital and most populous city of France."),
    ("how tall is mount everest", "Mount Everest is 8,849 metres high."),
    ("how does photosynthesis work", "Plants turn sunlight, water and carbon dioxide into sugar and oxygen."),
    ("docker image size", "Use multi-stage builds to keep the final image small."),
    ("cat", "A feline rests near a sunny window."),
    ("when was the eiffel tower built", "The Eiffel Tower was completed in 1889."),
    ("why does bread rise", "Yeast produces carbon dioxide, which makes dough expand."),
    ("symptoms of the flu", "Influenza often starts with fever, cough and aching muscles."),
    ("how to boil an egg", "Put the egg in simmering water for eight minutes, then cool it."),
    ("who wrote hamlet", "William Shakespeare wrote the tragedy around 1600."),
)
UNRELATED = (
    ("How do I reset my password?", "The cat sits on the warm windowsill."),
    ("How do I reset my password?", "Interest rates rose by a quarter point on Tuesday."),
    ("What is the capital of France?", "Bananas are rich in potassium."),
    ("how tall is mount everest", "Yeast produces carbon dioxide, which makes dough expand."),
    ("how does photosynthesis work", "The stock market closed lower on Friday."),
    ("docker image size", "The painter mixed blue and yellow."),
    ("cat", "def add(a, b): return a + b"),
    ("when was the eiffel tower built", "Put the egg in simmering water for eight minutes, then cool it."),
    ("why does bread rise", "Mount Everest is 8,849 metres high."),
    ("symptoms of the flu", "Use multi-stage builds to keep the final image small."),
    ("how to boil an egg", "Interest rates rose by a quarter point on Tuesday."),
    ("who wrote hamlet", "Influenza often starts with fever, cough and aching muscles."),
)
ON_TOPIC = (
    ("What is the capital of France?", "Berlin is the capital of Germany."),
    ("What is the capital of France?", "The Eiffel Tower was completed in 1889."),
    ("how tall is mount everest", "K2 is the second-highest mountain on Earth."),
    ("docker image size", "A container registry stores image layers."),
    ("why does bread rise", "Bread is a staple food in many countries."),
    ("who wrote hamlet", "Hamlet is a small village without a church."),
)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("export") / "models"
    subprocess.run([sys.executable, SCRIPT, "--output", output], check=True)
    return output


def rerank(folder: Path, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
    """Score the pairs in one batch, as a server would: sigmoid(logits)."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_padding()
    encodings = tokenizer.encode_batch(list(pairs))
    feeds = {
        "input_ids": np.array([encoding.ids for encoding in encodings]),
        "attention_mask": np.array([encoding.attention_mask for encoding in encodings]),
        "token_type_ids": np.array([encoding.type_ids for encoding in encodings]),
    }
    session = onnxruntime.InferenceSession(folder / "onnx" / "model.onnx", providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], feeds)
    return np.asarray(1 / (1 + np.exp(-logits)))


def finish_tiny(output: Path, *, content: bytes) -> None:
    work = output / ".work"
    for name in (export_minilm.EMBEDDING, export_minilm.RERANKER):
        export_minilm.write_folder(work / name, {"onnx/model.onnx": content})
    export_minilm.publish(work, output, recipe="recipe")


def test_every_embedding_is_the_one_that_sentence_transformers_computes(models: Path) -> None:
    assert export_minilm.check_golden(models / export_minilm.EMBEDDING) > 1 - 1e-9


def test_answers_score_high_and_unrelated_texts_low(models: Path) -> None:
    scores = [rerank(models / export_minilm.RERANKER, pairs) for pairs in (ANSWERS, ON_TOPIC, UNRELATED)]
    spans = [(round(float(row.min()), 2), round(float(row.max()), 2)) for row in scores]
    assert spans == [(0.75, 1.0), (0.31, 0.95), (0.01, 0.26)]


def test_the_folders_hold_what_a_hub_repository_would(models: Path) -> None:
    files = {str(path.relative_to(models)) for path in models.rglob("*") if path.is_file()}
    shared = ("README.md", "config.json", "onnx/model.onnx", *export_minilm.TOKENIZER_FILES)
    assert files == {
        export_minilm.STAMP,
        *(f"all-MiniLM-L6-v2-reranker/{name}" for name in shared),
        *(f"all-MiniLM-L6-v2/{name}" for name in (*shared, *export_minilm.EMBEDDING_FILES)),
    }


def test_the_reranker_declares_one_label_and_a_sigmoid(models: Path) -> None:
    embedding = json.loads((models / export_minilm.EMBEDDING / "config.json").read_text())
    reranker = json.loads((models / export_minilm.RERANKER / "config.json").read_text())
    assert reranker == embedding | {
        "architectures": ["BertForSequenceClassification"],
        "num_labels": 1,
        "id2label": {"0": "LABEL_0"},
        "label2id": {"LABEL_0": 0},
        "sentence_transformers": {"activation_fn": "torch.nn.modules.activation.Sigmoid"},
    }


def test_a_second_run_has_nothing_to_do(models: Path) -> None:
    def changed_at() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in models.rglob("*")}

    before = changed_at()
    result = subprocess.run([sys.executable, SCRIPT, "--output", models], check=True, stderr=subprocess.PIPE, text=True)
    assert (result.stderr[10:], changed_at()) == (f"{models} is complete: nothing to do\n", before)


def test_a_finished_export_is_current_for_its_own_recipe_only(tmp_path: Path) -> None:
    finish_tiny(tmp_path, content=b"graph")
    current = [export_minilm.is_current(tmp_path, recipe=recipe) for recipe in ("recipe", "another recipe")]
    assert current == [True, False]


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"cut")])
def test_a_damaged_export_is_not_current(tmp_path: Path, damage: Any) -> None:
    finish_tiny(tmp_path, content=b"graph")
    damage(tmp_path / export_minilm.RERANKER / "onnx" / "model.onnx")
    assert not export_minilm.is_current(tmp_path, recipe="recipe")


def test_a_new_export_replaces_the_old_folders(tmp_path: Path) -> None:
    finish_tiny(tmp_path, content=b"old")
    (tmp_path / export_minilm.EMBEDDING / "left-over").touch()
    finish_tiny(tmp_path, content=b"new")
    folder = tmp_path / export_minilm.EMBEDDING
    assert {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.*")} == {
        "onnx/model.onnx": b"new"
    }


def test_an_export_below_the_bar_is_an_error_with_a_hint_and_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(export_minilm, "MINIMUM_COSINE", 1.1)
    exit_code = export_minilm.main(["--output", str(tmp_path)])
    assert (exit_code, capsys.readouterr().err.splitlines()[-2:], list(tmp_path.iterdir())) == (
        1,
        [
            "error: an embedding has cosine 1.000000 with its reference, 1.1 is wanted",
            f"hint: onnxruntime {onnxruntime.__version__} computes something else: install the locked versions",
        ],
        [],
    )


def test_an_interrupted_run_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(60)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{silent.getsockname()[1]}/simple")
        command = [sys.executable, str(SCRIPT), "--output", str(tmp_path)]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            connection, _ = silent.accept()
            with connection:
                process.send_signal(signal.SIGTERM)
                assert process.wait() == 143
    assert list(tmp_path.iterdir()) == []
