from pathlib import Path

import numpy as np
import pytest

from runtime.classifier import Classifier, Input
from runtime.inference import classify
from tests.families.classifiers import CLASSIFIERS, Family, logits
from tests.families.serving import served

TOLERANCE = 1e-5
INPUTS: list[Input] = [
    "The cat sits on the warm windowsill.",
    ("A cat is sitting on a sunny windowsill.", "The cat sits."),
    "rates",
    ("rates", "Interest rates rose by a quarter point on Tuesday."),
]
EACH = pytest.mark.parametrize("family", CLASSIFIERS, ids=[family.name for family in CLASSIFIERS])


def classifier(folder: Path, family: Family) -> Classifier:
    family.write(folder / "model")
    loaded = served(folder / "model", {"task": "classifier", **family.keys})
    assert isinstance(loaded, Classifier)
    return loaded


@EACH
@pytest.mark.parametrize("max_batch_tokens", [1, 4096], ids=["alone", "together"])
def test_a_family_scores_texts_and_pairs_by_label(tmp_path: Path, family: Family, max_batch_tokens: int) -> None:
    classes = classify(classifier(tmp_path, family), INPUTS, max_batch_tokens=max_batch_tokens)
    np.testing.assert_allclose(classes.scores, [family.score(logits(given)) for given in INPUTS], atol=TOLERANCE)
    assert classes.labels == family.labels


@EACH
def test_raw_scores_are_logits(tmp_path: Path, family: Family) -> None:
    raw = classify(classifier(tmp_path, family), INPUTS, raw_scores=True).scores
    np.testing.assert_allclose(raw, [logits(given) for given in INPUTS], atol=TOLERANCE)
