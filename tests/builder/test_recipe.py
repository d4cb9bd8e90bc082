from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from onnx import TensorProto

from builder import manifest
from builder.errors import InputError
from builder.folder import open_folder
from builder.hub import resolve
from builder.recipe import Recipe, decide
from tests.support.hub_server import HubServer
from tests.support.lookalikes import EMBEDDING_REPOSITORY, RERANKER_REPOSITORY, write_lookalikes
from tests.support.memory_repository import graph, manifest_model, repository

ROOT = Path(__file__).parents[2]
TOKENS: dict[str, list[int | str]] = {"last_hidden_state": ["batch", "sequence", 384]}
POOLED: dict[str, list[int | str]] = {
    "last_hidden_state": ["batch", "sequence", 768],
    "sentence_embedding": ["batch", 768],
}
BERT = {"hidden_size": 384, "max_position_embeddings": 512, "model_type": "bert", "pad_token_id": 0}
CLASSIFIER = {**BERT, "num_labels": 1}
MODULES = "sentence_transformers.models"


def modules(*names: str) -> list[dict[str, str]]:
    paths = ["", *(f"{number}_{name}" for number, name in enumerate(names[1:], start=1))]
    return [{"type": f"{MODULES}.{name}", "path": path} for name, path in zip(names, paths, strict=True)]


def embedding(outputs: Mapping[str, Any], files: Mapping[str, Any] | None = None, **keys: Any) -> Recipe:
    """Decide an embedding model with these graph outputs, further files, and keys of the manifest."""
    every = {"model.onnx": graph(outputs), "config.json": BERT, "tokenizer.json": {}, **(files or {})}
    return decide(manifest_model(task="embedding", **keys), repository(every))


def reranker(config: Mapping[str, Any], files: Mapping[str, Any] | None = None, **keys: Any) -> Recipe:
    """Decide a reranker with this config.json, further files, and keys of the manifest."""
    logits = graph({"logits": ["batch", "labels"]})
    every = {"model.onnx": logits, "config.json": {**BERT, **config}, "tokenizer.json": {}, **(files or {})}
    return decide(manifest_model(task="reranker", **keys), repository(every))


def refusal(outputs: Mapping[str, Any], files: Mapping[str, Any] | None = None, **keys: Any) -> tuple[str, str | None]:
    with pytest.raises(InputError) as caught:
        embedding(outputs, files, **keys)
    return caught.value.message, caught.value.hint


def test_the_default_manifest_is_decided_from_the_repositories_it_names(tmp_path: Path) -> None:
    write_lookalikes(tmp_path)
    models = manifest.load(ROOT / "models.yaml", environment={}).models
    with HubServer(tmp_path) as server:
        embedder, ranker = (
            decide(model, resolve(str(model.repo), revision=model.revision, endpoint=server.endpoint))
            for model in (models["embeddinggemma-300m"], models["jina-reranker-v2"])
        )

    configs = ("config.json", "generation_config.json")
    weights = ("onnx/model.onnx", "onnx/model.onnx_data")
    tokenizer = ("special_tokens_map.json", "tokenizer.json", "tokenizer_config.json")
    assert embedder == Recipe(
        task="embedding",
        graph="onnx/model.onnx",
        output="sentence_embedding",
        pooling=None,
        normalize=True,
        dimensions=(768, 512, 256, 128),
        prompts={"query": "task: search result | query: ", "document": "title: none | text: "},
        default_prompt=None,
        max_length=2048,
        pad_token_id=0,
        activation=None,
        files=("README.md", *configs, *weights, *tokenizer),
    )
    assert ranker == Recipe(
        task="reranker",
        graph="onnx/model.onnx",
        output="logits",
        pooling=None,
        normalize=False,
        dimensions=(),
        prompts={},
        default_prompt=None,
        max_length=1024,
        pad_token_id=1,
        activation="sigmoid",
        files=("README.md", "config.json", "onnx/model.onnx", *tokenizer),
    )


@pytest.mark.parametrize("name", [EMBEDDING_REPOSITORY, RERANKER_REPOSITORY])
def test_a_folder_and_the_hub_lead_to_the_same_decision(tmp_path: Path, name: str) -> None:
    write_lookalikes(tmp_path / "hub")
    task = "embedding" if name == EMBEDDING_REPOSITORY else "reranker"
    model = manifest_model(task=task)
    with HubServer(tmp_path / "hub") as server:
        remote = decide(model, resolve(name, revision="main", endpoint=server.endpoint))
    local = decide(model, open_folder(tmp_path / "hub" / name, name="m", cache_directory=tmp_path / "cache"))

    assert local == remote


def test_a_sentence_transformers_export_says_all_that_is_needed() -> None:
    files = {
        "modules.json": modules("Transformer", "Pooling", "Normalize"),
        "1_Pooling/config.json": {"pooling_mode_mean_tokens": True, "word_embedding_dimension": 384},
        "sentence_bert_config.json": {"max_seq_length": 256},
        "config_sentence_transformers.json": {
            "prompts": {"query": "query: ", "passage": "passage: "},
            "default_prompt_name": "passage",
        },
    }

    assert embedding(TOKENS, files) == Recipe(
        task="embedding",
        graph="model.onnx",
        output="last_hidden_state",
        pooling="mean",
        normalize=True,
        dimensions=(384,),
        prompts={"query": "query: ", "passage": "passage: "},
        default_prompt="passage",
        max_length=256,
        pad_token_id=0,
        activation=None,
        files=(
            "1_Pooling/config.json",
            "config.json",
            "config_sentence_transformers.json",
            "model.onnx",
            "modules.json",
            "sentence_bert_config.json",
            "tokenizer.json",
        ),
    )


def test_a_plain_export_is_decided_by_the_manifest() -> None:
    recipe = embedding(
        TOKENS,
        pooling="cls",
        normalize=False,
        prompts={"query": "q: "},
        default_prompt="query",
        dimensions=[384, 128],
        max_length=100,
    )

    assert (recipe.pooling, recipe.normalize, recipe.dimensions) == ("cls", False, (384, 128))
    assert (recipe.prompts, recipe.default_prompt, recipe.max_length) == ({"query": "q: "}, "query", 100)


def test_the_manifest_wins_over_the_repository() -> None:
    files = {
        "modules.json": modules("Transformer", "Pooling", "Normalize"),
        "1_Pooling/config.json": {"pooling_mode": "cls"},
    }
    recipe = embedding(TOKENS, files, pooling="mean", normalize=False)

    assert (recipe.pooling, recipe.normalize) == ("mean", False)


def test_both_layouts_of_a_pooling_config_mean_the_same() -> None:
    old = {"modules.json": modules("Transformer", "Pooling"), "1_Pooling/config.json": {"pooling_mode_cls_token": True}}
    new = {"modules.json": modules("Transformer", "Pooling"), "1_Pooling/config.json": {"pooling_mode": "cls"}}

    assert (embedding(TOKENS, old).pooling, embedding(TOKENS, new).pooling) == ("cls", "cls")


def test_modules_without_normalize_mean_vectors_as_they_are() -> None:
    files = {"modules.json": modules("Transformer", "Pooling"), "1_Pooling/config.json": {"pooling_mode": "mean"}}
    assert embedding(TOKENS, files).normalize is False


def test_pooling_that_nobody_says_names_the_key() -> None:
    assert refusal(TOKENS, normalize=True) == (
        "neither the manifest nor `example/model` says how token vectors are pooled",
        "set `models.m.pooling` to `mean` or `cls`, as the model's card says",
    )


def test_normalisation_that_nobody_says_names_the_key() -> None:
    assert refusal(TOKENS, pooling="mean") == (
        "neither the manifest nor `example/model` says whether vectors are normalised",
        "set `models.m.normalize` to true or false",
    )


@pytest.mark.parametrize(
    ("config", "how"),
    [
        ({"pooling_mode": "max"}, "max"),
        ({"pooling_mode": "lasttoken"}, "lasttoken"),
        ({"pooling_mode": ["cls", "mean"]}, "cls and mean"),
        ({"pooling_mode": "mean", "include_prompt": False}, "mean without the prompt"),
    ],
)
def test_pooling_that_is_not_supported_yet_is_called_that(config: dict[str, Any], how: str) -> None:
    message, _ = refusal(TOKENS, {"modules.json": modules("Transformer", "Pooling"), "1_Pooling/config.json": config})
    assert message == f"`example/model` is pooled by {how}, which is not supported yet"


def test_layers_after_pooling_that_the_graph_lacks_are_refused() -> None:
    files = {"modules.json": modules("Transformer", "Pooling", "Dense", "Normalize")}
    message, _ = refusal(TOKENS, files, pooling="mean")
    assert message == "`example/model` has the module `Dense` outside of its graph, which is not supported yet"


def test_layers_after_pooling_that_the_graph_has_need_nothing() -> None:
    files = {"modules.json": modules("Transformer", "Pooling", "Dense", "Normalize")}
    recipe = embedding(POOLED, files)

    assert (recipe.output, recipe.pooling, recipe.normalize) == ("sentence_embedding", None, True)


def test_a_vector_that_the_graph_finishes_is_served_as_it_is() -> None:
    recipe = embedding(POOLED)
    assert (recipe.pooling, recipe.normalize, recipe.dimensions) == (None, False, (768,))


def test_a_finished_vector_that_the_manifest_shortens_becomes_a_unit_vector_again() -> None:
    assert embedding(POOLED, dimensions=[768, 256]).normalize is True


def test_pooling_of_an_output_that_is_pooled_already_is_refused() -> None:
    assert refusal(POOLED, pooling="mean") == (
        "the output `sentence_embedding` of `example/model` is pooled already",
        "remove `models.m.pooling`, or choose an output of one vector a token with `output`",
    )


def test_the_manifests_output_wins() -> None:
    recipe = embedding(POOLED, output="last_hidden_state", pooling="mean", normalize=True)
    assert (recipe.output, recipe.pooling, recipe.dimensions) == ("last_hidden_state", "mean", (768,))


def test_an_output_that_is_missing_lists_those_that_exist() -> None:
    assert refusal(POOLED, output="embeddings") == (
        "`model.onnx` of `example/model` has no output `embeddings`",
        "set `models.m.output` to one of: last_hidden_state, sentence_embedding",
    )


def test_outputs_of_unknown_names_are_not_guessed() -> None:
    assert refusal({"a": ["batch", 3], "b": ["batch", 4]}) == (
        "neither the manifest nor `example/model` says which output of the graph to read",
        "set `models.m.output` to one of: a, b",
    )


def test_token_embeddings_are_an_output_of_one_vector_a_token() -> None:
    recipe = embedding({"token_embeddings": ["batch", "sequence", 384]}, pooling="mean", normalize=True)
    assert recipe.output == "token_embeddings"


def test_an_output_without_a_shape_is_taken_by_its_name() -> None:
    recipe = embedding({"sentence_embedding": None}, dimensions=[384])
    assert (recipe.pooling, recipe.dimensions) == (None, (384,))


def test_the_width_of_a_token_vector_comes_from_the_config_where_the_graph_is_silent() -> None:
    outputs = {"last_hidden_state": ["batch", "sequence", "width"]}
    assert embedding(outputs, pooling="mean", normalize=True).dimensions == (384,)


def test_the_width_of_a_finished_vector_is_not_taken_from_the_config() -> None:
    assert refusal({"sentence_embedding": ["batch", "width"]}) == (
        "neither the manifest nor `example/model` says how wide its vectors are",
        "set `models.m.dimensions`",
    )


def test_dimensions_start_with_the_native_width() -> None:
    assert refusal(POOLED, dimensions=[512, 256]) == (
        "`models.m.dimensions` starts with 512, but the vectors of `example/model` have 768 dimensions",
        "start `models.m.dimensions` with 768",
    )


@pytest.mark.parametrize("dimensions", [[768, 256, 512], [768, 768]])
def test_dimensions_descend(dimensions: list[int]) -> None:
    message, _ = refusal(POOLED, dimensions=dimensions)
    assert message == "`models.m.dimensions` has to descend from the native width"


def test_prompts_of_the_manifest_replace_the_repositorys_and_their_default() -> None:
    files = {"config_sentence_transformers.json": {"prompts": {"a": "a: "}, "default_prompt_name": "a"}}
    recipe = embedding(POOLED, files, prompts={"b": "b: "})

    assert (recipe.prompts, recipe.default_prompt) == ({"b": "b: "}, None)


def test_a_default_prompt_of_the_manifest_may_be_one_of_the_repositorys() -> None:
    files = {"config_sentence_transformers.json": {"prompts": {"a": "a: ", "b": "b: "}, "default_prompt_name": "a"}}
    assert embedding(POOLED, files, default_prompt="b").default_prompt == "b"


def test_a_default_prompt_that_is_none_of_the_prompts_is_refused() -> None:
    assert refusal(POOLED, prompts={"a": "a: "}, default_prompt="b") == (
        "the default prompt `b` of `m` is none of its prompts",
        "set `models.m.default_prompt` to one of: a",
    )


@pytest.mark.parametrize(
    ("inputs", "refused"),
    [
        ({"input_ids": TensorProto.INT64, "pixel_values": TensorProto.FLOAT}, "`pixel_values` (float32)"),
        ({"input_ids": TensorProto.STRING}, "`input_ids` (string)"),
    ],
)
def test_inputs_that_cannot_be_fed_are_refused(inputs: dict[str, int], refused: str) -> None:
    message, _ = refusal({}, {"model.onnx": graph(POOLED, inputs=inputs)})
    assert message == f"`model.onnx` wants the input {refused}, not supported yet"


def test_external_data_is_baked_with_its_graph() -> None:
    files = {"model.onnx": graph(POOLED, external_data=["model.onnx_data"]), "model.onnx_data": b"weights"}
    assert embedding({}, files).files == ("config.json", "model.onnx", "model.onnx_data", "tokenizer.json")


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


@pytest.mark.parametrize(
    ("keys", "name"),
    [
        ({"task": "embedding", "activation": "sigmoid"}, "activation"),
        ({"task": "reranker", "pooling": "mean"}, "pooling"),
        ({"task": "reranker", "normalize": True}, "normalize"),
        ({"task": "reranker", "dimensions": [1]}, "dimensions"),
        ({"task": "reranker", "prompts": {}}, "prompts"),
        ({"task": "reranker", "default_prompt": "query"}, "default_prompt"),
    ],
)
def test_keys_of_another_task_are_refused(keys: dict[str, Any], name: str) -> None:
    with pytest.raises(InputError) as caught:
        decide(manifest_model(**keys), repository({}))

    assert caught.value.message == f"`models.m.{name}` means nothing for the task `{keys['task']}`"
