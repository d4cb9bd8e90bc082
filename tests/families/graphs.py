"""Own tiny graphs with the inputs and outputs of each family, over random weights; what they answer is `numbers`'s."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from tests.families import numbers
from tests.runtime import tiny

node = helper.make_node
Value = onnx.ValueInfoProto
Nodes = list[onnx.NodeProto]

TOKENS: list[str | int] = ["batch", "sequence", tiny.HIDDEN]
POOLED: list[str | int] = ["batch", tiny.HIDDEN]
IDS_AND_MASK = ("input_ids", "attention_mask")
WITH_SEGMENTS = (*IDS_AND_MASK, "token_type_ids")

_CONSTANTS: Mapping[str, NDArray[Any]] = {
    "words": tiny.WORD_EMBEDDINGS,
    "segments": tiny.SEGMENT_EMBEDDINGS,
    "positions": numbers.POSITIONS,
    "adapters": numbers.ADAPTERS,
    "head": numbers.HEAD,
    "vocabulary_head": numbers.VOCABULARY_HEAD,
    "queries": numbers.QUERIES,
    "keys": numbers.KEYS,
    "values": numbers.VALUES,
    "half": np.array(0.5, dtype=np.float32),
    "eighth": np.array(0.125, dtype=np.float32),
    "one": np.array(1, dtype=np.int64),
    "first": np.array(0, dtype=np.int64),
    "axis_0": np.array([0], dtype=np.int64),
    "axis_1": np.array([1], dtype=np.int64),
    "axis_2": np.array([2], dtype=np.int64),
}


def tokenizer(folder: Path, *, pair: str = "[CLS] $A [SEP] $B:1 [SEP]:1", single: str = "[CLS] $A [SEP]") -> None:
    """Write a `tokenizer.json` whose pairs look like this."""
    made = Tokenizer(models.WordLevel(tiny.VOCABULARY, unk_token="[UNK]"))
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    special = [("[CLS]", tiny.CLS), ("[SEP]", tiny.SEP)]
    made.post_processor = processors.TemplateProcessing(single=single, pair=pair, special_tokens=special)
    folder.mkdir(parents=True, exist_ok=True)
    made.save(str(folder / "tokenizer.json"))


def write(
    file: Path,
    *,
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[str] = IDS_AND_MASK,
    more_inputs: Sequence[Value] = (),
    outputs: Mapping[str, Sequence[str | int]],
    constants: Mapping[str, NDArray[Any]] = {},
    kind: int = TensorProto.FLOAT,
) -> None:
    """Write a graph whose outputs are of one kind; of the shared constants, those that its nodes name."""
    named = {name for each in nodes for name in each.input}
    weights = {name: array for name, array in {**_CONSTANTS, **constants}.items() if name in named}
    graph = helper.make_graph(
        nodes,
        "tiny",
        [*(value(name, TensorProto.INT64, ["batch", "sequence"]) for name in inputs), *more_inputs],
        [value(name, kind, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    file.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), file)


def value(name: str, kind: int, shape: Sequence[str | int]) -> Value:
    return helper.make_tensor_value_info(name, kind, shape)


def embedded(*more: str) -> Nodes:
    """Add up the words and what stands in these lookups, `weights:indices`, as `inputs`; cast the mask as `weights`."""
    nodes = [node("Gather", ["words", "input_ids"], ["sum0"])]
    for number, (weights, indices) in enumerate(lookup.split(":") for lookup in more):
        nodes += [node("Gather", [weights, indices], [weights + "_rows"])]
        nodes += [node("Add", [f"sum{number}", weights + "_rows"], [f"sum{number + 1}"])]
    nodes += [node("Identity", [f"sum{len(more)}"], ["inputs"])]
    return [*nodes, node("Cast", ["attention_mask"], ["weights"], to=TensorProto.FLOAT)]


def encoder(states: str, *more: str) -> Nodes:
    """Compute `numbers.encoder_states` as the output called `states`."""
    return [
        *embedded(*more),
        *mean("inputs", weights="weights", output="context", keep_axis=True),
        node("Mul", ["context", "half"], ["half_context"]),
        node("Add", ["inputs", "half_context"], ["mixed"]),
        node("Tanh", ["mixed"], [states]),
    ]


def mean(values: str, *, weights: str, output: str, keep_axis: bool = False) -> Nodes:
    """Average [batch, sequence, hidden] by weight over the sequence."""
    return [
        node("Unsqueeze", [weights, "axis_2"], [f"{output}_column"]),
        node("Mul", [values, f"{output}_column"], [f"{output}_weighted"]),
        node("ReduceSum", [f"{output}_weighted", "axis_1"], [f"{output}_sum"], keepdims=int(keep_axis)),
        node("ReduceSum", [f"{output}_column", "axis_1"], [f"{output}_count"], keepdims=int(keep_axis)),
        node("Div", [f"{output}_sum", f"{output}_count"], [output]),
    ]


def scorer(logits: str, *more: str, head: str = "head") -> Nodes:
    """Compute `numbers.scores`: the position-weighted mean of words by a head."""
    return [
        *embedded(*more),
        node("CumSum", ["weights", "one"], ["counted"]),
        node("Mul", ["counted", "weights"], ["numbered"]),
        *mean("inputs", weights="numbered", output="middle"),
        node("MatMul", ["middle", head], [logits]),
    ]


def bare_decoder(states: str) -> Nodes:
    """Compute `numbers.causal_states` from ids and mask."""
    counted = [node("CumSum", ["weights", "one"], ["counted"]), node("Unsqueeze", ["counted", "axis_2"], ["number"])]
    return [*embedded(), *counted, *_causal("sums"), node("Tanh", ["sums"], [states])]


def decoder(states: str) -> Nodes:
    """Compute `numbers.causal_states` from `position_ids`, and add up a cache that has to be empty."""
    return [
        *embedded(),
        node("Unsqueeze", ["position_ids", "axis_2"], ["position_column"]),
        node("Add", ["position_column", "one"], ["number_column"]),
        node("Cast", ["number_column"], ["number"], to=TensorProto.FLOAT),
        *_causal("sums"),
        node("Cast", ["past_key_values.0.key"], ["past"], to=TensorProto.FLOAT),
        node("ReduceSum", ["past"], ["nothing"], keepdims=0),
        node("Add", ["sums", "nothing"], ["all_sums"]),
        node("Tanh", ["all_sums"], [states]),
    ]


def _causal(sums: str) -> Nodes:
    return [
        node("Unsqueeze", ["weights", "axis_2"], ["mask_column"]),
        node("Mul", ["inputs", "number"], ["numbered_words"]),
        node("Mul", ["numbered_words", "mask_column"], ["attended_words"]),
        node("CumSum", ["attended_words", "one"], ["added"]),
        node("Mul", ["added", "eighth"], [sums]),
    ]


def past(kind: int = TensorProto.FLOAT) -> list[Value]:
    """Describe the cache of one layer with 8 heads of 128."""
    shape: list[str | int] = ["batch_size", 8, "past_sequence_length", 128]
    return [value(f"past_key_values.0.{part}", kind, shape) for part in ("key", "value")]


def attention(states: str, *more: str) -> Nodes:
    """Compute `numbers.attention_states` with the operator that exports for ONNX Runtime fuse attention into."""
    taken = ["query", "key", "value", "past_key_values.0.key", "past_key_values.0.value", "seqlens_k", "total"]
    return [
        *embedded(*more),
        node("MatMul", ["inputs", "queries"], ["query"]),
        node("MatMul", ["inputs", "keys"], ["key"]),
        node("MatMul", ["inputs", "values"], ["value"]),
        node("ReduceSum", ["attention_mask", "axis_1"], ["lengths"], keepdims=0),
        node("Sub", ["lengths", "one"], ["lengths_less_one"]),
        node("Cast", ["lengths_less_one"], ["seqlens_k"], to=TensorProto.INT32),
        node("Shape", ["attention_mask"], ["shape"]),
        node("Gather", ["shape", "one"], ["longest"]),
        node("Cast", ["longest"], ["total"], to=TensorProto.INT32),
        node(
            "GroupQueryAttention",
            taken,
            [states, "present.0.key", "present.0.value"],
            domain="com.microsoft",
            num_heads=numbers.HEADS,
            kv_num_heads=1,
        ),
    ]


def attention_past() -> list[Value]:
    shape: list[str | int] = ["batch_size", 1, "past_sequence_length", tiny.HIDDEN // numbers.HEADS]
    return [value(f"past_key_values.0.{part}", TensorProto.FLOAT, shape) for part in ("key", "value")]
