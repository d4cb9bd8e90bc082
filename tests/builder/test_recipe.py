from pathlib import Path
from typing import Any

import pytest

from builder import manifest
from builder.errors import InputError
from builder.folder import open_folder
from builder.hub import resolve
from builder.recipe import Recipe, decide
from tests.builder import data
from tests.builder.decisions import POOLED, TOKENS, embedding, modules, refusal
from tests.support.hub_server import HubServer
from tests.support.lookalikes import EMBEDDING_REPOSITORY, RERANKER_REPOSITORY, write_lookalikes
from tests.support.memory_repository import graph, manifest_model, repository

ROOT = Path(__file__).parents[2]


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
        inputs=data.INPUTS,
        output="sentence_embedding",
        pooling=(),
        include_prompt=True,
        layers=(),
        normalize=True,
        dimensions=(768, 512, 256, 128),
        prompts={"query": "task: search result | query: ", "document": "title: none | text: "},
        default_prompt=None,
        max_length=2048,
        pad_token_id=0,
        padding_side="right",
        activation=None,
        files=("README.md", *configs, *weights, *tokenizer),
    )
    assert ranker == Recipe(
        task="reranker",
        graph="onnx/model.onnx",
        inputs=data.INPUTS,
        output="logits",
        pooling=(),
        include_prompt=True,
        layers=(),
        normalize=False,
        dimensions=(),
        prompts={},
        default_prompt=None,
        max_length=1024,
        pad_token_id=1,
        padding_side="right",
        labels=("LABEL_0",),
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
        inputs=data.INPUTS,
        output="last_hidden_state",
        pooling=("mean",),
        include_prompt=True,
        layers=(),
        normalize=True,
        dimensions=(384,),
        prompts={"query": "query: ", "passage": "passage: "},
        default_prompt="passage",
        max_length=256,
        pad_token_id=0,
        padding_side="right",
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

    assert (recipe.pooling, recipe.normalize, recipe.dimensions) == (("cls",), False, (384, 128))
    assert (recipe.prompts, recipe.default_prompt, recipe.max_length) == ({"query": "q: "}, "query", 100)


def test_the_manifest_wins_over_the_repository() -> None:
    files = {
        "modules.json": modules("Transformer", "Pooling", "Normalize"),
        "1_Pooling/config.json": {"pooling_mode": "cls"},
    }
    recipe = embedding(TOKENS, files, pooling="mean", normalize=False)

    assert (recipe.pooling, recipe.normalize) == (("mean",), False)


def test_external_data_is_baked_with_its_graph() -> None:
    files = {"model.onnx": graph(POOLED, external_data=["model.onnx_data"]), "model.onnx_data": b"weights"}
    assert embedding({}, files).files == ("config.json", "model.onnx", "model.onnx_data", "tokenizer.json")


@pytest.mark.parametrize(
    "normalizer",
    [
        {"type": "Lowercase"},
        {"type": "BertNormalizer", "lowercase": True},
        {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Lowercase"}]},
    ],
)
def test_lower_case_is_the_tokenizer_s_to_make(normalizer: dict[str, Any]) -> None:
    files = {"sentence_bert_config.json": {"do_lower_case": True}, "tokenizer.json": {"normalizer": normalizer}}
    assert embedding(POOLED, files).output == "sentence_embedding"


@pytest.mark.parametrize(
    "normalizer", [None, {"type": "BertNormalizer", "lowercase": False}, {"type": "Sequence", "normalizers": []}]
)
def test_lower_case_that_the_tokenizer_does_not_make_is_refused(normalizer: dict[str, Any] | None) -> None:
    files = {"sentence_bert_config.json": {"do_lower_case": True}, "tokenizer.json": {"normalizer": normalizer}}
    assert refusal(POOLED, files) == (
        "`example/model` says `do_lower_case`, but its `tokenizer.json` does not make texts lower case",
        "add a `Lowercase` normalizer to tokenizer.json, or correct the config",
    )


@pytest.mark.parametrize(
    ("keys", "name"),
    [
        ({"task": "embedding", "activation": "sigmoid"}, "activation"),
        ({"task": "reranker", "pooling": "mean"}, "pooling"),
        ({"task": "reranker", "normalize": True}, "normalize"),
        ({"task": "reranker", "dimensions": [1]}, "dimensions"),
        ({"task": "classifier", "pooling": "mean"}, "pooling"),
        ({"task": "reranker", "adapters": {"a": 0}}, "adapters"),
        ({"task": "embedding", "template": "{query} {document}"}, "template"),
        ({"task": "classifier", "template": "{query} {document}"}, "template"),
        ({"task": "classifier", "true_token": "yes"}, "true_token"),
        ({"task": "embedding", "false_token": "no"}, "false_token"),
        ({"task": "embedding", "long_documents": "windows"}, "long_documents"),
    ],
)
def test_keys_of_another_task_are_refused(keys: dict[str, Any], name: str) -> None:
    with pytest.raises(InputError) as caught:
        decide(manifest_model(**keys), repository({}))

    assert caught.value.message == f"`models.m.{name}` means nothing for the task `{keys['task']}`"
