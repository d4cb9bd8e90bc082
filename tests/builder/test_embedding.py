from typing import Any, get_args

import pytest

from builder.layers import Dense
from builder.manifest import PoolingMode
from tests.builder.decisions import POOLED, TOKENS, embedding, modules, refusal

TANH = "torch.nn.modules.activation.Tanh"
IDENTITY = "torch.nn.modules.linear.Identity"


def test_both_layouts_of_a_pooling_config_mean_the_same() -> None:
    old = {"modules.json": modules("Transformer", "Pooling"), "1_Pooling/config.json": {"pooling_mode_cls_token": True}}
    new = {"modules.json": modules("Transformer", "Pooling"), "1_Pooling/config.json": {"pooling_mode": "cls"}}

    assert (embedding(TOKENS, old).pooling, embedding(TOKENS, new).pooling) == (("cls",), ("cls",))


def test_modules_without_normalize_mean_vectors_as_they_are() -> None:
    files = {"modules.json": modules("Transformer", "Pooling"), "1_Pooling/config.json": {"pooling_mode": "mean"}}
    assert embedding(TOKENS, files).normalize is False


@pytest.mark.parametrize("files", [{}, {"1_Pooling/config.json": {"pooling_mode": []}}])
def test_pooling_that_nobody_says_names_the_key(files: dict[str, Any]) -> None:
    assert refusal(TOKENS, files, normalize=True) == (
        "neither the manifest nor `example/model` says how token vectors are pooled",
        "set `models.m.pooling` as the model's card says, to one or a list of: "
        "`cls`, `max`, `mean`, `mean_sqrt_len_tokens`, `weightedmean`, `lasttoken`",
    )


def test_normalisation_that_nobody_says_names_the_key() -> None:
    assert refusal(TOKENS, pooling="mean") == (
        "neither the manifest nor `example/model` says whether vectors are normalised",
        "set `models.m.normalize` to true or false",
    )


@pytest.mark.parametrize("mode", get_args(PoolingMode))
def test_every_pooling_mode_is_served(mode: str) -> None:
    files = {"modules.json": modules("Transformer", "Pooling"), "1_Pooling/config.json": {"pooling_mode": mode}}
    assert embedding(TOKENS, files).pooling == (mode,)


def test_several_modes_make_a_wider_vector() -> None:
    config = {"pooling_mode": ["cls", "mean"]}
    recipe = embedding(TOKENS, {"modules.json": modules("Transformer", "Pooling"), "1_Pooling/config.json": config})
    assert (recipe.pooling, recipe.dimensions) == (("cls", "mean"), (768,))


def test_several_modes_can_be_the_manifest_s() -> None:
    recipe = embedding(TOKENS, pooling=["max", "mean"], normalize=False)
    assert (recipe.pooling, recipe.dimensions) == (("max", "mean"), (768,))


def test_a_prompt_that_is_not_pooled_is_said() -> None:
    config = {"pooling_mode": "mean", "include_prompt": False}
    recipe = embedding(TOKENS, {"modules.json": modules("Transformer", "Pooling"), "1_Pooling/config.json": config})
    assert (recipe.pooling, recipe.include_prompt) == (("mean",), False)


def test_an_unknown_pooling_mode_is_refused() -> None:
    config = {"pooling_mode": ["mean", "median"]}
    files = {"modules.json": modules("Transformer", "Pooling"), "1_Pooling/config.json": config}
    message, _ = refusal(TOKENS, files)
    assert message == "`example/model` is pooled by mean and median, and `median` is not supported yet"


def test_layers_after_pooling_that_the_graph_lacks_are_applied_outside() -> None:
    files = {
        "modules.json": modules("Transformer", "Pooling", "Dense", "Dense", "Normalize"),
        "1_Pooling/config.json": {"pooling_mode": "mean"},
        "2_Dense/config.json": {"in_features": 384, "out_features": 1536, "bias": False, "activation_function": TANH},
        "2_Dense/model.safetensors": b"",
        "3_Dense/config.json": {"in_features": 1536, "out_features": 256, "activation_function": IDENTITY},
        "3_Dense/model.safetensors": b"",
    }
    recipe = embedding(TOKENS, files)

    assert (recipe.layers, recipe.dimensions, recipe.normalize) == (
        (
            Dense(
                weights="2_Dense/model.safetensors", in_features=384, out_features=1536, bias=False, activation="tanh"
            ),
            Dense(
                weights="3_Dense/model.safetensors",
                in_features=1536,
                out_features=256,
                bias=True,
                activation="identity",
            ),
        ),
        (256,),
        True,
    )
    assert {"2_Dense/model.safetensors", "3_Dense/model.safetensors"} <= {*recipe.files}


def test_layers_of_both_kinds_follow_in_their_own_order() -> None:
    files = {
        "modules.json": modules("Transformer", "Pooling", "LayerNorm", "Dense", "LayerNorm"),
        "2_LayerNorm/config.json": {"dimension": 384},
        "3_Dense/config.json": {"in_features": 384, "out_features": 128, "activation_function": TANH},
        "4_LayerNorm/config.json": {"dimension": 128},
        **{f"{folder}/model.safetensors": b"" for folder in ("2_LayerNorm", "3_Dense", "4_LayerNorm")},
    }
    recipe = embedding(TOKENS, files, pooling="mean")
    assert [(layer.kind, layer.out_features) for layer in recipe.layers] == [
        ("layer_norm", 384),
        ("dense", 128),
        ("layer_norm", 128),
    ]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ("Transformer", "Pooling", "Dropout"),
            "`example/model` has the module `Dropout` outside of its graph, which is not supported yet",
        ),
        (
            ("Transformer", "Pooling", "Normalize", "Dense"),
            "`example/model` has its modules in an order that is not supported: Transformer, Pooling, Normalize, Dense",
        ),
        (
            ("Transformer", "Dense", "Pooling"),
            "`example/model` has its modules in an order that is not supported: Transformer, Dense, Pooling",
        ),
        (
            ("Transformer", "Pooling", "Pooling"),
            "`example/model` has its modules in an order that is not supported: Transformer, Pooling, Pooling",
        ),
    ],
)
def test_a_pipeline_that_is_not_served_is_refused(names: tuple[str, ...], message: str) -> None:
    assert refusal(TOKENS, {"modules.json": modules(*names)}, pooling="mean")[0] == message


def test_a_layer_over_token_vectors_is_refused() -> None:
    files = {
        "modules.json": modules("Transformer", "Pooling", "Dense"),
        "2_Dense/config.json": {"module_input_name": "token_embeddings"},
    }
    message, _ = refusal(TOKENS, files, pooling="mean")
    assert message == "`example/model` has the module `Dense` outside of its graph, which is not supported yet"


def test_a_layer_that_does_not_fit_the_pooled_vector_is_refused() -> None:
    files = {
        "modules.json": modules("Transformer", "Pooling", "Dense"),
        "2_Dense/config.json": {"in_features": 384, "out_features": 128, "activation_function": TANH},
        "2_Dense/model.safetensors": b"",
    }
    assert refusal(TOKENS, files, pooling=["cls", "mean"], normalize=True) == (
        "`2_Dense/model.safetensors` of `example/model` takes 384 numbers, but gets 768",
        "another `pooling` or `output` gives vectors of another width",
    )


def test_layers_after_pooling_that_the_graph_has_need_nothing() -> None:
    files = {"modules.json": modules("Transformer", "Pooling", "Dense", "Normalize")}
    recipe = embedding(POOLED, files)

    assert (recipe.output, recipe.pooling, recipe.normalize) == ("sentence_embedding", (), True)


def test_a_vector_that_the_graph_finishes_is_served_as_it_is() -> None:
    recipe = embedding(POOLED)
    assert (recipe.pooling, recipe.normalize, recipe.dimensions) == ((), False, (768,))


def test_a_finished_vector_that_the_manifest_shortens_becomes_a_unit_vector_again() -> None:
    assert embedding(POOLED, dimensions=[768, 256]).normalize is True


def test_pooling_of_an_output_that_is_pooled_already_is_refused() -> None:
    assert refusal(POOLED, pooling="mean") == (
        "the output `sentence_embedding` of `example/model` is pooled already",
        "remove `models.m.pooling`, or choose an output of one vector a token with `output`",
    )


def test_the_manifests_output_wins() -> None:
    recipe = embedding(POOLED, output="last_hidden_state", pooling="mean", normalize=True)
    assert (recipe.output, recipe.pooling, recipe.dimensions) == ("last_hidden_state", ("mean",), (768,))


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


@pytest.mark.parametrize("name", ["token_embeddings", "text_embeds"])
def test_an_output_of_one_vector_a_token_is_known_by_its_name(name: str) -> None:
    recipe = embedding({name: ["batch", "sequence", 384]}, pooling="mean", normalize=True)
    assert (recipe.output, recipe.pooling) == (name, ("mean",))


def test_an_output_without_a_shape_is_taken_by_its_name() -> None:
    recipe = embedding({"sentence_embedding": None}, dimensions=[384])
    assert (recipe.pooling, recipe.dimensions) == ((), (384,))


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
