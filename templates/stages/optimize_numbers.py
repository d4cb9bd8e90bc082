"""Own how weights and activations are rounded to few bits, and what that costs; pure functions of arrays.

Each column of int8 weights has a scale of its own, and so has each token: a text's numbers depend on it alone, which
they do not where an operator takes the range of a whole batch (`DynamicQuantizeLinear`).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BLOCK = 32  # of weights that share a scale
MOST = 127  # of an activation
# Smaller scales clip the largest weights, and round all the others less.
SHRINKS = (1.0, 0.97, 0.94, 0.91, 0.88, 0.85, 0.82, 0.79)

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, slots=True)
class Blocks:
    """Weights as MatMulNBits has them: [out, blocks, bytes], [out, blocks] and [out, bytes]."""

    packed: Bytes
    scales: Floats
    zero_points: Bytes


def by_column(weights: Floats, *, most: int) -> tuple[NDArray[np.int8], Floats]:
    """Round [in, out] to numbers from -`most` to `most`, with the scale of each column that errs least."""
    largest = np.abs(weights).max(axis=0)
    largest[largest == 0] = 1
    best = largest / np.float32(most)
    least = np.full(largest.shape, np.inf)
    for shrink in SHRINKS:
        scales = (largest * np.float32(shrink / most)).astype(np.float32)
        errors = np.square(_rounded(weights, scales, most) * scales - weights).sum(axis=0, dtype=np.float64)
        is_better = errors < least
        least[is_better] = errors[is_better]
        best = np.where(is_better, scales, best)
    return _rounded(weights, best, most).astype(np.int8), best.astype(np.float32)


def by_row(table: Floats) -> tuple[NDArray[np.int8], Floats]:
    """Round each row of a table to a byte a number: [rows, n] -> [rows, n] and [rows, 1]."""
    scales = (np.abs(table).max(axis=1, keepdims=True) / np.float32(MOST)).astype(np.float32)
    scales[scales == 0] = 1
    return _rounded(table, scales, MOST).astype(np.int8), scales


def by_block(weights: Floats, *, bits: int) -> Blocks:
    """Round [in, out] by blocks of a column, each with a scale and a zero point that err least."""
    blocks = _blocks(weights)
    top = 2**bits - 1
    low = np.minimum(blocks.min(axis=2, keepdims=True), 0)
    high = np.maximum(blocks.max(axis=2, keepdims=True), 0)
    best = _fit(low, high, top)
    least = _block_errors(blocks, *best, top)
    for shrink in SHRINKS[1:]:
        fit = _fit(low * np.float32(shrink), high * np.float32(shrink), top)
        errors = _block_errors(blocks, *fit, top)
        is_better = errors < least
        least = np.where(is_better, errors, least)
        best = (np.where(is_better, fit[0], best[0]), np.where(is_better, fit[1], best[1]))
    scales, zeros = best
    numbers = _block_numbers(blocks, scales, zeros, top)
    return Blocks(packed=_packed(numbers, bits), scales=scales[:, :, 0], zero_points=_packed(zeros[:, :, 0], bits))


def int8_product(values: Floats, weights: Floats, *, most: int) -> Floats:
    """Compute what rounded values and weights multiply to: [tokens, in] and [in, out] -> [tokens, out]."""
    numbers, scales = by_column(weights, most=most)
    largest = np.abs(values).max(axis=1, keepdims=True)
    largest[largest == 0] = 1
    rounded = np.rint(values / largest * MOST) * (largest / MOST)
    product: Floats = rounded.astype(np.float32) @ (numbers * scales)
    return product


def block_product(values: Floats, weights: Floats, *, bits: int) -> Floats:
    """Compute what weights that are rounded by blocks make of values: [tokens, in] and [in, out] -> [tokens, out]."""
    blocks = _blocks(weights)
    rounded = by_block(weights, bits=bits)
    zeros = _unpacked(rounded.zero_points, bits)[:, : blocks.shape[1], None]
    numbers = _unpacked(rounded.packed, bits).astype(np.float32)
    restored = ((numbers - zeros) * rounded.scales[:, :, None]).reshape(blocks.shape[0], -1)
    product: Floats = values @ restored[:, : weights.shape[0]].T
    return product


Product = Callable[[Floats, Floats], Floats]


def relative_error(values: Floats, weights: Floats, *, product: Product) -> float:
    """Return the squared error of a product that rounds, as a part of the exact one's square."""
    exact = values @ weights
    error = np.square(product(values, weights) - exact).sum(dtype=np.float64)
    return float(error / max(np.square(exact).sum(dtype=np.float64), 1e-30))


def _rounded(values: Floats, scales: Floats, most: int) -> Floats:
    rounded: Floats = np.clip(np.rint(values / scales), -most, most).astype(np.float32)
    return rounded


def _blocks(weights: Floats) -> Floats:
    """Cut columns into blocks, the last one filled up with zeros: [in, out] -> [out, blocks, numbers]."""
    rows, columns = weights.shape
    filled = np.pad(weights, ((0, -rows % BLOCK), (0, 0)))
    return np.ascontiguousarray(filled.T).reshape(columns, -1, BLOCK)


def _fit(low: Floats, high: Floats, top: int) -> tuple[Floats, Floats]:
    scales = ((high - low) / np.float32(top)).astype(np.float32)
    scales[scales == 0] = 1
    return scales, np.clip(np.rint(-low / scales), 0, top).astype(np.float32)


def _block_numbers(blocks: Floats, scales: Floats, zeros: Floats, top: int) -> Floats:
    numbers: Floats = np.clip(np.rint(blocks / scales) + zeros, 0, top)
    return numbers


def _block_errors(blocks: Floats, scales: Floats, zeros: Floats, top: int) -> Floats:
    restored = (_block_numbers(blocks, scales, zeros, top) - zeros) * scales
    errors: Floats = np.square(restored - blocks).sum(axis=2, keepdims=True)
    return errors


def _packed(numbers: Floats, bits: int) -> Bytes:
    """Lay numbers of 4 bits two to a byte along the last axis, the first one low; those of 8 bits as they are."""
    whole = numbers.astype(np.uint8)
    if bits == 8:
        return whole
    if whole.shape[-1] % 2:
        whole = np.pad(whole, [*[(0, 0)] * (whole.ndim - 1), (0, 1)])
    return (whole[..., ::2] | (whole[..., 1::2] << 4)).astype(np.uint8)


def _unpacked(packed: Bytes, bits: int) -> Bytes:
    if bits == 8:
        return packed
    return np.stack([packed & 15, packed >> 4], axis=-1).reshape(*packed.shape[:-1], -1)
