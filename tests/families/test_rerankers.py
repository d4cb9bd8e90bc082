from pathlib import Path

import numpy as np
import pytest

from runtime.inference import classify, rerank
from runtime.reranker import Reranker
from tests.families.rerankers import RERANKERS, Family
from tests.families.serving import served

QUERY = "Where does the cat sit on the windowsill?"
DOCUMENTS = [
    "The cat sits on the warm windowsill.",
    "rates",
    "Interest rates rose by a quarter point on Tuesday. " * 2,
    "A cat is sitting on a sunny windowsill. Where is the cat?",
]
EACH = pytest.mark.parametrize("family", RERANKERS, ids=[family.name for family in RERANKERS])


def reranker(folder: Path, family: Family) -> Reranker:
    family.write(folder / "model")
    loaded = served(folder / "model", {"task": "reranker", **family.keys})
    assert isinstance(loaded, Reranker)
    return loaded


@EACH
@pytest.mark.parametrize("max_batch_tokens", [1, 4096], ids=["alone", "together"])
def test_a_family_scores_as_its_definition_says(tmp_path: Path, family: Family, max_batch_tokens: int) -> None:
    ranking = rerank(reranker(tmp_path, family), QUERY, DOCUMENTS, raw_scores=True, max_batch_tokens=max_batch_tokens)
    logits = [family.answer(QUERY, document) for document in DOCUMENTS]
    assert ranking.positions == sorted(range(len(DOCUMENTS)), key=lambda at: -logits[at])
    np.testing.assert_allclose(ranking.scores, sorted(logits, reverse=True), atol=family.tolerance)


@EACH
def test_a_family_makes_scores_of_its_logits(tmp_path: Path, family: Family) -> None:
    ranking = rerank(reranker(tmp_path, family), QUERY, DOCUMENTS)
    expected = [family.score(family.answer(QUERY, DOCUMENTS[at])) for at in ranking.positions]
    np.testing.assert_allclose(ranking.scores, expected, atol=family.tolerance)


@EACH
def test_a_reranker_classifies_a_pair_by_its_one_label(tmp_path: Path, family: Family) -> None:
    document = DOCUMENTS[1]
    classes = classify(reranker(tmp_path, family).classifier, [(QUERY, document)])
    np.testing.assert_allclose(classes.scores, [[family.score(family.answer(QUERY, document))]], atol=family.tolerance)
    assert classes.labels == ("LABEL_0",)
