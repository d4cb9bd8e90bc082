from typing import get_args

import numpy as np
import pytest
from numpy.typing import NDArray

from runtime.bundle import PoolingMode
from runtime.pooling import cut, pool, unit
from tests.runtime import reference

MODES: tuple[PoolingMode, ...] = get_args(PoolingMode)
RANDOM = np.random.default_rng(7)
STATES = RANDOM.normal(size=(4, 6, 5)).astype(np.float32)
LENGTHS = [6, 1, 3, 4]
SKIPPED = np.array([2, 0, 1, 3])
RIGHT = np.array([[1] * length + [0] * (6 - length) for length in LENGTHS], dtype=np.int64)
LEFT = RIGHT[:, ::-1]
TOLERANCE = 1e-6

each_mode = pytest.mark.parametrize("mode", MODES)
each_side = pytest.mark.parametrize("mask", [RIGHT, LEFT], ids=["padded right", "padded left"])


@each_mode
@each_side
def test_a_mode_equals_an_independent_computation(mode: PoolingMode, mask: NDArray[np.int64]) -> None:
    expected = [reference.pooled(states[row == 1], [mode]) for states, row in zip(STATES, mask, strict=True)]
    np.testing.assert_allclose(pool(STATES, attention_mask=mask, modes=[mode]), expected, atol=TOLERANCE)


@each_mode
@each_side
def test_a_prompt_s_tokens_can_be_left_out(mode: PoolingMode, mask: NDArray[np.int64]) -> None:
    expected = [
        reference.pooled(states[row == 1], [mode], skipped=int(skipped))
        for states, row, skipped in zip(STATES, mask, SKIPPED, strict=True)
    ]
    pooled = pool(STATES, attention_mask=mask, modes=[mode], skipped=SKIPPED)
    np.testing.assert_allclose(pooled, expected, atol=TOLERANCE)


@each_side
def test_several_modes_are_concatenated_in_their_order(mask: NDArray[np.int64]) -> None:
    modes: list[PoolingMode] = ["lasttoken", "mean", "cls", "max"]
    expected = [reference.pooled(states[row == 1], modes) for states, row in zip(STATES, mask, strict=True)]
    np.testing.assert_allclose(pool(STATES, attention_mask=mask, modes=modes), expected, atol=TOLERANCE)


@each_mode
@each_side
def test_what_stands_in_the_padding_changes_nothing(mode: PoolingMode, mask: NDArray[np.int64]) -> None:
    disturbed = np.where(mask[:, :, None] == 1, STATES, np.float32(1e6))
    np.testing.assert_array_equal(
        pool(disturbed, attention_mask=mask, modes=[mode]), pool(STATES, attention_mask=mask, modes=[mode])
    )


@each_mode
def test_permuting_a_batch_permutes_the_rows(mode: PoolingMode) -> None:
    order = [2, 0, 3, 1]
    permuted = pool(STATES[order], attention_mask=RIGHT[order], modes=[mode], skipped=SKIPPED[order])
    expected = pool(STATES, attention_mask=RIGHT, modes=[mode], skipped=SKIPPED)[order]
    np.testing.assert_array_equal(permuted, expected)


@each_mode
@each_side
def test_a_text_of_which_no_token_is_pooled_becomes_zeros(mode: PoolingMode, mask: NDArray[np.int64]) -> None:
    pooled = pool(STATES, attention_mask=mask, modes=[mode], skipped=np.array(LENGTHS))
    np.testing.assert_array_equal(pooled, np.zeros((4, 5)))


def test_unit_rows_have_a_length_of_one() -> None:
    vectors = STATES[:, 0]
    np.testing.assert_allclose(
        unit(vectors), [reference.unit(row.astype(np.float64)) for row in vectors], atol=TOLERANCE
    )


def test_a_zero_vector_stays_zero() -> None:
    np.testing.assert_array_equal(unit(np.zeros((1, 3), dtype=np.float32)), np.zeros((1, 3)))


def test_a_cut_is_normalised_again() -> None:
    vectors = STATES[:, 0]
    np.testing.assert_array_equal(cut(unit(vectors), dimensions=3, normalize=True), unit(unit(vectors)[:, :3]))


def test_a_cut_of_an_embedding_that_is_not_normalised_is_only_cut() -> None:
    np.testing.assert_array_equal(cut(STATES[:, 0], dimensions=3, normalize=False), STATES[:, 0, :3])


@each_mode
def test_numbers_stay_float32(mode: PoolingMode) -> None:
    vectors = pool(STATES, attention_mask=RIGHT, modes=[mode])
    assert {vectors.dtype, unit(vectors).dtype} == {np.dtype(np.float32)}
