import numpy as np
import pytest

from runtime.scoring import activate, rank

LOGITS = np.array([-90, -3.5, -0.25, 0, 0.25, 3.5, 90], dtype=np.float32)
TOLERANCE = 1e-7


def test_sigmoid_equals_its_definition() -> None:
    reference = 1 / (1 + np.exp(-LOGITS.astype(np.float64)))
    scores = activate(LOGITS, activation="sigmoid")
    np.testing.assert_allclose(scores, reference, atol=TOLERANCE)
    assert scores.dtype == np.float32


@pytest.mark.parametrize(("logit", "score"), [(-1e30, 0.0), (1e30, 1.0)])
def test_sigmoid_does_not_overflow(logit: float, score: float) -> None:
    assert activate(np.array([logit], dtype=np.float32), activation="sigmoid").tolist() == [score]


def test_identity_leaves_logits_alone() -> None:
    assert activate(LOGITS, activation="identity").tolist() == LOGITS.tolist()


def test_the_best_comes_first_and_equal_scores_keep_their_order() -> None:
    assert rank(np.array([1, 3, 1, 3, 2], dtype=np.float32), top_n=None) == [1, 3, 4, 0, 2]


@pytest.mark.parametrize(("top_n", "kept"), [(1, [1]), (2, [1, 2]), (9, [1, 2, 0])])
def test_only_the_top_is_kept(top_n: int, kept: list[int]) -> None:
    assert rank(np.array([1, 3, 2], dtype=np.float32), top_n=top_n) == kept
