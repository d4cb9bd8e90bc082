"""Write tiny models with random weights, and compute what they should answer, independently and in float64."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from runtime import selftest

HIDDEN = 32
LABELS = ("contradiction", "entailment", "neutral")
WORDS = sorted(
    {
        word.strip(".?").lower()
        for sentence in (selftest.TEXT, selftest.PARAPHRASE, selftest.UNRELATED, selftest.QUERY, "search query")
        for word in sentence.split()
    }
)
VOCABULARY = {word: number for number, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", ".", "?", ":", *WORDS])}
PAD, UNK, CLS, SEP = range(4)

_random = np.random.default_rng(20261123)
WORD_EMBEDDINGS = _random.normal(size=(len(VOCABULARY), HIDDEN)).astype(np.float32)
SEGMENT_EMBEDDINGS = (_random.normal(size=(2, HIDDEN)) / 4).astype(np.float32)

_UNSCORED: dict[str, Any] = {"answer_tokens": [], "template": None, "windows": None}
_USUAL: dict[str, Any] = {
    "padding_side": "right",
    "first_position": 0,
    "quantizes_dynamically": False,
    "batching": True,
    "footprint": None,
}

Arrays = NDArray[np.float64]
Nodes = list[onnx.NodeProto]


def write_tokenizer(folder: Path) -> Path:
    """Write a BERT-like `tokenizer.json` that asks, as many do, for a fixed length and a truncation of its own."""
    tokenizer = Tokenizer(models.WordLevel(VOCABULARY, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", CLS), ("[SEP]", SEP)],
    )
    tokenizer.enable_padding(length=128)
    tokenizer.enable_truncation(5)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "tokenizer.json"
    tokenizer.save(str(file))
    return file


def ids_of(text: str) -> list[int]:
    """Tokenize as the tiny tokenizer does, special tokens apart."""
    spaced = "".join(f" {letter} " if letter in ".?:" else letter for letter in text.lower())
    return [VOCABULARY.get(word, UNK) for word in spaced.split()]


def states(ids: Sequence[int]) -> Arrays:
    """Compute the tiny embedder's states of one text alone: [sequence, hidden]."""
    inputs = WORD_EMBEDDINGS.astype(np.float64)[list(ids)] + SEGMENT_EMBEDDINGS.astype(np.float64)[0]
    mixed: Arrays = np.tanh(inputs + inputs.mean(axis=0) / 2)
    return mixed


def embedding(text: str, *, dimensions: int = HIDDEN) -> Arrays:
    """Compute the mean-pooled, cut, normalised embedding of one text."""
    vector = states([CLS, *ids_of(text), SEP]).mean(axis=0)[:dimensions]
    unit: Arrays = vector / np.sqrt((vector**2).sum())
    return unit


def logit(query: str, document: str) -> float:
    """Compute the tiny reranker's logit of one pair alone."""
    words = WORD_EMBEDDINGS.astype(np.float64)
    left = words[[CLS, *ids_of(query), SEP]].mean(axis=0)
    right = words[[*ids_of(document), SEP]].mean(axis=0)
    return float(left @ right)


def write_embedder(folder: Path, *, integers: int = TensorProto.INT64) -> None:
    """Write an embedder whose states depend on every attended token and on segments, and its tokenizer."""
    nodes = [
        helper.make_node("Gather", ["words", "input_ids"], ["word"]),
        helper.make_node("Gather", ["segments", "token_type_ids"], ["segment"]),
        helper.make_node("Add", ["word", "segment"], ["inputs"]),
        helper.make_node("Cast", ["attention_mask"], ["weights"], to=TensorProto.FLOAT),
        *_weighted_mean("inputs", weights="weights", output="context", keep_axis=True),
        helper.make_node("Mul", ["context", "half"], ["half_context"]),
        helper.make_node("Add", ["inputs", "half_context"], ["mixed"]),
        helper.make_node("Tanh", ["mixed"], ["last_hidden_state"]),
        *_weighted_mean("last_hidden_state", weights="weights", output="sentence_embedding", keep_axis=False),
    ]
    outputs: dict[str, list[str | int]] = {
        "last_hidden_state": ["batch", "sequence", HIDDEN],
        "sentence_embedding": ["batch", HIDDEN],
    }
    write_graph(folder / "onnx" / "model.onnx", nodes=nodes, outputs=outputs, integers=integers)
    write_tokenizer(folder)


def write_decoder(folder: Path) -> None:
    """Write an embedder that reads positions and an empty cache of 2 heads, as decoders do, and its tokenizer.

    A state is its word, weighted by its position: `word * (position + 1)`.
    """
    past = [helper.make_tensor_value_info("past_key_values.0.key", TensorProto.FLOAT16, ["batch", 2, "past", 4])]
    nodes = [
        helper.make_node("Gather", ["words", "input_ids"], ["word"]),
        helper.make_node("Unsqueeze", ["position_ids", "axis_2"], ["position_column"]),
        helper.make_node("Cast", ["position_column"], ["position"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["past_key_values.0.key"], ["past"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["past"], ["nothing"], keepdims=0),
        helper.make_node("Mul", ["word", "position"], ["products"]),
        helper.make_node("Add", ["word", "products"], ["weighted"]),
        helper.make_node("Add", ["weighted", "nothing"], ["last_hidden_state"]),
    ]
    write_graph(
        folder / "onnx" / "model.onnx",
        nodes=nodes,
        outputs={"last_hidden_state": ["batch", "sequence", HIDDEN]},
        inputs=("input_ids", "attention_mask", "position_ids"),
        more_inputs=past,
    )
    write_tokenizer(folder)


def decoder_states(ids: Sequence[int]) -> Arrays:
    """Compute the tiny decoder's states of one text alone: [sequence, hidden]."""
    weighted: Arrays = WORD_EMBEDDINGS.astype(np.float64)[list(ids)] * np.arange(1, len(ids) + 1)[:, None]
    return weighted


def write_reranker(folder: Path) -> None:
    """Write a reranker that multiplies the mean word of each segment, and its tokenizer."""
    nodes = reranker_nodes("logits")
    write_graph(folder / "onnx" / "model.onnx", nodes=nodes, outputs={"logits": ["batch", 1]})
    write_tokenizer(folder)


def write_classifier(folder: Path) -> None:
    """Write a classifier of three labels, and its tokenizer: a logit is the mean word at the label's number."""
    nodes = [
        helper.make_node("Gather", ["words", "input_ids"], ["word"]),
        helper.make_node("Cast", ["attention_mask"], ["weights"], to=TensorProto.FLOAT),
        *_weighted_mean("word", weights="weights", output="mean", keep_axis=False),
        helper.make_node("Constant", [], ["labels"], value_ints=range(len(LABELS))),
        helper.make_node("Gather", ["mean", "labels"], ["logits"], axis=1),
    ]
    outputs: dict[str, list[str | int]] = {"logits": ["batch", len(LABELS)]}
    write_graph(folder / "onnx" / "model.onnx", nodes=nodes, outputs=outputs)
    write_tokenizer(folder)


def class_logits(*texts: str) -> Arrays:
    """Compute the tiny classifier's logits of one text or pair alone."""
    ids = [CLS, *(token for text in texts for token in (*ids_of(text), SEP))]
    logits: Arrays = WORD_EMBEDDINGS.astype(np.float64)[ids].mean(axis=0)[: len(LABELS)]
    return logits


def reranker_nodes(output: str) -> Nodes:
    """Compute [batch, 1], higher for texts that share words."""
    return [
        helper.make_node("Gather", ["words", "input_ids"], ["word"]),
        helper.make_node("Cast", ["attention_mask"], ["attended"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["token_type_ids"], ["second"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["attended", "second"], ["right_weights"]),
        helper.make_node("Sub", ["attended", "right_weights"], ["left_weights"]),
        *_weighted_mean("word", weights="left_weights", output="left", keep_axis=False),
        *_weighted_mean("word", weights="right_weights", output="right", keep_axis=False),
        helper.make_node("Mul", ["left", "right"], ["products"]),
        helper.make_node("ReduceSum", ["products", "axis_1"], [output], keepdims=1),
    ]


def write_graph(
    file: Path,
    *,
    nodes: Nodes,
    outputs: Mapping[str, list[str | int]],
    inputs: Sequence[str] = ("input_ids", "attention_mask", "token_type_ids"),
    integers: int = TensorProto.INT64,
    more_inputs: Sequence[onnx.ValueInfoProto] = (),
) -> None:
    """Write a graph over the shared weights."""
    constants: dict[str, NDArray[Any]] = {
        "words": WORD_EMBEDDINGS,
        "segments": SEGMENT_EMBEDDINGS,
        "half": np.array(0.5, dtype=np.float32),
        "axis_1": np.array([1], dtype=np.int64),
        "axis_2": np.array([2], dtype=np.int64),
    }
    graph = helper.make_graph(
        nodes,
        "tiny",
        [*(helper.make_tensor_value_info(name, integers, ["batch", "sequence"]) for name in inputs), *more_inputs],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(model.SerializeToString())


def without_output(file: Path, name: str) -> bytes:
    """Return a graph without one of its outputs."""
    model = onnx.load(file)
    model.graph.output.remove(next(output for output in model.graph.output if output.name == name))
    return bytes(model.SerializeToString())


def _weighted_mean(values: str, *, weights: str, output: str, keep_axis: bool) -> Nodes:
    """Average [batch, sequence, hidden] over the sequence."""
    return [
        helper.make_node("Unsqueeze", [weights, "axis_2"], [f"{output}_column"]),
        helper.make_node("Mul", [values, f"{output}_column"], [f"{output}_weighted"]),
        helper.make_node("ReduceSum", [f"{output}_weighted", "axis_1"], [f"{output}_sum"], keepdims=int(keep_axis)),
        helper.make_node("ReduceSum", [f"{output}_column", "axis_1"], [f"{output}_count"], keepdims=int(keep_axis)),
        helper.make_node("Div", [f"{output}_sum", f"{output}_count"], [output]),
    ]


def embedder_entry(folder: Path, **changes: object) -> dict[str, Any]:
    """Describe the tiny embedder as `bundle.json` does."""
    return {
        "name": "tiny",
        "task": "embedding",
        "source": "test/tiny-embedder",
        "revision": "0" * 40,
        "path": str(folder),
        "graph": "onnx/model.onnx",
        "inputs": token_inputs("input_ids", "attention_mask", "token_type_ids"),
        "output": "last_hidden_state",
        "pooling": ["mean"],
        "include_prompt": True,
        "layers": [],
        "normalize": True,
        "dimensions": [HIDDEN, 16],
        "adapters": {},
        "labels": [],
        "activation": None,
        **_UNSCORED,
        "prompts": {"query": "search query: "},
        "default_prompt": None,
        "max_length": 24,
        "pad_token_id": PAD,
        **_USUAL,
        "files": baked_files(folder),
        **changes,
    }


def reranker_entry(folder: Path, **changes: object) -> dict[str, Any]:
    """Describe the tiny reranker as `bundle.json` does."""
    return {
        "name": "ranker",
        "task": "reranker",
        "source": "test/tiny-reranker",
        "revision": "1" * 40,
        "path": str(folder),
        "graph": "onnx/model.onnx",
        "inputs": token_inputs("input_ids", "attention_mask", "token_type_ids"),
        "output": "logits",
        "pooling": [],
        "include_prompt": True,
        "layers": [],
        "normalize": False,
        "dimensions": [],
        "adapters": {},
        "labels": ["LABEL_0"],
        "activation": "sigmoid",
        **_UNSCORED,
        "prompts": {},
        "default_prompt": None,
        "max_length": 32,
        "pad_token_id": PAD,
        **_USUAL,
        "files": baked_files(folder),
        **changes,
    }


def classifier_entry(folder: Path, **changes: object) -> dict[str, Any]:
    """Describe the tiny classifier as `bundle.json` does."""
    named = {"name": "sorter", "source": "test/tiny-classifier", "revision": "2" * 40}
    decided = {"task": "classifier", "labels": list(LABELS), "activation": "softmax"}
    return reranker_entry(folder, **{**named, **decided, **changes})


def token_inputs(*names: str, dtype: str = "int64") -> dict[str, dict[str, Any]]:
    """Describe inputs that are fed with what they are called."""
    return {name: {"feed": name, "dtype": dtype, "shape": ["batch", "sequence"]} for name in names}


def baked_files(folder: Path) -> dict[str, dict[str, Any]]:
    """Describe the files of a folder as the builder locks them."""
    contents = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {
        path: {"size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for path, content in contents.items()
        if not path.endswith("bundle.json")
    }


def write_bundle(file: Path, *entries: dict[str, Any], version: int = 2) -> Path:
    """Write `bundle.json`."""
    file.write_text(json.dumps({"version": version, "models": entries}), encoding="utf-8")
    return file
