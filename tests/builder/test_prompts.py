from typing import Any

import pytest
from onnx import TensorProto

from builder.errors import InputError
from builder.recipe import Recipe
from tests.builder.decisions import BERT, embedding, reranker
from tests.builder.layouts import Inputs
from tests.support.memory_repository import graph

TOKENS: dict[str, list[int | str]] = {"text_embeds": ["batch", "sequence", 384]}
INPUTS: Inputs = {"input_ids": TensorProto.INT64, "task_id": (TensorProto.INT64, ())}
TASKS = {"lora_adaptations": ["query", "passage"], "task_instructions": {"query": "Ask: ", "passage": "Tell: "}}


def adapted(config: dict[str, Any] | None = None, files: dict[str, Any] | None = None, **keys: Any) -> Recipe:
    listed = {
        "model.onnx": graph(TOKENS, inputs=INPUTS),
        "config.json": {**BERT, **(TASKS if config is None else config)},
        **(files or {}),
    }
    return embedding(TOKENS, listed, **{"pooling": "mean", "normalize": True, "default_prompt": "passage", **keys})


def refusal(*given: Any, **keys: Any) -> tuple[str, str | None]:
    with pytest.raises(InputError) as caught:
        adapted(*given, **keys)
    return caught.value.message, caught.value.hint


def test_a_name_chooses_a_prompt_and_an_adapter() -> None:
    recipe = adapted()
    assert (recipe.adapters, recipe.prompts) == ({"query": 0, "passage": 1}, {"query": "Ask: ", "passage": "Tell: "})
    assert recipe.default_prompt == "passage"


def test_an_adapter_without_a_prompt_has_an_empty_one() -> None:
    recipe = adapted(prompts={"query": "Q: "})
    assert (recipe.adapters, recipe.prompts) == ({"query": 0, "passage": 1}, {"query": "Q: ", "passage": ""})


def test_prompts_of_sentence_transformers_come_before_those_of_the_config() -> None:
    files = {"config_sentence_transformers.json": {"prompts": {"query": "S: "}, "default_prompt_name": "query"}}
    recipe = adapted(files=files, default_prompt=None)
    assert (recipe.prompts, recipe.default_prompt) == ({"query": "S: ", "passage": ""}, "query")


def test_the_manifest_can_number_the_adapters() -> None:
    recipe = adapted({}, adapters={"passage": 4})
    assert (recipe.adapters, recipe.prompts) == ({"passage": 4}, {"passage": ""})


def test_adapters_that_nobody_names_are_not_guessed() -> None:
    assert refusal({}) == (
        "neither the manifest nor `example/model` says which adapters its graph has",
        "set `models.m.adapters` to their numbers by name",
    )


def test_a_request_that_names_nothing_has_to_mean_one_adapter() -> None:
    assert refusal(default_prompt=None) == (
        "neither the manifest nor `example/model` says which adapter is the default",
        "set `models.m.default_prompt` to one of: query, passage",
    )


def test_a_prompt_without_an_adapter_is_refused() -> None:
    assert refusal(prompts={"cluster": "C: "}) == (
        "the prompt `cluster` of `m` has no adapter",
        "set `models.m.prompts` for some of: query, passage",
    )


def test_adapters_of_the_manifest_want_a_graph_that_takes_one() -> None:
    with pytest.raises(InputError) as caught:
        embedding({"sentence_embedding": ["batch", 8]}, adapters={"query": 0})
    message = "`models.m.adapters` means nothing to `model.onnx`, which takes no `task_id`"
    assert caught.value.message == message


def test_adapters_are_an_embedding_s() -> None:
    outputs: dict[str, list[int | str]] = {"logits": ["batch", 1]}
    with pytest.raises(InputError) as caught:
        reranker(TASKS, {"model.onnx": graph(outputs, inputs=INPUTS)})
    message = "`model.onnx` wants the input `task_id`, which is not supported for the task `reranker`"
    assert caught.value.message == message


def test_adapters_of_a_config_are_nothing_to_a_graph_that_takes_none() -> None:
    recipe = embedding({"sentence_embedding": ["batch", 8]}, {"config.json": {**BERT, **TASKS}})
    assert (recipe.adapters, recipe.prompts) == ({}, {})
