from typing import Any

import pytest

from builder.errors import InputError
from builder.sentence_transformers import Module, Pooling, SentenceFiles, read_sentence_files
from tests.support.memory_repository import repository

OLD = "sentence_transformers.models"
NEW = "sentence_transformers.sentence_transformer.modules"


def pooling_of(config: dict[str, Any]) -> Pooling | None:
    return read_sentence_files(repository({"1_Pooling/config.json": config})).pooling


def test_a_repository_without_such_files_says_nothing() -> None:
    assert read_sentence_files(repository({})) == SentenceFiles(modules=None, pooling=None, max_seq_length=None)


def test_the_layout_up_to_release_5_3_is_read() -> None:
    files: dict[str, Any] = {
        "modules.json": [
            {"idx": 0, "name": "0", "path": "", "type": f"{OLD}.Transformer"},
            {"idx": 1, "name": "1", "path": "1_Pooling", "type": f"{OLD}.Pooling"},
            {"idx": 2, "name": "2", "path": "2_Normalize", "type": f"{OLD}.Normalize"},
        ],
        "1_Pooling/config.json": {
            "word_embedding_dimension": 384,
            "pooling_mode_cls_token": False,
            "pooling_mode_mean_tokens": True,
        },
        "sentence_bert_config.json": {"max_seq_length": 256, "do_lower_case": False},
        "config_sentence_transformers.json": {
            "prompts": {"query": "query: "},
            "default_prompt_name": "query",
        },
    }

    assert read_sentence_files(repository(files)) == SentenceFiles(
        modules=(
            Module(class_name="Transformer", folder=""),
            Module(class_name="Pooling", folder="1_Pooling", config=files["1_Pooling/config.json"]),
            Module(class_name="Normalize", folder="2_Normalize"),
        ),
        pooling=Pooling(modes=("mean",), includes_prompt=True, width=384),
        max_seq_length=256,
        prompts={"query": "query: "},
        default_prompt="query",
    )


def test_the_layout_from_release_5_4_on_is_read() -> None:
    files: dict[str, Any] = {
        "modules.json": [
            {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.base.modules.transformer.Transformer"},
            {"idx": 1, "name": "1", "path": "1_Pooling/", "type": f"{NEW}.pooling.Pooling"},
        ],
        "1_Pooling/config.json": {"embedding_dimension": 768, "pooling_mode": "cls", "include_prompt": False},
        "config_sentence_transformers.json": {"model_type": "SentenceTransformer", "prompts": {}},
    }

    assert read_sentence_files(repository(files)) == SentenceFiles(
        modules=(
            Module(class_name="Transformer", folder=""),
            Module(class_name="Pooling", folder="1_Pooling", config=files["1_Pooling/config.json"]),
        ),
        pooling=Pooling(modes=("cls",), includes_prompt=False, width=768),
        max_seq_length=None,
    )


@pytest.mark.parametrize(
    ("config", "modes"),
    [
        ({"pooling_mode_lasttoken": True}, ("lasttoken",)),
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}, ("cls", "mean")),
        ({"pooling_mode_mean_tokens": False}, ("mean",)),
        ({"pooling_mode": "weightedmean", "pooling_mode_mean_tokens": True}, ("weightedmean",)),
        ({"pooling_mode": ["mean", "max"]}, ("mean", "max")),
    ],
)
def test_pooling_modes_are_read_in_their_order(config: dict[str, Any], modes: tuple[str, ...]) -> None:
    assert pooling_of(config) == Pooling(modes=modes, includes_prompt=True, width=None)


def test_pooling_is_read_from_the_folder_that_the_modules_name() -> None:
    files = {
        "modules.json": [{"path": "9_Pooling", "type": f"{OLD}.Pooling"}],
        "9_Pooling/config.json": {"pooling_mode": "max"},
    }
    assert read_sentence_files(repository(files)).pooling == Pooling(modes=("max",), includes_prompt=True, width=None)


def test_modules_of_one_class_keep_their_order_and_configs() -> None:
    files: dict[str, Any] = {
        "modules.json": [{"path": "2_Dense", "type": f"{OLD}.Dense"}, {"path": "3_Dense", "type": f"{OLD}.Dense"}],
        "2_Dense/config.json": {"in_features": 1},
        "3_Dense/config.json": {"in_features": 2},
    }
    assert read_sentence_files(repository(files)).modules == (
        Module(class_name="Dense", folder="2_Dense", config={"in_features": 1}),
        Module(class_name="Dense", folder="3_Dense", config={"in_features": 2}),
    )


@pytest.mark.parametrize("name", ["sentence_roberta_config.json", "sentence_xlm-roberta_config.json"])
def test_old_names_of_the_transformer_config_are_read(name: str) -> None:
    assert read_sentence_files(repository({name: {"max_seq_length": 128}})).max_seq_length == 128


@pytest.mark.parametrize("stated", [True, False])
def test_a_wish_for_lower_case_is_read(*, stated: bool) -> None:
    files = {"sentence_bert_config.json": {"max_seq_length": 128, "do_lower_case": stated}}
    assert read_sentence_files(repository(files)).lowercases is stated


def test_prompts_that_are_null_are_none() -> None:
    files = {"config_sentence_transformers.json": {"prompts": {"query": "q: ", "document": None}}}
    assert read_sentence_files(repository(files)).prompts == {"query": "q: "}


def test_the_activation_of_a_cross_encoder_is_read() -> None:
    files = {"config_sentence_transformers.json": {"activation_fn": "torch.nn.modules.linear.Identity"}}
    assert read_sentence_files(repository(files)).activation_class == "torch.nn.modules.linear.Identity"


@pytest.mark.parametrize("modules", [[None], {"type": "x"}, [{"type": "x"}], ["x"], [{"type": 1, "path": ""}]])
def test_modules_of_another_form_are_refused(modules: Any) -> None:
    with pytest.raises(InputError) as caught:
        read_sentence_files(repository({"modules.json": modules}))

    assert caught.value.message == "`modules.json` of `example/model` is not a list of modules with a type and a path"


def test_a_config_that_is_not_json_is_refused_by_name() -> None:
    with pytest.raises(InputError, match=r"`modules.json` of `example/model` is not JSON: "):
        read_sentence_files(repository({"modules.json": b"{"}))


def test_a_config_that_is_no_object_is_refused_by_name() -> None:
    with pytest.raises(InputError, match=r"`1_Pooling/config.json` of `example/model` is not a JSON object"):
        read_sentence_files(repository({"1_Pooling/config.json": []}))
