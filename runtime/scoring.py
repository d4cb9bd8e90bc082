"""Own the numerics between a cross-encoder's logits and a ranking; pure functions of arrays."""

from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from runtime.bundle import Activation


def activate(logits: NDArray[np.float32], *, activation: Activation) -> NDArray[np.float32]:
    """Turn logits into scores, element by element."""
    match activation:
        case "sigmoid":
            return sigmoid(logits)
        case "identity":
            return logits
        case _:
            assert_never(activation)


def sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compute 1 / (1 + exp(-x)) without overflow at either end."""
    small = np.exp(-np.abs(logits))
    return np.where(logits >= 0, 1 / (1 + small), small / (1 + small)).astype(np.float32)


def rank(scores: NDArray[np.float32], *, top_n: int | None) -> list[int]:
    """List positions from the highest score down; equal scores keep their order."""
    order: list[int] = np.argsort(-scores, kind="stable").tolist()
    return order[:top_n]
