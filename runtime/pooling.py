"""Own the numerics between token states and pooled vectors, and those of their length; pure functions of arrays.

Modes are named, and behave, as those of sentence-transformers. Only attended tokens count, whichever side is padded.
"""

from collections.abc import Sequence
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from runtime.bundle import PoolingMode

# sentence-transformers clamps both, so that a text without tokens gives zeros and not NaN
_SMALLEST_COUNT = 1e-9
_SMALLEST_NORM = 1e-12

_Floats = NDArray[np.float32]
_Integers = NDArray[np.int64]


def pool(
    states: _Floats, *, attention_mask: _Integers, modes: Sequence[PoolingMode], skipped: _Integers | None = None
) -> _Floats:
    """Make one vector of each text's states: [batch, sequence, hidden] -> [batch, hidden * modes], concatenated.

    `skipped`, [batch], is how many attended tokens at the start of each text are not pooled. A text of which no token
    is pooled becomes zeros.
    """
    pooled = attention_mask
    if skipped is not None and skipped.any():
        pooled = attention_mask * (attention_mask.cumsum(axis=1) > skipped[:, None])
    vectors = [_pool_by(mode, states, pooled, attention_mask=attention_mask) for mode in modes]
    return np.concatenate(vectors, axis=1) if len(vectors) > 1 else vectors[0]


def _pool_by(mode: PoolingMode, states: _Floats, pooled: _Integers, *, attention_mask: _Integers) -> _Floats:
    """Pool by one mode; `pooled`, [batch, sequence], is one where a token is, and zero elsewhere."""
    match mode:
        case "cls":
            return _pick(states, pooled, tokens=pooled.argmax(axis=1))
        case "lasttoken":
            return _pick(states, pooled, tokens=pooled.shape[1] - 1 - pooled[:, ::-1].argmax(axis=1))
        case "max":
            return _maximum(states, pooled)
        case "mean":
            return _sum(states, pooled) / _total(pooled)
        case "mean_sqrt_len_tokens":
            root: _Floats = np.sqrt(_total(pooled))
            return _sum(states, pooled) / root
        case "weightedmean":
            ordinals = attention_mask.cumsum(axis=1) * pooled
            return _sum(states, ordinals) / _total(ordinals)
        case _:
            assert_never(mode)


def _pick(states: _Floats, pooled: _Integers, *, tokens: _Integers) -> _Floats:
    """Take one token of each text, and zeros where none is pooled: nothing is left of one that its prompt fills."""
    picked: _Floats = states[np.arange(len(states)), tokens]
    picked[~pooled.any(axis=1)] = 0
    return picked


def _sum(states: _Floats, weights: _Integers) -> _Floats:
    """Sum states by weight: [batch, sequence, hidden] and [batch, sequence] -> [batch, hidden]."""
    sums: _Floats = np.matmul(weights[:, None, :].astype(np.float32), states)[:, 0, :]
    return sums


def _total(weights: _Integers) -> _Floats:
    total: _Floats = np.maximum(weights.sum(axis=1, keepdims=True), _SMALLEST_COUNT, dtype=np.float32)
    return total


def _maximum(states: _Floats, pooled: _Integers) -> _Floats:
    largest: _Floats = np.where(pooled[:, :, None] == 1, states, np.float32(-np.inf)).max(axis=1)
    largest[~pooled.any(axis=1)] = 0
    return largest


def cut(vectors: _Floats, *, dimensions: int, normalize: bool) -> _Floats:
    """Keep the first dimensions of a Matryoshka embedding, and then make it unit length again if it should be."""
    kept = vectors[:, :dimensions]
    return unit(kept) if normalize else kept


def unit(vectors: _Floats) -> _Floats:
    """Scale each row to a Euclidean length of one."""
    norms = np.sqrt(np.vecdot(vectors, vectors))[:, None]
    scaled: _Floats = vectors / np.maximum(norms, _SMALLEST_NORM)
    return scaled
