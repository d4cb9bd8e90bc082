from typing import Any

import msgspec
import numpy as np
import pytest

from runtime.bundle import Model
from runtime.classifier import Classifier
from runtime.errors import InvalidError, ModelError
from runtime.inference import classify
from tests.runtime import tiny
from tests.runtime.conftest import Folders

TOLERANCE = 1e-5
PAIRS = [("Where does the cat sit?", "The cat sits."), ("rates", "Interest rates rose."), ("cat", "")]
TEMPLATE = "search: {query} query: {document}"


def classifier(folders: Folders, **changes: Any) -> Classifier:
    entry = tiny.reranker_entry(folders.reranker, **{"task": "classifier", **changes})
    return Classifier(msgspec.convert(entry, Model), threads=1)


def test_pairs_are_scored_in_their_order(folders: Folders) -> None:
    classes = classify(classifier(folders), PAIRS, raw_scores=True)
    np.testing.assert_allclose(classes.scores, [[tiny.logit(*pair)] for pair in PAIRS], atol=TOLERANCE)


def test_tokens_are_counted_after_the_cut(folders: Folders) -> None:
    classes = classify(classifier(folders), [("cat", "sits"), ("cat", "rates " * 100)])
    assert (classes.tokens, classes.truncated, classes.labels) == (5 + 32, 1, ("LABEL_0",))


def test_a_prompt_stands_before_the_first_text(folders: Folders) -> None:
    prompted = classifier(folders, prompts={"query": "search query: "}, default_prompt="query")
    classes = classify(prompted, [("cat", "sits")], raw_scores=True)
    np.testing.assert_allclose(classes.scores, [[tiny.logit("search query: cat", "sits")]], atol=TOLERANCE)


def test_a_prompt_stands_before_a_text_alone(folders: Folders) -> None:
    prompted = classifier(folders, prompts={"query": "search query: "})
    (entry,) = prompted.entries(["cat"], prompt_name="query")
    assert entry.ids == (tiny.CLS, *tiny.ids_of("search query: cat"), tiny.SEP)


def test_a_model_with_a_template_takes_no_text_alone(folders: Folders) -> None:
    with pytest.raises(InvalidError) as caught:
        classifier(folders, template=TEMPLATE).entries([("cat", "sits"), "cat"])
    assert (caught.value.message, caught.value.param) == (
        "this model takes pairs of texts, and not a text alone",
        "inputs",
    )


def test_a_template_that_leaves_no_room_fails_the_load(folders: Folders) -> None:
    prompts = {"short": "cat", "long": "cat " * 27}
    with pytest.raises(ModelError) as caught:
        classifier(folders, template=f"{{prompt}} {TEMPLATE}", prompts=prompts, default_prompt="short")
    assert str(caught.value) == (
        "model `ranker`: its template and prompt leave `1` of `32` tokens for a query and a document"
    )


@pytest.mark.parametrize("changes", [{"labels": ["a", "b"]}, {"answer_tokens": [1]}])
def test_an_output_that_has_other_labels_is_refused(folders: Folders, changes: dict[str, Any]) -> None:
    model = classifier(folders, **{"labels": ["a", "b"], **changes})
    with pytest.raises(ModelError) as caught:
        classify(model, [("cat", "sits")])
    assert str(caught.value) == (
        "model `ranker`: output `logits` has shape `[1, 1]` for `1` text(s), and the bundle says `2` label(s)"
    )
