"""Own `bundle.json`, the decisions baked with the models: read and checked whole, nothing left out is guessed."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from runtime.errors import BundleError

VERSION = 1

Task = Literal["embedding", "reranker"]
PoolingMode = Literal["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]
Activation = Literal["sigmoid", "identity"]
DenseActivation = Literal["identity", "tanh"]
Feed = Literal["input_ids", "attention_mask", "token_type_ids", "position_ids", "zeros"]
Dtype = Literal["int64", "int32", "float32", "float16", "bool"]
Size = Annotated[int, msgspec.Meta(ge=0)] | Literal["batch", "sequence"]
Side = Literal["left", "right"]

_Text = Annotated[str, msgspec.Meta(min_length=1)]
_Count = Annotated[int, msgspec.Meta(ge=1)]


class BakedFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file as it was locked."""

    size_bytes: Annotated[int, msgspec.Meta(ge=0)]
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class Input(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one input of a graph is fed with: something of the texts, or zeros of this shape."""

    feed: Feed
    dtype: Dtype
    shape: tuple[Size, ...]


class Dense(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One layer after pooling; `weights` is a safetensors file of the model."""

    weights: _Text
    in_features: _Count
    out_features: _Count
    bias: bool
    activation: DenseActivation


class Model(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one model is served; `pooling` is empty where the output already is one vector a text."""

    name: _Text
    task: Task
    source: _Text
    revision: _Text
    path: _Text
    graph: _Text
    inputs: dict[str, Input]
    output: _Text
    pooling: tuple[PoolingMode, ...]
    include_prompt: bool
    dense: tuple[Dense, ...]
    normalize: bool
    dimensions: tuple[_Count, ...]
    prompts: dict[str, str]
    default_prompt: str | None
    max_length: _Count
    pad_token_id: Annotated[int, msgspec.Meta(ge=0)]
    padding_side: Side
    activation: Activation | None
    files: dict[str, BakedFile]

    @property
    def graph_file(self) -> Path:
        """Say where the ONNX graph lies."""
        return Path(self.path, self.graph)

    @property
    def tokenizer_file(self) -> Path:
        """Say where the tokenizer lies."""
        return Path(self.path, "tokenizer.json")


class Bundle(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The models of one image, in the order in which they are loaded."""

    version: Literal[1]
    models: tuple[Model, ...]


class _Versioned(msgspec.Struct):
    version: int


def read_bundle(path: Path) -> Bundle:
    """Read the bundle and look for every file that it names.

    Raises BundleError, with all problems in one line.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BundleError(f"`{path}`: {error.strerror}") from error
    try:
        # the version comes first: a later one may have any other shape
        version = msgspec.json.decode(content, type=_Versioned).version
        if version != VERSION:
            raise BundleError(f"`{path}`: version `{version}` is not the one this server reads, `{VERSION}`")
        bundle = msgspec.json.decode(content, type=Bundle)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BundleError(f"`{path}`: {error}") from error
    if problems := list(_problems(bundle)):
        raise BundleError(f"`{path}`: {'; '.join(problems)}")
    return bundle


def _problems(bundle: Bundle) -> Iterator[str]:
    if not bundle.models:
        yield "it names no models"
    for name, count in Counter(model.name for model in bundle.models).items():
        if count > 1:
            yield f"{count} models are called `{name}`"
    for model in bundle.models:
        for problem in (*_decision_problems(model), *_file_problems(model)):
            yield f"model `{model.name}`: {problem}"


def _decision_problems(model: Model) -> Iterator[str]:
    if all(value.feed != "input_ids" for value in model.inputs.values()):
        yield "no input is fed with `input_ids`"
    if model.default_prompt is not None and model.default_prompt not in model.prompts:
        yield f"the default prompt `{model.default_prompt}` is not among the prompts"
    if model.task == "reranker":
        if model.activation is None:
            yield "a reranker needs an activation"
        return
    if model.dense and not model.pooling:
        yield "dense layers come after pooling, and there is none"
    if not model.dimensions:
        yield "an embedding model needs its dimensions"
    elif max(model.dimensions) > model.dimensions[0]:
        yield f"no dimension can be above the native one, `{model.dimensions[0]}`"


def _file_problems(model: Model) -> Iterator[str]:
    if not Path(model.path).is_absolute():
        yield f"`{model.path}` is not an absolute path"
        return
    weights = [Path(model.path, layer.weights) for layer in model.dense]
    for file in (model.graph_file, model.tokenizer_file, *weights):
        if not file.is_file():
            yield f"`{file}` is not a file"
