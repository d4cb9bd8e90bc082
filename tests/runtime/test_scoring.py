from typing import Any

import numpy as np
import pytest

from runtime.scoring import activate, answer, best, last_tokens, rank

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


def test_softmax_equals_its_definition_for_each_row() -> None:
    rows = np.array([LOGITS[1:6], LOGITS[5:0:-1]])
    powers = np.exp(rows.astype(np.float64))
    scores = activate(rows, activation="softmax")
    np.testing.assert_allclose(scores, powers / powers.sum(axis=1, keepdims=True), atol=TOLERANCE)
    assert scores.dtype == np.float32


def test_softmax_does_not_overflow() -> None:
    assert activate(np.array([[-1e30, 1e30]], dtype=np.float32), activation="softmax").tolist() == [[0.0, 1.0]]


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_the_last_token_that_is_attended_is_picked_whichever_side_is_padded(dtype: Any) -> None:
    logits = np.arange(24).reshape(3, 4, 2).astype(dtype)
    mask = np.array([[1, 1, 1, 1], [1, 1, 0, 0], [0, 0, 1, 1]])
    picked = last_tokens(logits, attention_mask=mask)
    assert (picked.tolist(), picked.dtype.name) == ([[6, 7], [10, 11], [22, 23]], "float32")


@pytest.mark.parametrize(("tokens", "scores"), [((1,), [[2], [5]]), ((1, 0), [[1], [2]]), ((2, 1), [[2], [-1]])])
def test_an_answer_is_the_first_token_s_logit_less_the_second_s(
    tokens: tuple[int, ...], scores: list[list[float]]
) -> None:
    logits = np.array([[1, 2, 4], [3, 5, 4]], dtype=np.float32)
    assert answer(logits, tokens=tokens).tolist() == scores


def test_of_several_scores_the_best_counts() -> None:
    scores = np.array([-5, -2, 3, -7, -1], dtype=np.float32)
    assert best(scores, owners=[0, 0, 2, 1, 2]).tolist() == [-2, -7, 3]


def test_the_best_comes_first_and_equal_scores_keep_their_order() -> None:
    assert rank(np.array([1, 3, 1, 3, 2], dtype=np.float32), top_n=None) == [1, 3, 4, 0, 2]


@pytest.mark.parametrize(("top_n", "kept"), [(1, [1]), (2, [1, 2]), (9, [1, 2, 0])])
def test_only_the_top_is_kept(top_n: int, kept: list[int]) -> None:
    assert rank(np.array([1, 3, 2], dtype=np.float32), top_n=top_n) == kept
