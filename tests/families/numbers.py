"""Own what each tiny model should answer, one text at a time in float64 from the definitions, sharing no code."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tests.runtime import tiny

Floats = NDArray[np.float64]

_random = np.random.default_rng(20261125)
POSITIONS = (_random.normal(size=(64, tiny.HIDDEN)) / 2).astype(np.float32)
ADAPTERS = _random.normal(size=(5, tiny.HIDDEN)).astype(np.float32)
HEAD = _random.normal(size=(tiny.HIDDEN, 3)).astype(np.float32)
VOCABULARY_HEAD = _random.normal(size=(tiny.HIDDEN, len(tiny.VOCABULARY))).astype(np.float32)
QUERIES, KEYS, VALUES = (
    (_random.normal(size=(tiny.HIDDEN, width)) / 4).astype(np.float32) for width in (tiny.HIDDEN, 16, 16)
)
HEADS = 2


def words(ids: Sequence[int]) -> Floats:
    return tiny.WORD_EMBEDDINGS.astype(np.float64)[list(ids)]


def encoder_states(
    ids: Sequence[int],
    *,
    segments: Sequence[int] | None = None,
    first_position: int | None = None,
    adapter: int | None = None,
) -> Floats:
    """Compute states that mix every token with the mean of all: [sequence, hidden]."""
    inputs = words(ids)
    if segments is not None:
        inputs = inputs + tiny.SEGMENT_EMBEDDINGS.astype(np.float64)[list(segments)]
    if first_position is not None:
        inputs = inputs + POSITIONS.astype(np.float64)[first_position : first_position + len(ids)]
    if adapter is not None:
        inputs = inputs + ADAPTERS.astype(np.float64)[adapter]
    mixed: Floats = np.tanh(inputs + inputs.mean(axis=0) / 2)
    return mixed


def causal_states(ids: Sequence[int]) -> Floats:
    """Compute states that mix every token with those before it, by their number: [sequence, hidden]."""
    numbered = words(ids) * np.arange(1, len(ids) + 1)[:, None]
    mixed: Floats = np.tanh(np.cumsum(numbered, axis=0) / 8)
    return mixed


def attention_states(ids: Sequence[int], *, has_positions: bool = False) -> Floats:
    """Compute grouped-query attention, two heads on one key and value head, each token on those up to it."""
    x = words(ids) + (POSITIONS.astype(np.float64)[: len(ids)] if has_positions else 0)
    queries, keys, values = x @ QUERIES.astype(float), x @ KEYS.astype(float), x @ VALUES.astype(float)
    width = keys.shape[1]
    rows = []
    for at in range(len(ids)):
        heads = [queries[at, head * width : (head + 1) * width] for head in range(HEADS)]
        weights = [np.exp(keys[: at + 1] @ head / np.sqrt(width)) for head in heads]
        rows.append(np.concatenate([weight @ values[: at + 1] / weight.sum() for weight in weights]))
    return np.array(rows)


def scores(ids: Sequence[int], *, segments: Sequence[int] | None = None, head: NDArray[np.float32] = HEAD) -> Floats:
    """Compute logits that depend on every token and on where it stands: [labels]."""
    inputs = words(ids)
    if segments is not None:
        inputs = inputs + tiny.SEGMENT_EMBEDDINGS.astype(np.float64)[list(segments)]
    numbers = np.arange(1, len(ids) + 1)
    logits: Floats = (numbers @ inputs / numbers.sum()) @ head.astype(np.float64)
    return logits


def token_logits(states: Floats) -> Floats:
    """Compute a causal model's logits after the last token: [vocabulary]."""
    logits: Floats = states[-1] @ VOCABULARY_HEAD.astype(np.float64)
    return logits


def sigmoid(value: float) -> float:
    return float(1 / (1 + np.exp(-value)))


def softmax(values: Floats) -> Floats:
    shares: Floats = np.exp(values) / np.exp(values).sum()
    return shares
