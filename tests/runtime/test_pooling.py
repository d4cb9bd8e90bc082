import numpy as np
import pytest

from runtime.bundle import Pooling
from runtime.pooling import cut, pool, unit

RANDOM = np.random.default_rng(7)
STATES = RANDOM.normal(size=(4, 6, 5)).astype(np.float32)
LENGTHS = [6, 1, 3, 4]
MASK = np.array([[1] * length + [0] * (6 - length) for length in LENGTHS], dtype=np.int64)
TOLERANCE = 1e-6


def test_mean_is_the_average_of_the_attended_states() -> None:
    reference = [STATES[row, :length].astype(np.float64).mean(axis=0) for row, length in enumerate(LENGTHS)]
    np.testing.assert_allclose(pool(STATES, attention_mask=MASK, pooling="mean"), reference, atol=TOLERANCE)


def test_cls_is_the_first_attended_state_whichever_side_is_padded() -> None:
    padded_left = MASK[:, ::-1]
    reference = [STATES[row, 6 - length] for row, length in enumerate(LENGTHS)]
    np.testing.assert_array_equal(pool(STATES, attention_mask=padded_left, pooling="cls"), reference)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_what_stands_in_the_padding_changes_nothing(pooling: Pooling) -> None:
    disturbed = np.where(MASK[:, :, None] == 1, STATES, np.float32(1e6))
    np.testing.assert_array_equal(
        pool(disturbed, attention_mask=MASK, pooling=pooling), pool(STATES, attention_mask=MASK, pooling=pooling)
    )


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_permuting_a_batch_permutes_the_rows(pooling: Pooling) -> None:
    order = [2, 0, 3, 1]
    permuted = pool(STATES[order], attention_mask=MASK[order], pooling=pooling)
    np.testing.assert_array_equal(permuted, pool(STATES, attention_mask=MASK, pooling=pooling)[order])


def test_a_text_without_tokens_averages_to_zeros() -> None:
    nothing = np.zeros_like(MASK)
    np.testing.assert_array_equal(pool(STATES, attention_mask=nothing, pooling="mean"), np.zeros((4, 5)))


def test_unit_rows_have_a_length_of_one() -> None:
    vectors = STATES[:, 0]
    reference = vectors.astype(np.float64) / np.sqrt((vectors.astype(np.float64) ** 2).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(unit(vectors), reference, atol=TOLERANCE)


def test_a_zero_vector_stays_zero() -> None:
    np.testing.assert_array_equal(unit(np.zeros((1, 3), dtype=np.float32)), np.zeros((1, 3)))


def test_a_cut_is_normalised_again() -> None:
    vectors = STATES[:, 0]
    np.testing.assert_array_equal(cut(unit(vectors), dimensions=3, normalize=True), unit(unit(vectors)[:, :3]))


def test_a_cut_of_an_embedding_that_is_not_normalised_is_only_cut() -> None:
    np.testing.assert_array_equal(cut(STATES[:, 0], dimensions=3, normalize=False), STATES[:, 0, :3])


def test_numbers_stay_float32() -> None:
    vectors = pool(STATES, attention_mask=MASK, pooling="mean")
    assert {vectors.dtype, unit(vectors).dtype} == {np.dtype(np.float32)}
