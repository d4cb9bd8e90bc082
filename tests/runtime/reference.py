"""Own what vectors should be, computed one text at a time in float64 from the definitions, sharing no code."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Tokens = list[tuple[int, Floats]]  # each with its number in the text, from one


def pooled(states: NDArray[np.floating], modes: Sequence[str], *, skipped: int = 0) -> Floats:
    """Pool the states of one text without padding, [tokens, hidden], leaving out its first `skipped` tokens."""
    tokens = [(number, row.astype(np.float64)) for number, row in enumerate(states, start=1)][skipped:]
    return np.concatenate([_POOLINGS[mode](tokens) for mode in modes])


def _mean(tokens: Tokens) -> Floats:
    return np.array([sum(column) / len(tokens) for column in _columns(tokens)])


def _mean_sqrt_len(tokens: Tokens) -> Floats:
    return np.array([sum(column) / len(tokens) ** 0.5 for column in _columns(tokens)])


def _weighted_mean(tokens: Tokens) -> Floats:
    total = sum(number for number, _ in tokens)
    return np.array([sum(column) / total for column in _columns([(n, n * row) for n, row in tokens])])


def _maximum(tokens: Tokens) -> Floats:
    return np.array([max(column) for column in _columns(tokens)])


def _columns(tokens: Tokens) -> list[list[float]]:
    return [[float(value) for value in column] for column in zip(*(row for _, row in tokens), strict=True)]


_POOLINGS: dict[str, Callable[[Tokens], Floats]] = {
    "cls": lambda tokens: tokens[0][1],
    "lasttoken": lambda tokens: tokens[-1][1],
    "max": _maximum,
    "mean": _mean,
    "mean_sqrt_len_tokens": _mean_sqrt_len,
    "weightedmean": _weighted_mean,
}


def unit(vector: Floats) -> Floats:
    """Scale one vector to a length of one."""
    return np.array([value / sum(vector**2) ** 0.5 for value in vector])
