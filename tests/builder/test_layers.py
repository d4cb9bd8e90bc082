from dataclasses import replace
from typing import Any

import pytest

from builder.errors import InputError
from builder.layers import Dense, Layer, LayerNorm, check_chain, decide_layers
from builder.sentence_transformers import Module
from tests.support.memory_repository import repository

CONFIG = {"in_features": 4, "out_features": 3, "activation_function": "torch.nn.modules.linear.Identity"}
LAYER = Dense(weights="2_Dense/model.safetensors", in_features=4, out_features=3, bias=True, activation="identity")


def layers(config: dict[str, Any], *files: str) -> tuple[Layer, ...]:
    modules = [
        Module(class_name="Pooling", folder="1_Pooling"),
        Module(class_name="Dense", folder="2_Dense", config=config),
    ]
    return decide_layers(modules, repository(dict.fromkeys(files or ("2_Dense/model.safetensors",), b"")))


def refusal(config: dict[str, Any], *files: str) -> InputError:
    with pytest.raises(InputError) as caught:
        layers(config, *files)
    return caught.value


@pytest.mark.parametrize(
    ("changes", "bias", "activation"),
    [
        ({}, True, "identity"),
        ({"bias": False}, False, "identity"),
        ({"bias": True, "activation_function": "torch.nn.modules.activation.Tanh"}, True, "tanh"),
        ({"activation_function": "torch.nn.modules.activation.ReLU"}, True, "relu"),
        ({"activation_function": "torch.nn.modules.activation.GELU"}, True, "gelu"),
        ({"activation_function": "torch.nn.modules.activation.SiLU"}, True, "silu"),
        ({"activation_function": "torch.nn.modules.activation.Sigmoid"}, True, "sigmoid"),
        ({"module_input_name": "sentence_embedding", "use_residual": False}, True, "identity"),
    ],
)
def test_a_layer_is_what_its_config_says(changes: dict[str, Any], *, bias: bool, activation: Any) -> None:
    expected = Dense(weights=LAYER.weights, in_features=4, out_features=3, bias=bias, activation=activation)
    assert layers({**CONFIG, **changes}) == (expected,)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"in_features": None}, "`2_Dense/config.json` of `example/model` does not say `in_features`"),
        ({"out_features": 0}, "`2_Dense/config.json` of `example/model` does not say `out_features`"),
        (
            {"activation_function": "torch.nn.modules.activation.Mish"},
            "`2_Dense/config.json` of `example/model` wants the activation `torch.nn.modules.activation.Mish`, "
            "which is not supported yet",
        ),
    ],
)
def test_a_layer_that_is_not_served_is_refused(changes: dict[str, Any], message: str) -> None:
    assert refusal({**CONFIG, **changes}).message == message


def test_a_layer_without_an_activation_has_the_one_of_its_class() -> None:
    (layer,) = layers({"in_features": 4, "out_features": 3})
    assert layer == replace(LAYER, activation="tanh")


def test_a_residual_layer_is_said() -> None:
    assert layers({**CONFIG, "use_residual": True}) == (replace(LAYER, residual=True),)


def test_a_layer_norm_keeps_the_width() -> None:
    module = Module(class_name="LayerNorm", folder="2_LayerNorm", config={"dimension": 4})
    norm = LayerNorm(weights="2_LayerNorm/model.safetensors", in_features=4)
    assert decide_layers([module], repository({"2_LayerNorm/model.safetensors": b""})) == (norm,)
    check_chain([norm, LAYER], width=4, source="example/model")


def test_a_pickle_is_never_read() -> None:
    error = refusal(CONFIG, "2_Dense/pytorch_model.bin")
    assert error.message == "`example/model` has `2_Dense/pytorch_model.bin` but no `2_Dense/model.safetensors`"
    assert error.hint == "pickles can run code and are never read: save the model again with `safe_serialization=True`"


def test_weights_that_are_missing_are_named() -> None:
    assert (
        refusal(CONFIG, "config.json").message == "`example/model` needs `2_Dense/model.safetensors`, which is missing"
    )


def test_layers_have_to_fit_each_other() -> None:
    check_chain([LAYER], width=4, source="example/model")
    with pytest.raises(InputError, match="takes 4 numbers, but gets 3"):
        check_chain([LAYER, LAYER], width=None, source="example/model")
