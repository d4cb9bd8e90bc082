"""Own the models whose optimisation is measured, and the batches that they are fed: no graph is derived here."""

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from tokenizers import Tokenizer

from benchmarks.workload import read_workload
from examples.bert_graph import BertConfig, embedding_model
from runtime.batch import pack
from tests.support.checkout import ROOT

MINILM = ROOT / "examples/models/all-MiniLM-L6-v2"
GRAPH = "onnx/model.onnx"
MAX_LENGTH = 256
BATCH_TOKENS = 512  # of a run, padding included: the default of the server
SEED = 20261129
# as XLM-RoBERTa's base model has them
WORDS, HIDDEN, INNER, LAYERS, HEADS, POSITIONS = 250_002, 768, 3072, 12, 12, 514

Batch = tuple[NDArray[np.int64], NDArray[np.int64]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """A model, how its graph is read, and what it is fed."""

    name: str
    folder: Path
    task: str
    output: str
    pooling: tuple[str, ...]
    normalize: bool
    batches: tuple[Batch, ...]

    @property
    def tokens(self) -> int:
        """Count what is attended to."""
        return sum(int(mask.sum()) for _, mask in self.batches)

    def request(self, **wishes: Any) -> dict[str, Any]:
        """Ask for the derivation of its graph."""
        names = ("input_ids", "attention_mask", "token_type_ids")
        return {
            "graph": GRAPH,
            "task": self.task,
            "inputs": {name: {"feed": name, "dtype": "int64", "shape": ["batch", "sequence"]} for name in names},
            "output": self.output,
            "pooling": self.pooling,
            "include_prompt": True,
            "layers": [],
            "normalize": self.normalize,
            "answer_tokens": [],
            "padding_side": "right",
            "optimize": {"graph": False, "fuse_pooling": False, "quantize": "none", "insist": True, **wishes},
        }


def minilm(*, passages: int) -> Subject:
    """Embed passages of Python's documentation by all-MiniLM-L6-v2."""
    tokenizer = Tokenizer.from_file(str(MINILM / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_LENGTH)
    texts = read_workload(passages=passages, queries=1).passages
    ids = [encoding.ids for encoding in tokenizer.encode_batch(list(texts))]
    return Subject(
        name="all-MiniLM-L6-v2, an embedding model",
        folder=MINILM,
        task="embedding",
        output="last_hidden_state",
        pooling=("mean",),
        normalize=True,
        batches=tuple(_batches(ids, padding=0)),
    )


def reranker(folder: Path, *, lengths: Sequence[int]) -> Subject:
    """Score pairs of random tokens by a reranker with the shape of XLM-RoBERTa's base model and random weights."""
    chance = random.Random(SEED)  # noqa: S311 - to be the same every time
    ids = [[chance.randrange(4, WORDS) for _ in range(length)] for length in lengths]
    if not (folder / GRAPH).is_file():
        _write_reranker(folder / GRAPH)
    return Subject(
        name="a reranker of XLM-RoBERTa's base size, with random weights",
        folder=folder,
        task="reranker",
        output="logits",
        pooling=(),
        normalize=False,
        batches=tuple(_batches(ids, padding=1)),
    )


def lengths_of(subject: Subject) -> list[int]:
    """List how many tokens each text has."""
    return [int(length) for _, mask in subject.batches for length in mask.sum(axis=1)]


def save_batches(subject: Subject, file: Path) -> None:
    """Write what the processes are fed."""
    arrays: dict[str, Any] = {}
    for number, (ids, mask) in enumerate(subject.batches):
        arrays |= {f"ids_{number}": ids, f"mask_{number}": mask}
    np.savez(file, **arrays)


def write_request(request: dict[str, Any], file: Path) -> None:
    """Write what a program is asked."""
    file.write_text(json.dumps(request))


def _batches(texts: Sequence[Sequence[int]], *, padding: int) -> Iterator[Batch]:
    """Pack texts as the server does."""
    for positions in pack([len(text) for text in texts], max_batch_tokens=BATCH_TOKENS):
        rows = [texts[position] for position in positions]
        longest = max(map(len, rows))
        mask = np.array([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
        yield np.array([[*row, *[padding] * (longest - len(row))] for row in rows]), mask


def _write_reranker(file: Path) -> None:
    """Write an encoder with a head as RoBERTa's classifiers have it: dense, tanh, one logit of the first token."""
    chance = np.random.default_rng(SEED)
    config = BertConfig(num_hidden_layers=LAYERS, num_attention_heads=HEADS, layer_norm_eps=1e-5)
    model = embedding_model(_weights(chance), config=config)
    constants = {
        "first": np.array(0),
        "dense": _normal(chance, HIDDEN, HIDDEN),
        "label": _normal(chance, HIDDEN, 1),
    }
    model.graph.initializer.extend(numpy_helper.from_array(values, name) for name, values in constants.items())
    model.graph.node.extend(
        helper.make_node(operator, inputs, [output], name=output)
        for operator, inputs, output in (
            ("Gather", ["last_hidden_state", "first"], "start"),
            ("MatMul", ["start", "dense"], "inner"),
            ("Tanh", ["inner"], "active"),
            ("MatMul", ["active", "label"], "logits"),
        )
    )
    next(node for node in model.graph.node if node.name == "start").attribute.append(helper.make_attribute("axis", 1))
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["batch", 1]))
    file.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, file)


def _weights(chance: np.random.Generator) -> dict[str, NDArray[np.float32]]:
    tables = {"word": WORDS, "position": POSITIONS, "token_type": 1}
    weights = {f"embeddings.{name}_embeddings.weight": _normal(chance, rows, HIDDEN) for name, rows in tables.items()}
    weights |= _norm("embeddings.LayerNorm")
    for number in range(LAYERS):
        prefix = f"encoder.layer.{number}"
        for part in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"):
            weights |= _linear(chance, f"{prefix}.{part}", HIDDEN, HIDDEN)
        weights |= _linear(chance, f"{prefix}.intermediate.dense", INNER, HIDDEN)
        weights |= _linear(chance, f"{prefix}.output.dense", HIDDEN, INNER)
        weights |= _norm(f"{prefix}.attention.output.LayerNorm") | _norm(f"{prefix}.output.LayerNorm")
    return weights


def _normal(chance: np.random.Generator, *shape: int) -> NDArray[np.float32]:
    return chance.standard_normal(shape, dtype=np.float32) * np.float32(0.02)


def _linear(chance: np.random.Generator, name: str, outputs: int, inputs: int) -> dict[str, NDArray[np.float32]]:
    return {f"{name}.weight": _normal(chance, outputs, inputs), f"{name}.bias": _normal(chance, outputs)}


def _norm(name: str) -> dict[str, NDArray[np.float32]]:
    return {f"{name}.weight": np.ones(HIDDEN, np.float32), f"{name}.bias": np.zeros(HIDDEN, np.float32)}
