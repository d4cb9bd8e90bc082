from typing import Any

import pytest

from builder.errors import InputError
from tests.builder.decisions import BERT, reranker
from tests.support.memory_repository import graph

CLASSIFIER = {**BERT, "num_labels": 1}


@pytest.mark.parametrize(
    ("config", "settings", "activation"),
    [
        (CLASSIFIER, {}, "sigmoid"),
        (CLASSIFIER, {"activation_fn": "torch.nn.modules.linear.Identity"}, "identity"),
        (
            {**CLASSIFIER, "sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity"}},
            {"activation_fn": "torch.nn.modules.activation.Sigmoid"},
            "sigmoid",
        ),
        (
            {
                **CLASSIFIER,
                "sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity"},
                "sbert_ce_default_activation_function": "torch.nn.modules.activation.Sigmoid",
            },
            {},
            "identity",
        ),
        (
            {**CLASSIFIER, "sbert_ce_default_activation_function": "torch.nn.modules.linear.Identity"},
            {},
            "identity",
        ),
    ],
)
def test_the_activation_is_the_one_that_a_cross_encoder_would_use(
    config: dict[str, Any], settings: dict[str, Any], activation: str
) -> None:
    assert reranker(config, {"config_sentence_transformers.json": settings}).activation == activation


def test_the_manifests_activation_wins_over_one_that_is_not_supported() -> None:
    config = {**CLASSIFIER, "sbert_ce_default_activation_function": "custom.Activation"}
    assert reranker(config, activation="identity").activation == "identity"


@pytest.mark.parametrize("stated", ["torch.nn.modules.activation.Tanh", "custom.Sigmoid", "Sigmoid"])
def test_another_activation_names_the_key(stated: str) -> None:
    with pytest.raises(InputError) as caught:
        reranker({**CLASSIFIER, "sbert_ce_default_activation_function": stated})

    assert caught.value.message == f"`example/model` wants the activation `{stated}`, which is not supported yet"
    assert caught.value.hint == "set `models.m.activation` to one of: sigmoid, identity"


def test_labels_are_counted_by_their_names_too() -> None:
    assert reranker({"id2label": {"0": "LABEL_0"}}).output == "logits"


def test_a_classifier_of_several_labels_is_no_reranker_yet() -> None:
    with pytest.raises(InputError) as caught:
        reranker({"num_labels": 3})

    message = "`example/model` gives 3 scores for a pair; rerankers with one score are supported so far"
    assert caught.value.message == message


def test_a_reranker_with_a_default_prompt_is_not_served_without_it() -> None:
    settings = {"model_type": "CrossEncoder", "prompts": {"web": "Web: "}, "default_prompt_name": "web"}
    with pytest.raises(InputError) as caught:
        reranker(CLASSIFIER, {"config_sentence_transformers.json": settings})

    message = "`example/model` puts the prompt `web` before every pair, which is not supported yet"
    assert caught.value.message == message


def test_labels_that_nobody_counts_are_not_guessed() -> None:
    with pytest.raises(InputError) as caught:
        reranker({})

    message = "neither the graph nor `config.json` of `example/model` says how many scores a pair has"
    assert caught.value.message == message


def test_scores_for_every_token_are_not_supported_yet() -> None:
    with pytest.raises(InputError) as caught:
        reranker(CLASSIFIER, {"model.onnx": graph({"logits": ["batch", "sequence", 32000]})})

    message = "the output `logits` of `example/model` is not one row of scores a pair, which is not supported yet"
    assert caught.value.message == message
