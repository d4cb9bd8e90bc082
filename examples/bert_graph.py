"""Own the ONNX graphs of a BERT encoder: its weights in, a checked model out; nothing is read, written or run here."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Weights = Mapping[str, NDArray[np.float32]]

# LayerNormalization is an operator since 17; ONNX Runtime reads IR version 8 since 1.11.
OPSET_VERSION = 17
IR_VERSION = 8

# BERT's own value: finite, so that no row can become NaN, and exp(-10000) is exactly zero in float32 and in float64.
MASKED_SCORE = -10000.0

INPUT_NAMES = ("input_ids", "attention_mask", "token_type_ids")


@dataclass(frozen=True, kw_only=True, slots=True)
class BertConfig:
    """What the weights alone do not say; the names are those of config.json."""

    num_hidden_layers: int
    num_attention_heads: int
    layer_norm_eps: float


def embedding_model(weights: Weights, *, config: BertConfig) -> onnx.ModelProto:
    """Build the encoder: three int64 [batch, sequence] inputs -> last_hidden_state [batch, sequence, hidden]."""
    graph = _Graph(weights)
    bias = _attention_bias(graph, _key_mask(graph))
    graph.add("Identity", _encoder(graph, bias, config=config), output="last_hidden_state")
    hidden_size = weights["embeddings.LayerNorm.weight"].shape[0]
    return graph.model("last_hidden_state", shape=("batch", "sequence", hidden_size))


def pair_cosine_model(weights: Weights, *, config: BertConfig, scale: float, midpoint: float) -> onnx.ModelProto:
    """Build a scorer of pairs: the same inputs -> logits [batch, 1], `scale * (cosine - midpoint)`.

    The pair goes through the encoder once. A token attends to its own segment only, so each segment is encoded like
    the single texts that the weights were trained on; the cosine is that of the two segments' mean-pooled states.
    """
    graph = _Graph(weights)
    same_segment = graph.cast_to_float(
        graph.add("Equal", graph.unsqueeze("token_type_ids", 1, 3), graph.unsqueeze("token_type_ids", 1, 2))
    )
    bias = _attention_bias(graph, graph.add("Mul", _key_mask(graph), same_segment))
    cosine = _segment_cosine(graph, _encoder(graph, bias, config=config))
    shifted = graph.add("Sub", cosine, graph.scalar("midpoint", midpoint))
    graph.add("Mul", shifted, graph.scalar("scale", scale), output="logits")
    return graph.model("logits", shape=("batch", 1))


@dataclass(slots=True)
class _Graph:
    """A graph under construction: each method adds to it and returns the name of a tensor."""

    weights: Weights
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    initializers: dict[str, onnx.TensorProto] = field(default_factory=dict)

    def add(
        self,
        operator: str,
        *inputs: str,
        output: str = "",
        **attributes: Any,
    ) -> str:
        name = output or f"{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        return name

    def constant(self, name: str, values: NDArray[Any]) -> str:
        if name not in self.initializers:
            self.initializers[name] = numpy_helper.from_array(np.ascontiguousarray(values), name)
        return name

    def scalar(self, name: str, value: float) -> str:
        return self.constant(name, np.array(value, np.float32))

    def integers(self, *values: int) -> str:
        return self.constant("integers_" + "_".join(map(str, values)), np.array(values, np.int64))

    def weight(self, name: str) -> str:
        return self.constant(name, self.weights[name])

    def unsqueeze(self, tensor: str, *axes: int) -> str:
        return self.add("Unsqueeze", tensor, self.integers(*axes))

    def cast_to_float(self, tensor: str) -> str:
        return self.add("Cast", tensor, to=TensorProto.FLOAT)

    def linear(self, tensor: str, prefix: str) -> str:
        # Stored [out, in]; transposed here once, so that no run has to.
        kernel = self.constant(f"{prefix}.weight.T", self.weights[f"{prefix}.weight"].T)
        return self.add("Add", self.add("MatMul", tensor, kernel), self.weight(f"{prefix}.bias"))

    def layer_norm(self, tensor: str, prefix: str, *, epsilon: float) -> str:
        scale, bias = self.weight(f"{prefix}.weight"), self.weight(f"{prefix}.bias")
        return self.add("LayerNormalization", tensor, scale, bias, axis=-1, epsilon=epsilon)

    def model(self, output: str, *, shape: tuple[str | int, ...]) -> onnx.ModelProto:
        inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"]) for name in INPUT_NAMES]
        outputs = [helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)]
        graph = helper.make_graph(self.nodes, "bert", inputs, outputs, list(self.initializers.values()))
        opsets = [helper.make_opsetid("", OPSET_VERSION)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="build-image")
        onnx.checker.check_model(model, full_check=True)
        return model


def _key_mask(graph: _Graph) -> str:
    """Return 1.0 where a key may be attended to: [batch, 1, 1, key]."""
    return graph.cast_to_float(graph.unsqueeze("attention_mask", 1, 2))


def _attention_bias(graph: _Graph, allowed: str) -> str:
    """Return what is added to the scores: zero where `allowed` is one, `MASKED_SCORE` where it is zero."""
    forbidden = graph.add("Sub", graph.scalar("one", 1.0), allowed)
    return graph.add("Mul", forbidden, graph.scalar("masked_score", MASKED_SCORE))


def _encoder(graph: _Graph, attention_bias: str, *, config: BertConfig) -> str:
    hidden = _embeddings(graph, epsilon=config.layer_norm_eps)
    for number in range(config.num_hidden_layers):
        hidden = _layer(graph, hidden, attention_bias, prefix=f"encoder.layer.{number}", config=config)
    return hidden


def _embeddings(graph: _Graph, *, epsilon: float) -> str:
    words = graph.add("Gather", graph.weight("embeddings.word_embeddings.weight"), "input_ids")
    types = graph.add("Gather", graph.weight("embeddings.token_type_embeddings.weight"), "token_type_ids")
    # The first `sequence` rows. A longer sequence than there are rows fails at the addition: it is never wrapped.
    length = graph.add("Shape", "input_ids", start=1)
    table = graph.weight("embeddings.position_embeddings.weight")
    positions = graph.add("Slice", table, graph.integers(0), length, graph.integers(0))
    total = graph.add("Add", graph.add("Add", words, types), positions)
    return graph.layer_norm(total, "embeddings.LayerNorm", epsilon=epsilon)


def _layer(graph: _Graph, hidden: str, attention_bias: str, *, prefix: str, config: BertConfig) -> str:
    epsilon = config.layer_norm_eps
    context = _attention(
        graph, hidden, attention_bias, prefix=f"{prefix}.attention.self", heads=config.num_attention_heads
    )
    projected = graph.linear(context, f"{prefix}.attention.output.dense")
    attended = graph.layer_norm(
        graph.add("Add", projected, hidden), f"{prefix}.attention.output.LayerNorm", epsilon=epsilon
    )
    expanded = _gelu(graph, graph.linear(attended, f"{prefix}.intermediate.dense"))
    contracted = graph.linear(expanded, f"{prefix}.output.dense")
    return graph.layer_norm(graph.add("Add", contracted, attended), f"{prefix}.output.LayerNorm", epsilon=epsilon)


def _attention(graph: _Graph, hidden: str, attention_bias: str, *, prefix: str, heads: int) -> str:
    hidden_size = graph.weights[f"{prefix}.query.bias"].shape[0]
    head_size = hidden_size // heads

    def split(projection: str, permutation: list[int]) -> str:
        projected = graph.linear(hidden, f"{prefix}.{projection}")
        separated = graph.add("Reshape", projected, graph.integers(0, 0, heads, head_size))
        return graph.add("Transpose", separated, perm=permutation)

    query, key, value = split("query", [0, 2, 1, 3]), split("key", [0, 2, 3, 1]), split("value", [0, 2, 1, 3])
    root = graph.scalar("root_of_head_size", math.sqrt(head_size))
    scores = graph.add("Div", graph.add("MatMul", query, key), root)
    probabilities = graph.add("Softmax", graph.add("Add", scores, attention_bias), axis=-1)
    context = graph.add("Transpose", graph.add("MatMul", probabilities, value), perm=[0, 2, 1, 3])
    return graph.add("Reshape", context, graph.integers(0, 0, hidden_size))


def _gelu(graph: _Graph, tensor: str) -> str:
    """Apply the exact form, x / 2 * (1 + erf(x / sqrt 2)), in the order that ONNX Runtime fuses into one operator."""
    erf = graph.add("Erf", graph.add("Div", tensor, graph.scalar("root_of_two", math.sqrt(2.0))))
    doubled = graph.add("Mul", tensor, graph.add("Add", erf, graph.scalar("one", 1.0)))
    return graph.add("Mul", doubled, graph.scalar("half", 0.5))


def _segment_cosine(graph: _Graph, hidden: str) -> str:
    """Return the cosine of the mean-pooled segments: [batch, sequence, hidden] -> [batch, 1].

    [CLS] and the [SEP] tokens count: they carry meaning here as they do in the embedding model's mean, the graph needs
    no token ids of one vocabulary, and an empty segment still has its [SEP].
    """
    mask = graph.cast_to_float("attention_mask")
    second = graph.add("Mul", graph.cast_to_float("token_type_ids"), mask)
    first = graph.add("Sub", mask, second)
    # Sums have the direction of the means, which is all that a cosine looks at: [batch, 1, sequence] @ hidden.
    sums = [graph.add("MatMul", graph.unsqueeze(weights, 1), hidden) for weights in (first, second)]
    lengths = [graph.add("ReduceL2", vector, axes=[-1], keepdims=0) for vector in sums]
    product = graph.add("ReduceSum", graph.add("Mul", *sums), graph.integers(-1), keepdims=0)
    # A row without a second segment (all type ids zero) gets cosine 0 rather than NaN.
    return graph.add("Div", product, graph.add("Max", graph.add("Mul", *lengths), graph.scalar("tiny", 1e-9)))
