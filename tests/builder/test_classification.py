from typing import Any

import pytest

from builder.errors import InputError
from tests.builder.decisions import classifier
from tests.support.memory_repository import graph

NLI = {"id2label": {"0": "contradiction", "1": "entailment", "2": "neutral"}}
NAMES = ("contradiction", "entailment", "neutral")
IDENTITY = "torch.nn.modules.linear.Identity"
SIGMOID = "torch.nn.modules.activation.Sigmoid"


def logits(*sizes: int | str) -> dict[str, Any]:
    return {"model.onnx": graph({"logits": ["batch", *sizes]})}


def refusal(config: dict[str, Any], files: dict[str, Any] | None = None) -> InputError:
    with pytest.raises(InputError) as caught:
        classifier(config, files)
    return caught.value


@pytest.mark.parametrize(
    ("config", "size", "labels"),
    [
        (NLI, "labels", NAMES),
        (NLI, 3, NAMES),
        ({**NLI, "num_labels": 3}, "labels", NAMES),
        ({}, 2, ("LABEL_0", "LABEL_1")),
        ({"num_labels": 2}, "labels", ("LABEL_0", "LABEL_1")),
        ({"id2label": {"1": "toxic", "0": "fine"}}, 2, ("fine", "toxic")),
        ({"id2label": {"0": "quality"}}, 1, ("quality",)),
    ],
)
def test_labels_are_named_in_the_order_of_the_scores(
    config: dict[str, Any], size: int | str, labels: tuple[str, ...]
) -> None:
    assert classifier(config, logits(size)).labels == labels


@pytest.mark.parametrize(
    ("config", "settings", "activation"),
    [
        (NLI, {}, "softmax"),
        ({"num_labels": 1}, {}, "sigmoid"),
        ({**NLI, "problem_type": "single_label_classification"}, {}, "softmax"),
        ({**NLI, "problem_type": "multi_label_classification"}, {}, "sigmoid"),
        ({**NLI, "problem_type": "regression"}, {}, "identity"),
        # what CrossEncoder saves with every model of several labels
        ({**NLI, "sentence_transformers": {"activation_fn": IDENTITY}}, {}, "softmax"),
        ({**NLI, "problem_type": "multi_label_classification"}, {"activation_fn": IDENTITY}, "sigmoid"),
        ({**NLI, "sentence_transformers": {"activation_fn": SIGMOID}}, {}, "sigmoid"),
        ({"num_labels": 1}, {"activation_fn": IDENTITY}, "identity"),
        ({**NLI, "problem_type": None}, {"activation_fn": "torch.nn.modules.activation.Softmax"}, "softmax"),
    ],
)
def test_the_activation_is_what_the_repository_says_or_what_fits_the_labels(
    config: dict[str, Any], settings: dict[str, Any], activation: str
) -> None:
    assert classifier(config, {"config_sentence_transformers.json": settings}).activation == activation


def test_the_manifest_s_activation_wins() -> None:
    assert classifier({**NLI, "problem_type": "multi_label_classification"}, activation="identity").activation == (
        "identity"
    )


def test_names_and_scores_have_to_be_as_many() -> None:
    error = refusal(NLI, logits(2))
    assert error.message == "`model.onnx` of `example/model` gives 2 scores, and `config.json` names 3"
    assert error.hint == "correct `id2label` in the repository's config.json"


@pytest.mark.parametrize("names", [{"1": "a", "2": "b"}, {"zero": "a", "one": "b"}])
def test_names_that_are_not_numbered_from_zero_are_refused(names: dict[str, str]) -> None:
    message = "`id2label` of `example/model`'s config.json does not number labels from 0"
    assert refusal({"id2label": names}).message == message


def test_scores_for_every_token_are_no_classifier_s() -> None:
    assert refusal(NLI, logits("sequence", 9)).message == (
        "the output `logits` of `example/model` is not one row of scores a text, but ['batch', 'sequence', 9]"
    )


def test_an_activation_that_is_not_known_names_the_key() -> None:
    error = refusal({**NLI, "sentence_transformers": {"activation_fn": "custom.Sparsemax"}})
    assert error.message == "`example/model` wants the activation `custom.Sparsemax`, which is not supported yet"
    assert error.hint == "set `models.m.activation` to one of: sigmoid, identity, softmax"


def test_a_classifier_may_have_prompts() -> None:
    recipe = classifier(NLI, prompts={"review": "Review: "}, default_prompt="review")
    assert (recipe.prompts, recipe.default_prompt) == ({"review": "Review: "}, "review")
