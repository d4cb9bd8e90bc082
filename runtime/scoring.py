"""Own the numerics between logits and scores or a ranking; pure functions of arrays."""

from collections.abc import Sequence
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from runtime.bundle import Activation


def activate(logits: NDArray[np.float32], *, activation: Activation) -> NDArray[np.float32]:
    """Turn logits into scores: [texts, labels] -> [texts, labels]; softmax is over the labels."""
    match activation:
        case "sigmoid":
            return sigmoid(logits)
        case "identity":
            return logits
        case "softmax":
            return softmax(logits)
        case _:
            assert_never(activation)


def sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compute 1 / (1 + exp(-x)) without overflow at either end."""
    small = np.exp(-np.abs(logits))
    return np.where(logits >= 0, 1 / (1 + small), small / (1 + small)).astype(np.float32)


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compute exp(x) over its sum along the last axis, without overflow."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    shares: NDArray[np.float32] = powers / powers.sum(axis=-1, keepdims=True)
    return shares


def last_tokens(logits: NDArray[np.floating], *, attention_mask: NDArray[np.int64]) -> NDArray[np.float32]:
    """Pick each text's last attended token: [batch, sequence, vocabulary] -> [batch, vocabulary] float32.

    Only what is picked is copied: the logits of all tokens can have gigabytes.
    """
    last = attention_mask.shape[1] - 1 - attention_mask[:, ::-1].argmax(axis=1)
    picked: NDArray[np.float32] = logits[np.arange(len(logits)), last].astype(np.float32)
    return picked


def answer(logits: NDArray[np.float32], *, tokens: Sequence[int]) -> NDArray[np.float32]:
    """Take the first token's logit, less the second one's where there is one: [batch, vocabulary] -> [batch, 1]."""
    first, *others = (logits[:, [token]] for token in tokens)
    return first - others[0] if others else first


def best(scores: NDArray[np.float32], *, owners: Sequence[int]) -> NDArray[np.float32]:
    """Take the maximum of the scores of each owner, in the order of their numbers from zero: [rows] -> [owners]."""
    maxima = np.full(max(owners) + 1, -np.inf, dtype=np.float32)
    np.maximum.at(maxima, owners, scores)
    return maxima


def rank(scores: NDArray[np.float32], *, top_n: int | None) -> list[int]:
    """List positions from the highest score down; equal scores keep their order."""
    order: list[int] = np.argsort(-scores, kind="stable").tolist()
    return order[:top_n]
