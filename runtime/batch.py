"""Own how texts share a run of a graph: packing under a budget of padded tokens, and padding; it knows no model."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtime.bundle import Side
from runtime.tokenizer import Entry


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Entries padded to one length: [batch, sequence] int64, and `skipped`, [batch] int64.

    `skipped` is how many tokens at the start of each entry are attended but not pooled. `adapter` is the same for all
    of them.
    """

    input_ids: NDArray[np.int64]
    attention_mask: NDArray[np.int64]
    token_type_ids: NDArray[np.int64]
    skipped: NDArray[np.int64]
    adapter: int
    first_position: int

    @property
    def position_ids(self) -> NDArray[np.int64]:
        """Count attended tokens from the model's first position; zero in the padding."""
        positions: NDArray[np.int64] = self.attention_mask.cumsum(axis=1) + (self.first_position - 1)
        return positions * self.attention_mask


def pack(lengths: Sequence[int], *, max_batch_tokens: int, groups: Sequence[int] | None = None) -> list[list[int]]:
    """Put positions into batches so that the longest of a batch times its size stays within the budget.

    Neighbours in length go together, longest first, so that little is padded; one that is above the budget by itself
    goes alone. Every position is in exactly one batch, and a batch is of one of the `groups`, given by position.
    """
    kinds = groups or [0] * len(lengths)
    batches: list[list[int]] = []
    for position in sorted(range(len(lengths)), key=lambda index: (kinds[index], -lengths[index])):
        batch = batches[-1] if batches else []
        # the first of a batch is its longest
        is_of_its_group = bool(batch) and kinds[batch[0]] == kinds[position]
        if is_of_its_group and lengths[batch[0]] * (len(batch) + 1) <= max_batch_tokens:
            batch.append(position)
        else:
            batches.append([position])
    return batches


def pad(entries: Sequence[Entry], *, pad_token_id: int, side: Side, first_position: int = 0) -> Batch:
    """Lay entries of one group side by side, and fill the shorter ones up on one side."""
    longest = max(len(entry.ids) for entry in entries)
    shape = (len(entries), longest)
    batch = Batch(
        input_ids=np.full(shape, pad_token_id, dtype=np.int64),
        attention_mask=np.zeros(shape, dtype=np.int64),
        token_type_ids=np.zeros(shape, dtype=np.int64),
        skipped=np.array([entry.skipped for entry in entries], dtype=np.int64),
        adapter=entries[0].group,
        first_position=first_position,
    )
    for row, entry in enumerate(entries):
        length = len(entry.ids)
        start = longest - length if side == "left" else 0
        place = (row, slice(start, start + length))
        batch.input_ids[place] = entry.ids
        batch.attention_mask[place] = 1
        batch.token_type_ids[place] = entry.type_ids
    return batch
