"""Own how texts share a run of a graph: packing under a budget of padded tokens, and padding; it knows no model."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtime.tokenizer import Entry


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Entries padded on the right to one length: each array is [batch, sequence] int64."""

    input_ids: NDArray[np.int64]
    attention_mask: NDArray[np.int64]
    token_type_ids: NDArray[np.int64]


def pack(lengths: Sequence[int], *, max_batch_tokens: int) -> list[list[int]]:
    """Group positions so that the longest of a group times its size stays within the budget.

    Neighbours in length go together, longest first, so that little is padded; one that is above the budget by itself
    goes alone. Every position is in exactly one group.
    """
    groups: list[list[int]] = []
    for position in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        # the first of a group is its longest
        if groups and lengths[groups[-1][0]] * (len(groups[-1]) + 1) <= max_batch_tokens:
            groups[-1].append(position)
        else:
            groups.append([position])
    return groups


def pad(entries: Sequence[Entry], *, pad_token_id: int) -> Batch:
    """Lay entries side by side."""
    shape = (len(entries), max(len(entry.ids) for entry in entries))
    input_ids = np.full(shape, pad_token_id, dtype=np.int64)
    attention_mask = np.zeros(shape, dtype=np.int64)
    token_type_ids = np.zeros(shape, dtype=np.int64)
    for row, entry in enumerate(entries):
        length = len(entry.ids)
        input_ids[row, :length] = entry.ids
        attention_mask[row, :length] = 1
        token_type_ids[row, :length] = entry.type_ids
    return Batch(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
