"""Own what each input of a graph is fed with, decided from the graph's own names, types and shapes; it guesses none."""

import re
from dataclasses import dataclass
from typing import Literal

from builder.errors import InputError
from builder.graph import Graph, GraphValue

Feed = Literal["input_ids", "attention_mask", "token_type_ids", "position_ids", "adapter", "zeros"]
Size = int | Literal["batch", "sequence"]

_PER_TOKEN: dict[str, Feed] = {
    "input_ids": "input_ids",
    "attention_mask": "attention_mask",
    "token_type_ids": "token_type_ids",
    "input_type": "token_type_ids",
    "position_ids": "position_ids",
}
_INTEGERS = {"int64", "int32"}
_FLOATS = {"float32", "float16"}
_PAST = re.compile(r"past_key_values\.\d+\.(key|value)")
_FEATURES = {"image_features", "video_features", "audio_features"}
_CACHE_SWITCH = "use_cache_branch"
ADAPTER = "task_id"  # the one LoRA adapter of a whole run, as jina-embeddings-v3 calls it


@dataclass(frozen=True, kw_only=True, slots=True)
class Input:
    """What one input is fed with: something of the texts, their adapter, or zeros of a shape that is often empty."""

    feed: Feed
    dtype: str
    shape: tuple[Size, ...]


def decide_inputs(graph: Graph, *, path: str) -> dict[str, Input]:
    """Decide every input of the graph at `path`; raises InputError, which names what can't be fed."""
    decided = {value.name: _decide(value, path=path) for value in graph.inputs}
    if "input_ids" not in decided:
        names = ", ".join(f"`{name}`" for name in decided) or "none"
        raise InputError(f"`{path}` takes no `input_ids`: it is not a graph of a text model", hint=f"it takes {names}")
    return decided


def _decide(value: GraphValue, *, path: str) -> Input:
    if value.name in _PER_TOKEN and value.element_type in _INTEGERS:
        return Input(feed=_PER_TOKEN[value.name], dtype=value.element_type, shape=("batch", "sequence"))
    if _PAST.fullmatch(value.name) and value.element_type in _FLOATS:
        return Input(feed="zeros", dtype=value.element_type, shape=_empty_past(value, path=path))
    if value.name in _FEATURES and value.element_type in _FLOATS:
        return Input(feed="zeros", dtype=value.element_type, shape=_empty_features(value, path=path))
    if value.name == ADAPTER and value.element_type in _INTEGERS and value.dimensions in {(), (1,)}:
        return Input(feed="adapter", dtype=value.element_type, shape=() if value.dimensions == () else (1,))
    if value.name == _CACHE_SWITCH and value.element_type == "bool":
        return Input(feed="zeros", dtype="bool", shape=(1,))
    raise InputError(f"`{path}` wants the input `{value.name}` ({value.element_type}), not supported yet")


def _empty_past(value: GraphValue, *, path: str) -> tuple[Size, ...]:
    """Return a cache of no tokens, `[batch, heads, 0, head size]`."""
    match value.dimensions:
        case (_, int(heads), _, int(head_size)):
            return ("batch", heads, 0, head_size)
    raise _unknown_shape(value, "[batch, heads, length, head size] with numbers for heads and head size", path=path)


def _empty_features(value: GraphValue, *, path: str) -> tuple[Size, ...]:
    """Return no features of the graph's width, `[0, width]`: no picture, film or sound comes with a text."""
    match value.dimensions:
        case (0 | str() | None, int(width)):
            return (0, width)
    raise _unknown_shape(value, "[any number, width] with a number for the width", path=path)


def _unknown_shape(value: GraphValue, wanted: str, *, path: str) -> InputError:
    shape = "unknown" if value.dimensions is None else f"`{list(value.dimensions)}`"
    return InputError(f"the shape of `{path}`'s input `{value.name}` is {shape}, not {wanted}")
