from typing import Any

import pytest

from builder import limits
from builder.errors import InputError
from tests.support.memory_repository import repository

NO_LIMIT = 1000000000000000019884624838656


def max_length(
    *,
    config: dict[str, Any] | None = None,
    tokenizer_limit: int | None = None,
    max_seq_length: int | None = None,
    wanted: int | None = None,
) -> int:
    listed = repository({"tokenizer_config.json": {"model_max_length": tokenizer_limit}})
    return limits.max_length(listed, config or {}, name="m", wanted=wanted, max_seq_length=max_seq_length)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"wanted": 100, "max_seq_length": 200, "tokenizer_limit": 300}, 100),
        ({"max_seq_length": 256, "tokenizer_limit": 512}, 256),
        ({"tokenizer_limit": 512}, 512),
        ({"tokenizer_limit": NO_LIMIT, "config": {"max_position_embeddings": 2048}}, 2048),
        ({"tokenizer_limit": 8192, "config": {"max_position_embeddings": 512}}, 512),
        ({"max_seq_length": 600, "config": {"max_position_embeddings": 512}}, 512),
        ({"config": {"n_positions": 8192}}, 8192),
    ],
)
def test_the_manifest_wins_then_what_the_repository_says_within_its_positions(
    said: dict[str, Any], expected: int
) -> None:
    assert max_length(**said) == expected


def test_a_length_beyond_the_positions_is_refused() -> None:
    with pytest.raises(InputError) as caught:
        max_length(wanted=1024, config={"max_position_embeddings": 512})

    assert caught.value.message == "`models.m.max_length` is 1024, but `example/model` has positions for 512"
    assert caught.value.hint == "set it to 512 or less"


def test_a_length_that_nobody_says_names_the_key() -> None:
    with pytest.raises(InputError) as caught:
        max_length(tokenizer_limit=NO_LIMIT)

    assert caught.value.message == "neither the manifest nor `example/model` says how many tokens a text may have"
    assert caught.value.hint == "set `models.m.max_length`"


@pytest.mark.parametrize(
    ("config", "limit"),
    [
        ({"model_type": "xlm-roberta", "max_position_embeddings": 514, "pad_token_id": 1}, 512),
        ({"model_type": "mpnet", "max_position_embeddings": 514, "pad_token_id": 1}, 512),
        ({"model_type": "bert", "max_position_embeddings": 512, "pad_token_id": 0}, 512),
        (
            {
                "architectures": ["XLMRobertaForSequenceClassification"],
                "max_position_embeddings": 1026,
                "pad_token_id": 1,
            },
            1024,
        ),
        ({"architectures": ["RobertaModel"], "max_position_embeddings": 514, "pad_token_id": 1}, 512),
        ({"architectures": ["Gemma3TextModel"], "max_position_embeddings": 2048, "pad_token_id": 0}, 2048),
        ({"architectures": None, "max_position_embeddings": 512}, 512),
        ({}, None),
    ],
)
def test_positions_that_roberta_never_uses_do_not_count(config: dict[str, Any], limit: int | None) -> None:
    assert limits.position_limit(repository({}), config) == limit


@pytest.mark.parametrize(
    ("files", "config"),
    [
        ({}, {"pad_token_id": 7}),
        ({"tokenizer.json": {"padding": {"pad_id": 7}}}, {}),
        (
            {
                "tokenizer.json": {"added_tokens": [{"id": 0, "content": "<s>"}, {"id": 7, "content": "<pad>"}]},
                "tokenizer_config.json": {"pad_token": "<pad>"},
            },
            {"pad_token_id": None},
        ),
        (
            {
                "tokenizer.json": {"padding": None, "added_tokens": [{"id": 7, "content": "<pad>"}]},
                "tokenizer_config.json": {"pad_token": {"content": "<pad>", "lstrip": False}},
            },
            {},
        ),
    ],
)
def test_the_padding_token_comes_from_the_config_or_the_tokenizer(
    files: dict[str, Any], config: dict[str, Any]
) -> None:
    assert limits.pad_token_id(repository(files), config) == 7


def test_a_model_without_a_padding_token_is_refused() -> None:
    with pytest.raises(InputError) as caught:
        limits.pad_token_id(repository({"tokenizer.json": {"added_tokens": [{"id": 0, "content": "<s>"}]}}), {})

    message = "neither `config.json` nor the tokenizer of `example/model` has a padding token"
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("config", "tokenizer", "side"),
    [
        ({"padding_side": "left"}, {}, "left"),
        ({}, {"padding": {"direction": "Left"}}, "left"),
        ({"padding_side": "right"}, {"padding": {"direction": "Left"}}, "right"),
        ({}, {"padding": None}, "right"),
    ],
)
def test_the_padding_side_is_the_tokenizer_s(config: dict[str, Any], tokenizer: dict[str, Any], side: str) -> None:
    assert limits.padding_side(repository({"tokenizer_config.json": config, "tokenizer.json": tokenizer})) == side


def test_a_tokenizer_of_any_size_says_its_padding_side() -> None:
    vocabulary = {f"token{number}": number for number in range(2000)}
    tokenizer = {"padding": {"direction": "Left"}, "model": {"vocab": vocabulary}}
    assert limits.padding_side(repository({"tokenizer.json": tokenizer})) == "left"


def test_padding_that_is_cut_off_is_refused_by_name() -> None:
    with pytest.raises(InputError, match=r"`tokenizer\.json` of `example/model` is not JSON: "):
        limits.padding_side(repository({"tokenizer.json": b'{"padding": {"direction": '}))
