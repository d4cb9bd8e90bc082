"""Own the layers that a sentence-transformers repository has between pooling and Normalize; it reads no weights."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from builder.errors import InputError
from builder.repository import Repository
from builder.sentence_transformers import Module

DenseActivation = Literal["identity", "tanh", "relu", "gelu", "silu", "sigmoid"]

_WEIGHTS = "model.safetensors"
_PICKLE = "pytorch_model.bin"
_DEFAULT_ACTIVATION = "torch.nn.modules.activation.Tanh"  # of the class, where its config names none
_ACTIVATIONS: dict[str, DenseActivation] = {
    "torch.nn.modules.linear.Identity": "identity",
    _DEFAULT_ACTIVATION: "tanh",
    "torch.nn.modules.activation.ReLU": "relu",
    "torch.nn.modules.activation.GELU": "gelu",
    "torch.nn.modules.activation.SiLU": "silu",
    "torch.nn.modules.activation.Sigmoid": "sigmoid",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Dense:
    """`activation(vector @ weight.T + bias)`, plus the vector itself with `residual`: projected to the new width."""

    kind: Literal["dense"] = "dense"
    weights: str
    in_features: int
    out_features: int
    bias: bool
    activation: DenseActivation
    residual: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerNorm:
    """Each vector to mean 0 and variance 1, then scaled and shifted."""

    kind: Literal["layer_norm"] = "layer_norm"
    weights: str
    in_features: int

    @property
    def out_features(self) -> int:
        """The width stays."""
        return self.in_features


Layer = Dense | LayerNorm


def decide_layers(modules: Sequence[Module], repository: Repository) -> tuple[Layer, ...]:
    """Decide each layer among `modules`, in order; raises InputError for one that can't be served."""
    return tuple(_DECIDERS[module.class_name](module, repository) for module in modules if is_layer(module))


def is_layer(module: Module) -> bool:
    """Tell whether a module is a layer."""
    return module.class_name in _DECIDERS


def read_layer(content: Mapping[str, Any]) -> Layer:
    """Make a layer of what a lock says of it; raises KeyError or TypeError."""
    return Dense(**content) if content["kind"] == "dense" else LayerNorm(**content)


def check_chain(layers: Sequence[Layer], *, width: int | None, source: str) -> None:
    """Raise InputError when a layer does not take what comes before it; `width` is that of the pooled vector."""
    for layer in layers:
        if width is not None and layer.in_features != width:
            message = f"`{layer.weights}` of `{source}` takes {layer.in_features} numbers, but gets {width}"
            raise InputError(message, hint="another `pooling` or `output` gives vectors of another width")
        width = layer.out_features


def _dense(module: Module, repository: Repository) -> Dense:
    config, place = module.config, _place(module, repository)
    activation = str(config.get("activation_function", _DEFAULT_ACTIVATION))
    if activation not in _ACTIVATIONS:
        raise InputError(f"{place} wants the activation `{activation}`, which is not supported yet")
    return Dense(
        weights=_weights(module, repository),
        in_features=_size(module, "in_features", repository),
        out_features=_size(module, "out_features", repository),
        bias=config.get("bias", True) is not False,
        activation=_ACTIVATIONS[activation],
        residual=config.get("use_residual") is True,
    )


def _layer_norm(module: Module, repository: Repository) -> LayerNorm:
    return LayerNorm(weights=_weights(module, repository), in_features=_size(module, "dimension", repository))


_DECIDERS: Mapping[str, Callable[[Module, Repository], Layer]] = {"Dense": _dense, "LayerNorm": _layer_norm}


def _size(module: Module, key: str, repository: Repository) -> int:
    size = module.config.get(key)
    if not isinstance(size, int) or size < 1:
        raise InputError(f"{_place(module, repository)} does not say `{key}`")
    return size


def _place(module: Module, repository: Repository) -> str:
    return f"`{module.folder}/config.json` of `{repository.source}`"


def _weights(module: Module, repository: Repository) -> str:
    path = f"{module.folder}/{_WEIGHTS}"
    if path in repository.files:
        return path
    pickle = f"{module.folder}/{_PICKLE}"
    if pickle in repository.files:
        hint = "pickles can run code and are never read: save the model again with `safe_serialization=True`"
        raise InputError(f"`{repository.source}` has `{pickle}` but no `{path}`", hint=hint)
    raise InputError(f"`{repository.source}` needs `{path}`, which is missing")
