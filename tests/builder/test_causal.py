from collections.abc import Mapping
from typing import Any

import pytest

from builder.errors import InputError
from builder.recipe import Recipe
from tests.builder.decisions import BERT, modules, reranker
from tests.support.memory_repository import graph

VOCABULARY = {"a": 0, "no": 1, "yes": 2}
LOGITS = {"model.onnx": graph({"logits": ["batch", "sequence", 4]})}
TOKENIZER = {"tokenizer.json": {"model": {"vocab": VOCABULARY}, "added_tokens": [{"id": 3, "content": "<yes>"}]}}
TEMPLATE = "Query: {query}\nDocument: {document}\n"
YES_OR_NO: dict[str, Any] = {"true_token": "yes", "false_token": "no"}
LOGIT_SCORE = "1_LogitScore/config.json"


def causal(files: Mapping[str, Any] | None = None, **keys: Any) -> Recipe:
    return reranker(BERT, {**LOGITS, **TOKENIZER, **(files or {})}, **{"template": TEMPLATE, **keys})


def saved(**config: Any) -> dict[str, Any]:
    """Write what sentence-transformers from 5.4 on saves beside a causal reranker."""
    return {"modules.json": modules("Transformer", "LogitScore"), LOGIT_SCORE: config}


def refusal(files: Mapping[str, Any] | None = None, **keys: Any) -> tuple[str, str | None]:
    with pytest.raises(InputError) as caught:
        causal(files, **keys)
    return caught.value.message, caught.value.hint


def test_the_answers_are_tokens_that_the_manifest_names() -> None:
    recipe = causal(**YES_OR_NO)
    assert (recipe.answer_tokens, recipe.labels, recipe.activation) == ((2, 1), ("LABEL_0",), "sigmoid")
    assert recipe.template == TEMPLATE


def test_one_answer_is_enough() -> None:
    assert causal(true_token="yes").answer_tokens == (2,)


def test_an_answer_can_be_an_added_token() -> None:
    assert causal(true_token="<yes>").answer_tokens == (3,)


def test_a_vocabulary_can_be_a_list_of_pieces_with_scores() -> None:
    pieces = [["<unk>", 0.0], ["no", -3.5], ["yes", -3.6]]
    assert causal({"tokenizer.json": {"model": {"vocab": pieces}}}, **YES_OR_NO).answer_tokens == (2, 1)


@pytest.mark.parametrize(
    ("config", "tokens"),
    [
        ({"true_token_id": 2, "false_token_id": 1}, (2, 1)),
        ({"true_token_id": 2, "false_token_id": None}, (2,)),
        ({"true_token_id": 2, "module_input_name": "causal_logits"}, (2,)),
    ],
)
def test_the_answers_are_those_that_sentence_transformers_saved(
    config: dict[str, Any], tokens: tuple[int, ...]
) -> None:
    assert causal(saved(**config)).answer_tokens == tokens


def test_the_manifest_s_answers_win() -> None:
    assert causal(saved(true_token_id=0, false_token_id=1), true_token="yes").answer_tokens == (2,)


def test_answers_that_nobody_names_are_not_guessed() -> None:
    assert refusal() == (
        "neither the manifest nor `example/model` says which token means that a document is relevant",
        "set `models.m.true_token` and `false_token` as the model's card says",
    )


def test_a_false_token_alone_is_refused() -> None:
    assert refusal(false_token="no") == (
        "neither the manifest nor `example/model` says which token means that a document is relevant",
        "set `models.m.true_token`",
    )


def test_an_answer_that_is_no_single_token_is_refused() -> None:
    assert refusal(true_token="yes!") == (
        "`models.m.true_token` is `yes!`, which is no token of `example/model`",
        "name one whole token of its tokenizer.json, in quotes",
    )


def test_a_token_that_the_graph_has_no_logit_for_is_refused() -> None:
    assert refusal(saved(true_token_id=4))[0] == "the output `logits` of `example/model` has no token 4"


def test_a_logit_score_without_a_token_is_refused() -> None:
    message = "`1_LogitScore/config.json` of `example/model` does not say `true_token_id`"
    assert refusal(saved(false_token_id=1))[0] == message


def test_a_layout_that_nobody_gives_is_not_guessed() -> None:
    assert refusal(**YES_OR_NO, template=None) == (
        "neither the manifest nor `example/model` says how a query and a document are put to it",
        "set `models.m.template` as the model's card says, with `{query}` and `{document}` where they belong",
    )


def test_a_prompt_has_its_place_in_the_template() -> None:
    prompts = {"web": "Answer the query."}
    recipe = causal(**YES_OR_NO, template=f"{{prompt}} {TEMPLATE}", prompts=prompts, default_prompt="web")
    assert (recipe.template, recipe.prompts, recipe.default_prompt) == (f"{{prompt}} {TEMPLATE}", prompts, "web")


def test_a_place_for_a_prompt_wants_one() -> None:
    assert refusal(**YES_OR_NO, template=f"{{prompt}} {TEMPLATE}") == (
        "neither the manifest nor `example/model` says what to put in place of `{prompt}`",
        "set `models.m.default_prompt` and `prompts`",
    )


def test_a_prompt_wants_a_place() -> None:
    assert refusal(**YES_OR_NO, prompts={"web": "Web"}, default_prompt="web") == (
        "`models.m.template` has no place for the prompt `web`",
        "put `{prompt}` into it, or remove the prompts",
    )


def test_texts_share_no_run_where_each_token_costs_a_row_of_logits() -> None:
    assert (causal(**YES_OR_NO).batching, causal(**YES_OR_NO, batching=True).batching) == (False, True)


def test_a_head_that_was_cut_to_its_answers_has_columns_of_them() -> None:
    files = {
        "model.onnx": graph({"logits": ["batch", 2]}),
        "config.json": {**BERT, "id2label": {"0": "no", "1": "yes"}},
    }
    recipe = causal(files, **YES_OR_NO)
    assert (recipe.answer_tokens, recipe.labels, recipe.batching) == ((1, 0), ("LABEL_0",), True)


def test_a_column_that_no_label_names_is_refused() -> None:
    assert refusal({"model.onnx": graph({"logits": ["batch", 2]})}, **YES_OR_NO) == (
        "`models.m.true_token` is `yes`, which is no label of `example/model`",
        "name one of `id2label` in its config.json",
    )


def test_an_answer_means_nothing_where_there_is_one_score() -> None:
    assert refusal({"model.onnx": graph({"logits": ["batch", 1]})}, **YES_OR_NO)[0] == (
        "`models.m.true_token` means nothing where `example/model` gives one score for a pair"
    )


def test_a_cross_encoder_may_have_a_template_too() -> None:
    recipe = causal({"model.onnx": graph({"logits": ["batch", 1]})})
    assert (recipe.template, recipe.answer_tokens) == (TEMPLATE, ())
