from dataclasses import dataclass

import numpy as np
import pytest

from runtime.window import Window, choose


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """An entry that waits."""

    length: int
    group: int = 0
    gone: bool = False
    number: int = 0


def window_of(*items: Item, max_batch_tokens: int = 100, run_cost_tokens: int = 10) -> Window[Item]:
    window: Window[Item] = Window(max_batch_tokens=max_batch_tokens, run_cost_tokens=run_cost_tokens)
    window.add(items)
    return window


def drained(window: Window[Item]) -> list[list[Item]]:
    batches = []
    while batch := window.take():
        batches.append(batch)
    return batches


@pytest.mark.parametrize(
    ("lengths", "chosen"),
    [
        pytest.param([7], [0], id="alone"),
        pytest.param([40, 40, 40], [0, 1], id="as many as the budget holds"),
        pytest.param([300, 10], [0], id="above the budget by itself"),
        pytest.param([20, 90, 22, 60, 18], [0, 2, 4], id="neighbours in length, on both sides"),
        pytest.param([20, 5, 35], [0], id="padding would be more work than a run"),
        pytest.param([20, 20, 20, 20, 26], [0, 1, 2, 3], id="a longer one would pad all of them"),
        pytest.param([30, 20, 30, 30], [0, 2, 3], id="of all that could follow, those that bring no padding"),
        pytest.param([30, 25, 25, 25], [0, 1, 2], id="of equally long ones, the older"),
    ],
)
def test_the_oldest_runs_next_with_its_neighbours_in_length(lengths: list[int], chosen: list[int]) -> None:
    assert choose(lengths, max_batch_tokens=100, run_cost_tokens=10) == chosen


@pytest.mark.parametrize("seed", range(20))
def test_whatever_waits_the_oldest_is_chosen_and_the_budget_is_kept(seed: int) -> None:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 61, size=rng.integers(1, 201)).tolist()
    chosen = choose(lengths, max_batch_tokens=256, run_cost_tokens=int(rng.integers(0, 41)))
    longest = max(lengths[position] for position in chosen)
    assert (chosen[0], len(set(chosen)), longest * len(chosen) <= 256) == (0, len(chosen), True)


@pytest.mark.parametrize("seed", range(20))
def test_everything_that_waits_runs_once_and_in_its_group(seed: int) -> None:
    kinds = np.random.default_rng(seed).integers((1, 0), (81, 3), size=(1500, 2)).tolist()
    items = [Item(length=length, group=group, number=number) for number, (length, group) in enumerate(kinds)]
    batches = drained(window_of(*items))
    assert sorted(item.number for batch in batches for item in batch) == list(range(1500))
    assert {len({item.group for item in batch}) for batch in batches} == {1}


def test_no_entry_waits_behind_two_batches_that_began_with_younger_ones() -> None:
    lengths = np.random.default_rng(7).integers(1, 81, size=600).tolist()
    items = [Item(length=length, number=number) for number, length in enumerate(lengths)]
    firsts = [min(item.number for item in batch) for batch in drained(window_of(*items))]
    assert firsts == sorted(firsts)


def test_padding_is_little_where_order_of_arrival_would_double_the_work() -> None:
    lengths = np.random.default_rng(3).lognormal(3.8, 0.8, size=512).clip(3, 256).round().astype(int).tolist()
    window = window_of(*[Item(length=length) for length in lengths], max_batch_tokens=1024, run_cost_tokens=16)
    sorted_tokens = sum(max(item.length for item in batch) * len(batch) for batch in drained(window))
    arrival_tokens = sum(max(lengths[at : at + 16]) * 16 for at in range(0, 512, 16))
    assert (sorted_tokens / sum(lengths) < 1.06, arrival_tokens / sum(lengths) > 1.8) == (True, True)


def test_those_that_nobody_waits_for_are_dropped() -> None:
    window = window_of(Item(length=5, gone=True), Item(length=5), Item(length=5, gone=True))
    assert (drained(window), len(window)) == ([[Item(length=5)]], 0)


def test_nothing_is_taken_where_all_are_gone() -> None:
    assert window_of(*[Item(length=5, gone=True)] * 700).take() == []


def test_what_comes_later_shares_a_batch_with_what_waits() -> None:
    window = window_of(Item(length=5, number=1))
    window.add([Item(length=6, number=2)])
    assert [item.number for item in window.take()] == [1, 2]
