"""Own the numerics between token states and embeddings; pure functions of arrays."""

from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from runtime.bundle import Pooling

# sentence-transformers clamps both, so that a text without tokens gives zeros and not NaN
_SMALLEST_COUNT = 1e-9
_SMALLEST_NORM = 1e-12


def pool(states: NDArray[np.float32], *, attention_mask: NDArray[np.int64], pooling: Pooling) -> NDArray[np.float32]:
    """Make one vector of each text's states: [batch, sequence, hidden] -> [batch, hidden]."""
    match pooling:
        case "mean":
            return mean(states, attention_mask=attention_mask)
        case "cls":
            return first(states, attention_mask=attention_mask)
        case _:
            assert_never(pooling)


def mean(states: NDArray[np.float32], *, attention_mask: NDArray[np.int64]) -> NDArray[np.float32]:
    """Average the attended states."""
    weights = attention_mask[:, None, :].astype(np.float32)
    sums: NDArray[np.float32] = np.matmul(weights, states)[:, 0, :]
    means: NDArray[np.float32] = sums / np.maximum(weights.sum(axis=2), _SMALLEST_COUNT, dtype=np.float32)
    return means


def first(states: NDArray[np.float32], *, attention_mask: NDArray[np.int64]) -> NDArray[np.float32]:
    """Take the first attended state."""
    rows = np.arange(len(states))
    states_of_first: NDArray[np.float32] = states[rows, attention_mask.argmax(axis=1)]
    return states_of_first


def cut(vectors: NDArray[np.float32], *, dimensions: int, normalize: bool) -> NDArray[np.float32]:
    """Keep the first dimensions of a Matryoshka embedding, and then make it unit length again if it should be."""
    kept = vectors[:, :dimensions]
    return unit(kept) if normalize else kept


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale each row to a Euclidean length of one."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: NDArray[np.float32] = vectors / np.maximum(norms, _SMALLEST_NORM)
    return scaled
