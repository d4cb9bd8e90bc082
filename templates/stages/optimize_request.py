"""Own what the program is told: how a graph is fed and read, and what is wished for; it reads no graph."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

QUANTIZATIONS = ("int8", "int8-vnni", "q4")
DENSE = "dense"


@dataclass(frozen=True, kw_only=True, slots=True)
class Input:
    """What one input of a graph is fed with: something of the texts, or zeros of this shape."""

    feed: str
    dtype: str
    shape: tuple[int | str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Layer:
    """A layer after pooling: its `kind`, the file of its weights, and for a dense one how it activates."""

    kind: str
    weights: str
    activation: str
    is_residual: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Wishes:
    """What the manifest asks for; `attention` is part of `graph`, unless it is said apart."""

    graph: bool
    attention: bool
    quantize: str | None
    fuse_pooling: bool
    fuse_normalize: bool
    insist: bool
    exclude: tuple[str, ...]
    min_mean_cosine: float | None

    @classmethod
    def parse(cls, wished: Mapping[str, Any]) -> Self:
        """Read the section `optimize`."""
        quantize = wished.get("quantize", "none")
        return cls(
            graph=wished.get("graph", True),
            attention=wished.get("attention", wished.get("graph", True)),
            quantize=None if quantize == "none" else known(quantize),
            fuse_pooling=wished.get("fuse_pooling", True),
            fuse_normalize=wished.get("fuse_normalize", False),
            insist=wished.get("insist", False),
            exclude=tuple(wished.get("exclude", ())),
            min_mean_cosine=wished.get("min_mean_cosine"),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One graph to optimise; `document` is all that was said, of which the answer repeats what stays the same."""

    graph: Path
    task: str
    inputs: Mapping[str, Input]
    output: str
    pooling: tuple[str, ...]
    include_prompt: bool
    layers: tuple[Layer, ...]
    normalize: bool
    answer_tokens: tuple[int, ...]
    first_position: int
    wishes: Wishes
    variants: tuple[str, ...]
    document: Mapping[str, Any]

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Self:
        """Read what the request says; raises KeyError and ValueError where it is no request."""
        return cls(
            graph=Path(document["graph"]),
            task=document["task"],
            inputs={name: _input(value) for name, value in document["inputs"].items()},
            output=document["output"],
            pooling=tuple(document["pooling"]),
            include_prompt=document["include_prompt"],
            layers=tuple(_layer(layer) for layer in document["layers"]),
            normalize=document["normalize"],
            answer_tokens=tuple(document["answer_tokens"]),
            first_position=document.get("first_position", 0),
            wishes=Wishes.parse(document["optimize"]),
            variants=tuple(known(name) for name in document.get("variants", ())),
            document=document,
        )

    def fed_with(self, feed: str) -> str | None:
        """Name the input that is fed with this."""
        return next((name for name, value in self.inputs.items() if value.feed == feed), None)


def known(quantization: str) -> str:
    """Return the name of a quantisation; raises ValueError for another one."""
    if quantization not in QUANTIZATIONS:
        raise ValueError(f"`{quantization}` is none of {', '.join(QUANTIZATIONS)}")
    return quantization


def _input(value: Mapping[str, Any]) -> Input:
    return Input(feed=value["feed"], dtype=value["dtype"], shape=tuple(value["shape"]))


def _layer(layer: Mapping[str, Any]) -> Layer:
    return Layer(
        kind=layer["kind"],
        weights=layer["weights"],
        activation=layer.get("activation", "identity"),
        is_residual=layer.get("residual", False),
    )
