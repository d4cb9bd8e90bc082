import math
from collections.abc import Sequence

import pytest

from builder import smoke
from builder.smoke import FailedCheckError

GOOD = ([1.0, 0.0], [0.8, 0.6], [0.0, 1.0])


def refused_embeddings(vectors: Sequence[Sequence[float]], *, is_normalized: bool = True) -> str:
    with pytest.raises(FailedCheckError) as caught:
        smoke.judge_embeddings(vectors, dimension=2, is_normalized=is_normalized)
    return str(caught.value)


def refused_ranking(results: Sequence[tuple[int, float]]) -> str:
    with pytest.raises(FailedCheckError) as caught:
        smoke.judge_ranking(results)
    return str(caught.value)


def test_vectors_that_tell_a_paraphrase_from_another_subject_pass() -> None:
    assert smoke.judge_embeddings(GOOD, dimension=2, is_normalized=True) == (
        "2 dimensions, cosine 0.800 to a paraphrase, 0.000 to an unrelated sentence"
    )


def test_vectors_of_another_width_fail() -> None:
    assert refused_embeddings([[1.0], [1.0], [1.0]]) == "vectors of width [1], not 2"


def test_vectors_without_unit_length_fail_where_the_recipe_normalises() -> None:
    long = [[2.0, 0.0], [1.6, 1.2], [0.0, 2.0]]
    assert refused_embeddings(long) == "norms [2.0, 2.0, 2.0], not 1"
    assert smoke.judge_embeddings(long, dimension=2, is_normalized=False).startswith("2 dimensions")


def test_vectors_that_prefer_the_unrelated_sentence_fail() -> None:
    assert refused_embeddings([GOOD[0], GOOD[2], GOOD[1]]) == (
        "a paraphrase has cosine 0.0000, an unrelated sentence 0.8000"
    )


def test_a_vector_of_zeros_fails() -> None:
    assert refused_embeddings([[0.0, 0.0], GOOD[1], GOOD[2]], is_normalized=False) == "a vector of zeros"


def test_vectors_that_are_all_the_same_fail() -> None:
    assert refused_embeddings([GOOD[0]] * 3) == "a paraphrase has cosine 1.0000, an unrelated sentence 1.0000"


def test_vectors_that_are_no_numbers_fail() -> None:
    assert "nan" in refused_embeddings([[math.nan, 0.0]] * 3)


def test_a_ranking_with_the_answer_first_passes() -> None:
    assert smoke.judge_ranking([(1, 0.9), (0, 0.1)]) == "the answer scores 0.900, an unrelated document 0.100"


@pytest.mark.parametrize(
    ("results", "reason"),
    [
        ([(0, 0.9), (1, 0.1)], "the answer scores 0.1000, an unrelated document 0.9000"),
        ([(1, 0.5), (0, 0.5)], "the answer scores 0.5000, an unrelated document 0.5000"),
        ([(0, 0.1), (1, 0.9)], "the answer scores 0.9000, an unrelated document 0.1000"),
        ([(1, math.nan), (0, 0.1)], "the answer scores nan, an unrelated document 0.1000"),
        ([(1, 0.9)], "scores for documents [1], not 0 and 1"),
    ],
)
def test_any_other_ranking_fails(results: list[tuple[int, float]], reason: str) -> None:
    assert refused_ranking(results) == reason


def test_scores_of_every_label_pass() -> None:
    scores = [{"fine": 0.25, "toxic": 0.75}, {"toxic": 0.5, "fine": 0.5}]
    assert smoke.judge_classes(scores, labels=["fine", "toxic"]) == "2 labels, `toxic` first with 0.750"


@pytest.mark.parametrize(
    ("scores", "reason"),
    [
        ([{"fine": 0.5}, {"fine": 0.25}], "scores for fine, not fine, toxic"),
        ([{"fine": 0.5, "toxic": 0.5}] * 2, "two sentences of different subjects get the same scores"),
    ],
)
def test_any_other_scores_fail(scores: list[dict[str, float]], reason: str) -> None:
    with pytest.raises(FailedCheckError) as caught:
        smoke.judge_classes(scores, labels=["fine", "toxic"])
    assert str(caught.value) == reason
