import numpy as np
import pytest

from runtime.batch import pack, pad
from runtime.tokenizer import Entry

NAMES = ("input_ids", "attention_mask", "token_type_ids", "position_ids", "skipped")
LENGTHS = [3, 9, 1, 4, 4, 20, 2, 7, 1, 1]


def entry(*ids: int) -> Entry:
    return Entry(ids=ids, type_ids=tuple(1 for _ in ids))


def test_neighbours_in_length_share_a_batch() -> None:
    assert pack(LENGTHS, max_batch_tokens=16) == [[5], [1], [7, 3], [4, 0, 6, 2], [8, 9]]


@pytest.mark.parametrize("budget", [1, 5, 16, 10_000])
def test_every_position_is_in_exactly_one_batch(budget: int) -> None:
    groups = pack(LENGTHS, max_batch_tokens=budget)
    assert sorted(position for group in groups for position in group) == list(range(len(LENGTHS)))


@pytest.mark.parametrize("budget", [1, 5, 16, 10_000])
def test_only_a_single_text_may_be_above_the_budget(budget: int) -> None:
    padded = [max(LENGTHS[at] for at in group) * len(group) for group in pack(LENGTHS, max_batch_tokens=budget)]
    alone = [len(group) == 1 for group in pack(LENGTHS, max_batch_tokens=budget)]
    assert all(tokens <= budget or single for tokens, single in zip(padded, alone, strict=True))


def test_groups_never_share_a_batch() -> None:
    groups = [0, 1, 0, 1, 0, 2, 0, 0, 1, 0]
    assert pack(LENGTHS, max_batch_tokens=10_000, groups=groups) == [[7, 4, 0, 6, 2, 9], [1, 3, 8], [5]]


def test_within_a_group_the_budget_holds() -> None:
    assert pack([4, 4, 4, 4], max_batch_tokens=8, groups=[1, 0, 1, 1]) == [[1], [0, 2], [3]]


def test_nothing_packs_to_nothing() -> None:
    assert pack([], max_batch_tokens=8) == []


def test_padding_goes_to_the_right_and_is_masked() -> None:
    batch = pad([entry(5, 6, 7), entry(8)], pad_token_id=9, side="right")
    assert {name: getattr(batch, name).tolist() for name in NAMES} == {
        "input_ids": [[5, 6, 7], [8, 9, 9]],
        "attention_mask": [[1, 1, 1], [1, 0, 0]],
        "token_type_ids": [[1, 1, 1], [1, 0, 0]],
        "position_ids": [[0, 1, 2], [0, 0, 0]],
        "skipped": [0, 0],
    }


def test_padding_goes_to_the_left_where_the_tokenizer_says_so() -> None:
    batch = pad([entry(5, 6, 7), entry(8, 4)], pad_token_id=9, side="left")
    assert {name: getattr(batch, name).tolist() for name in NAMES} == {
        "input_ids": [[5, 6, 7], [9, 8, 4]],
        "attention_mask": [[1, 1, 1], [0, 1, 1]],
        "token_type_ids": [[1, 1, 1], [0, 1, 1]],
        "position_ids": [[0, 1, 2], [0, 0, 1]],
        "skipped": [0, 0],
    }


def test_positions_can_start_later() -> None:
    batch = pad([entry(5, 6, 7), entry(8)], pad_token_id=1, side="right", first_position=2)
    assert batch.position_ids.tolist() == [[2, 3, 4], [2, 0, 0]]


def test_a_batch_has_the_group_of_its_entries() -> None:
    entries = [Entry(ids=(5,), type_ids=(0,), group=3), Entry(ids=(6,), type_ids=(0,), group=3)]
    assert pad(entries, pad_token_id=9, side="right").adapter == 3


def test_tokens_that_are_not_pooled_are_counted_by_entry() -> None:
    entries = [entry(5), Entry(ids=(6, 7), type_ids=(0, 0), skipped=1)]
    assert pad(entries, pad_token_id=9, side="right").skipped.tolist() == [0, 1]


def test_every_array_is_int64() -> None:
    batch = pad([entry(5, 6, 7), entry(8)], pad_token_id=9, side="right")
    assert {getattr(batch, name).dtype for name in NAMES} == {np.dtype(np.int64)}
