import numpy as np
import pytest

from runtime import agreement

RANDOM = np.random.default_rng(3)
SCORES = RANDOM.normal(size=(4, 30)).astype(np.float32)
TOLERANCE = 1e-6


def test_cosines_are_those_of_each_row_whatever_its_length() -> None:
    ours, theirs = np.array([[1, 0], [3, 4], [0, 0]], np.float32), np.array([[5, 0], [4, -3], [0, 0]], np.float32)
    np.testing.assert_allclose(agreement.cosines(ours, theirs), [1, 0, 1], atol=TOLERANCE)


def test_the_same_rankings_agree_wholly_and_the_opposite_ones_not_at_all() -> None:
    assert agreement.top_overlap(SCORES, 2 * SCORES + 1) == 1
    assert agreement.top_overlap(SCORES, -SCORES) == 0
    assert agreement.kendall_tau(SCORES, 2 * SCORES + 1) == pytest.approx(1)
    assert agreement.kendall_tau(SCORES, -SCORES) == pytest.approx(-1)


def test_the_overlap_is_the_share_of_the_best_that_both_have() -> None:
    ours = np.array([[5, 4, 3, 2, 1]], np.float32)
    theirs = np.array([[5, 1, 4, 2, 3]], np.float32)
    assert agreement.top_overlap(ours, theirs, top=2) == 0.5


def test_tau_counts_pairs_of_either_order_and_leaves_out_equal_ones() -> None:
    ours, theirs = np.array([[1, 2, 3]], np.float32), np.array([[1, 3, 2]], np.float32)
    assert agreement.kendall_tau(ours, theirs) == pytest.approx(1 / 3)
    tied = np.array([[1, 1, 2]], np.float32)
    assert agreement.kendall_tau(tied, tied) == pytest.approx(1)


@pytest.mark.parametrize(("other", "tau"), [([[7, 7]], 1.0), ([[1, 2]], 0.0)])
def test_without_any_order_only_none_agrees(other: list[list[float]], tau: float) -> None:
    assert agreement.kendall_tau(np.zeros((1, 2), np.float32), np.array(other, np.float32)) == tau


def test_centred_scores_differ_as_the_scores_do() -> None:
    centred = agreement.centred(SCORES)
    np.testing.assert_allclose(centred.mean(axis=1), 0, atol=TOLERANCE)
    np.testing.assert_allclose(centred - SCORES, np.repeat(-SCORES.mean(axis=1)[:, None], 30, axis=1), atol=TOLERANCE)
