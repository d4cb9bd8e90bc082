"""Own what a graph's inputs are fed with in one batch, exactly as the bundle says; it decides and knows no model."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from runtime.batch import Batch
from runtime.bundle import Input


def feeds(inputs: Mapping[str, Input], batch: Batch) -> dict[str, NDArray[np.generic]]:
    """Make the array of every input, in its own dtype."""
    return {name: _array(value, batch) for name, value in inputs.items()}


def _array(value: Input, batch: Batch) -> NDArray[np.generic]:
    if value.feed in {"zeros", "adapter"}:
        sizes = dict(zip(("batch", "sequence"), batch.input_ids.shape, strict=True))
        shape = [size if isinstance(size, int) else sizes[size] for size in value.shape]
        return np.full(shape, batch.adapter if value.feed == "adapter" else 0, dtype=value.dtype)
    array: NDArray[np.int64] = getattr(batch, value.feed)
    return array.astype(value.dtype, copy=False)
