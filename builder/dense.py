"""Own the Dense layers that a sentence-transformers repository has outside of its graph; their weights are not read."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from builder.errors import InputError
from builder.repository import Repository
from builder.sentence_transformers import Module

DenseActivation = Literal["identity", "tanh"]

_WEIGHTS = "model.safetensors"
_PICKLE = "pytorch_model.bin"
_ACTIVATIONS: dict[str, DenseActivation] = {
    "torch.nn.modules.linear.Identity": "identity",
    "torch.nn.modules.activation.Tanh": "tanh",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Dense:
    """One layer after pooling: `activation(vector @ weight.T + bias)`; `weights` is the path of its safetensors."""

    weights: str
    in_features: int
    out_features: int
    bias: bool
    activation: DenseActivation


def decide_dense(modules: Sequence[Module], repository: Repository) -> tuple[Dense, ...]:
    """Decide each layer among `modules`, in order; raises InputError for one that can't be served."""
    return tuple(_layer(module, repository) for module in modules if module.class_name == "Dense")


def check_chain(layers: Sequence[Dense], *, width: int | None, source: str) -> None:
    """Raise InputError when a layer does not take what comes before it; `width` is that of the pooled vector."""
    for layer in layers:
        if width is not None and layer.in_features != width:
            message = f"`{layer.weights}` of `{source}` takes {layer.in_features} numbers, but gets {width}"
            raise InputError(message, hint="another `pooling` or `output` gives vectors of another width")
        width = layer.out_features


def _layer(module: Module, repository: Repository) -> Dense:
    place = f"`{module.folder}/config.json` of `{repository.source}`"
    config = module.config
    sizes = (config.get("in_features"), config.get("out_features"))
    match sizes:
        case (int(in_features), int(out_features)):
            pass
        case _:
            raise InputError(f"{place} does not say `in_features` and `out_features`")
    if config.get("use_residual"):
        raise InputError(f"{place} wants a residual connection, which is not supported yet")
    activation = str(config.get("activation_function"))
    if activation not in _ACTIVATIONS:
        raise InputError(f"{place} wants the activation `{activation}`, which is not supported yet")
    return Dense(
        weights=_weights(module, repository),
        in_features=in_features,
        out_features=out_features,
        bias=config.get("bias", True) is not False,
        activation=_ACTIVATIONS[activation],
    )


def _weights(module: Module, repository: Repository) -> str:
    path = f"{module.folder}/{_WEIGHTS}"
    if path in repository.files:
        return path
    pickle = f"{module.folder}/{_PICKLE}"
    if pickle in repository.files:
        hint = "pickles can run code and are never read: save the model again with `safe_serialization=True`"
        raise InputError(f"`{repository.source}` has `{pickle}` but no `{path}`", hint=hint)
    raise InputError(f"`{repository.source}` needs `{path}`, which is missing")
