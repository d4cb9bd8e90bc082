"""Own how layouts of repositories, and the recipes that should follow from them, are written down; it has none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from onnx import TensorProto

from builder.inputs import Input
from builder.recipe import Recipe
from tests.support.memory_repository import graph

INT64, FLOAT, HALF = TensorProto.INT64, TensorProto.FLOAT, TensorProto.FLOAT16

Inputs = Mapping[str, int | tuple[int, Sequence[int | str]]]

IDS_AND_MASK: Inputs = {"input_ids": INT64, "attention_mask": INT64}
WITH_SEGMENTS: Inputs = {**IDS_AND_MASK, "token_type_ids": INT64}
WITH_POSITIONS: Inputs = {**IDS_AND_MASK, "position_ids": INT64}

TOKENIZER = "tokenizer.json"
NO_LIMIT = 1000000000000000019884624838656

SAVED = ("modules.json", "1_Pooling/config.json", "sentence_bert_config.json")
WITH_DATA = ("onnx/model.onnx", "onnx/model.onnx_data")


DYNAMIC = ("DynamicQuantizeLinear", "MatMulInteger")

_SWITCHES = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken")


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """One repository: files with content, files of which only the path matters, and what a manifest asks of it."""

    name: str
    files: Mapping[str, Any]
    others: Sequence[str] = ()
    keys: Mapping[str, Any] = field(default_factory=dict)

    @property
    def contents(self) -> dict[str, Any]:
        """Every file of the repository."""
        return {**dict.fromkeys((*self.others, "README.md", ".gitattributes", "pytorch_model.bin"), b""), **self.files}


def states(width: int, *, inputs: Inputs, **more: Sequence[str]) -> bytes:
    """Write a graph that gives one vector a token."""
    return graph({"last_hidden_state": ["batch", "sequence", width]}, inputs=inputs, **more)


def logits(*, inputs: Inputs, **more: Sequence[str]) -> bytes:
    """Write a graph that gives one score a pair."""
    return graph({"logits": ["batch", 1]}, inputs=inputs, **more)


def pipeline(*names: str, pooling: str, max_seq_length: int | None = None) -> dict[str, Any]:
    """Write what sentence-transformers up to 5.3 saves beside a model."""
    paths = ["", *(f"{number}_{name}" for number, name in enumerate(names[1:], start=1))]
    listed = [
        {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{name}"}
        for number, (name, path) in enumerate(zip(names, paths, strict=True))
    ]
    files: dict[str, Any] = {
        "modules.json": listed,
        "1_Pooling/config.json": {f"pooling_mode_{mode}": mode == pooling for mode in _SWITCHES},
    }
    if max_seq_length is not None:
        files["sentence_bert_config.json"] = {"max_seq_length": max_seq_length, "do_lower_case": False}
    return files


def configs(model_type: str, *, positions: int, pad: int, limit: int = NO_LIMIT, **more: Any) -> dict[str, Any]:
    """Write the configs that each repository has."""
    return {
        "config.json": {"model_type": model_type, "max_position_embeddings": positions, "pad_token_id": pad, **more},
        "tokenizer_config.json": {"model_max_length": limit},
        TOKENIZER: {"truncation": None, "padding": None},
    }


def cache(kind: int) -> dict[str, tuple[int, Sequence[int | str]]]:
    """List the inputs of a cache of 28 layers with 8 heads of 128."""
    shape: Sequence[int | str] = ("batch_size", 8, "past_sequence_length", 128)
    return {f"past_key_values.{layer}.{part}": (kind, shape) for layer in range(28) for part in ("key", "value")}


def fed(inputs: Inputs, *, cache_dtype: str = "") -> dict[str, Input]:
    """Say what should be decided of inputs."""
    empty = Input(feed="zeros", dtype=cache_dtype, shape=("batch", 8, 0, 128))
    tokens: dict[str, Input] = {
        "input_ids": Input(feed="input_ids", dtype="int64", shape=("batch", "sequence")),
        "attention_mask": Input(feed="attention_mask", dtype="int64", shape=("batch", "sequence")),
        "token_type_ids": Input(feed="token_type_ids", dtype="int64", shape=("batch", "sequence")),
        "position_ids": Input(feed="position_ids", dtype="int64", shape=("batch", "sequence")),
    }
    tokens["task_id"] = Input(feed="adapter", dtype="int64", shape=())
    return {name: tokens.get(name, empty) for name in inputs}


def embedding(*files: str, **changes: Any) -> Recipe:
    """Say what should be decided of an embedding model; unless changed, it is a BERT whose graph does not pool."""
    settled: dict[str, Any] = {
        "task": "embedding",
        "graph": "onnx/model.onnx",
        "inputs": fed(IDS_AND_MASK),
        "output": "last_hidden_state",
        "include_prompt": True,
        "layers": (),
        "normalize": True,
        "prompts": {},
        "default_prompt": None,
        "pad_token_id": 0,
        "padding_side": "right",
        "activation": None,
    }
    return Recipe(**{**settled, **changes}, files=_baked(files))


def reranker(*files: str, **changes: Any) -> Recipe:
    """Say what should be decided of a cross-encoder; unless changed, its scores are sigmoids."""
    settled: dict[str, Any] = {
        "task": "reranker",
        "graph": "onnx/model.onnx",
        "inputs": fed(IDS_AND_MASK),
        "output": "logits",
        "pooling": (),
        "include_prompt": True,
        "layers": (),
        "normalize": False,
        "dimensions": (),
        "prompts": {},
        "default_prompt": None,
        "padding_side": "right",
        "labels": ("LABEL_0",),
        "activation": "sigmoid",
    }
    return Recipe(**{**settled, **changes}, files=_baked(files))


def _baked(files: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted({*files, "README.md", "config.json", TOKENIZER, "tokenizer_config.json"}))
