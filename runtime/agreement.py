"""Own how near the answers of two graphs are, as vectors and as rankings; pure functions of arrays."""

import numpy as np
from numpy.typing import NDArray

from runtime.pooling import unit

TOP = 10


def cosines(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> NDArray[np.float64]:
    """Compute the cosine of each row with that of the other: [rows, width] twice -> [rows]; two of zeros agree."""
    first, second = (unit(rows).astype(np.float64) for rows in (ours, theirs))
    near: NDArray[np.float64] = 1 - ((first - second) ** 2).sum(axis=1) / 2
    return near


def centred(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Take its mean from each row: [queries, documents], so that only how scores differ is compared."""
    differences: NDArray[np.float32] = scores - scores.mean(axis=1, keepdims=True)
    return differences


def top_overlap(ours: NDArray[np.float32], theirs: NDArray[np.float32], *, top: int = TOP) -> float:
    """Return the share of the best `top` documents of a query that are the other's too: [queries, documents] twice."""
    first, second = (np.argsort(-scores, axis=1, kind="stable")[:, :top] for scores in (ours, theirs))
    shared = [len(np.intersect1d(*pair)) for pair in zip(first, second, strict=True)]
    return float(np.mean(shared) / first.shape[1])


def kendall_tau(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> float:
    """Return how much more often two documents stand in the same order than in the other one, from -1 to 1.

    The mean over queries of [queries, documents] twice; equal scores have no order (Kendall's tau b).
    """
    return float(np.mean([_tau(*pair) for pair in zip(ours, theirs, strict=True)]))


def _tau(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    rows, columns = np.triu_indices(len(first), k=1)
    ours, theirs = (np.sign(scores[rows] - scores[columns]).astype(np.float64) for scores in (first, second))
    ordered = np.sqrt((ours**2).sum() * (theirs**2).sum())
    return float((ours @ theirs) / ordered) if ordered else float(np.array_equal(ours, theirs))
