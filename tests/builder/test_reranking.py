from typing import Any

import pytest

from builder.errors import InputError
from builder.reranking import Windows
from tests.builder.decisions import BERT, reranker

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


def test_a_softmax_of_one_score_is_refused() -> None:
    with pytest.raises(InputError) as caught:
        reranker(CLASSIFIER, activation="softmax")
    assert caught.value.message == "`softmax` of the one score that `example/model` gives is always 1"


@pytest.mark.parametrize(
    ("config", "labels"),
    [({"id2label": {"0": "relevance"}}, ("relevance",)), ({"num_labels": 1}, ("LABEL_0",))],
)
def test_the_one_score_is_named_as_the_config_names_it(config: dict[str, Any], labels: tuple[str, ...]) -> None:
    assert reranker(config).labels == labels


def test_several_scores_are_a_classifier_s() -> None:
    with pytest.raises(InputError) as caught:
        reranker({"num_labels": 3})

    assert caught.value.message == "`example/model` gives 3 scores for a pair, and a reranker has one"
    assert caught.value.hint == (
        "set `models.m.task` to `classifier`, or `models.m.true_token` to the label of relevance"
    )


def test_prompts_come_from_the_repository_as_an_embedding_s_do() -> None:
    settings = {"model_type": "CrossEncoder", "prompts": {"web": "Web: "}, "default_prompt_name": "web"}
    recipe = reranker(CLASSIFIER, {"config_sentence_transformers.json": settings})
    assert (recipe.prompts, recipe.default_prompt, recipe.template) == ({"web": "Web: "}, "web", None)


def test_labels_that_nobody_counts_are_not_guessed() -> None:
    with pytest.raises(InputError) as caught:
        reranker({})

    message = "neither the graph nor `config.json` of `example/model` says how many scores a text has"
    assert caught.value.message == message


def test_long_documents_are_cut_unless_the_manifest_says_otherwise() -> None:
    assert (reranker(CLASSIFIER).windows, reranker(CLASSIFIER, long_documents="truncate").windows) == (None, None)


@pytest.mark.parametrize(("max_length", "query_length"), [(2048, 512), (1024, 512), (512, 256)])
def test_a_window_leaves_half_of_its_length_to_the_document(max_length: int, query_length: int) -> None:
    config = {**CLASSIFIER, "max_position_embeddings": 2048}
    recipe = reranker(config, long_documents="windows", max_length=max_length)
    assert recipe.windows == Windows(query_length=query_length, overlap=80)
