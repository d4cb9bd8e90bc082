"""Own `models.yaml`: text to a frozen `Manifest`, with every problem found at once; no file of a model is read."""

import difflib
import os.path
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    StringConstraints,
    ValidationError,
    model_validator,
)

from builder import document, quantity, reference, samples
from builder.document import Document
from builder.errors import InputError, Problem, ProblemsError
from builder.template import check_template

Task = Literal["embedding", "reranker", "classifier"]
Dtype = Literal["fp32", "fp16", "q8", "int8", "uint8", "q4", "q4f16", "bnb4"]
PoolingMode = Literal["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]
Activation = Literal["sigmoid", "identity", "softmax"]
LongDocuments = Literal["truncate", "windows"]
Kind = Literal["server", "models"]
Quantize = Literal["none", "int8", "q4"]
Variant = Literal["int8", "int8-vnni", "q4"]

_NAME = r"^[a-z0-9]+(?:[._-][a-z0-9]+)*$"
_REPOSITORY_ID = r"^[\w.-]+/[\w.-]+$"
_REVISION = r"^[\w./-]+$"
_PLATFORM = r"^linux/(amd64|arm64)$"

Name = Annotated[str, StringConstraints(pattern=_NAME, max_length=64)]
RepositoryId = Annotated[str, StringConstraints(pattern=_REPOSITORY_ID, max_length=96)]
Revision = Annotated[str, StringConstraints(pattern=_REVISION, max_length=128)]
Tag = Annotated[str, AfterValidator(lambda text: text if "{" in text else reference.check_tag(text))]
TagPattern = Annotated[str, AfterValidator(reference.check_tag_pattern)]
Count = Annotated[int, Field(gt=0, strict=True)]
Number = Annotated[int, Field(ge=0, strict=True)]
Pooling = Annotated[
    list[PoolingMode],
    BeforeValidator(
        lambda value: [value] if isinstance(value, str) else value,
        json_schema_input_type=PoolingMode | Annotated[list[PoolingMode], Field(min_length=1)],
    ),
    Field(min_length=1),
]


Size = Annotated[int, BeforeValidator(quantity.parse, json_schema_input_type=Count | str)]
Share = Annotated[float, Field(ge=0, le=1)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Optimize(_Section):
    """How a model's graph is made faster and smaller in the build, and how near to the original it has to answer."""

    graph: bool = True
    quantize: Quantize = "none"
    variants: list[Variant] = []
    fuse_pooling: bool = True
    keep_original: bool = False
    insist: bool = False
    exclude: list[str] = []
    samples: str | None = None
    min_mean_cosine: Share = 0.99
    min_top10_overlap: Share = 0.95

    @model_validator(mode="after")
    def _asks_for_something(self) -> Self:
        if not self.graph and not self.fuse_pooling and self.quantize == "none" and not self.variants:
            msg = "nothing is left to optimise: remove `optimize`, or one of `graph: false` and `fuse_pooling: false`"
            raise ValueError(msg)
        return self


class Model(_Section):
    """One model: where it comes from, and what its repository does not say about serving it."""

    task: Task
    repo: RepositoryId | None = None
    revision: Revision = "main"
    path: str | None = None
    dtype: Dtype = "fp32"
    graph: str | None = None
    output: str | None = None
    pooling: Pooling | None = None
    normalize: bool | None = None
    prompts: dict[str, str] | None = None
    default_prompt: str | None = None
    dimensions: Annotated[list[Count], Field(min_length=1)] | None = None
    max_length: Count | None = None
    activation: Activation | None = None
    adapters: dict[str, Number] | None = None
    template: Annotated[str, AfterValidator(check_template)] | None = None
    true_token: str | None = None
    false_token: str | None = None
    long_documents: LongDocuments | None = None
    batching: bool | None = None
    optimize: Optimize | None = None
    _name: str = PrivateAttr("")

    @property
    def name(self) -> str:
        """The key of `models` that it stands under."""
        return self._name

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        if (self.repo is None) == (self.path is None):
            msg = "give either `repo` (a Hub repository) or `path` (a local folder)"
            raise ValueError(msg)
        return self


class Image(_Section):
    """One image: the models in it and the names it gets once it is tested."""

    models: Annotated[list[str], Field(min_length=1)]
    kind: Kind = "server"
    repository: Annotated[str, AfterValidator(reference.check_repository)] | None = None
    tags: Annotated[list[Tag], Field(min_length=1)] = ["latest"]
    immutable: list[TagPattern] | None = None


class Defaults(_Section):
    """What every image shares unless it says otherwise."""

    base: Annotated[str, AfterValidator(reference.check_base)] = "debian:bookworm-slim"
    platform: Annotated[str, StringConstraints(pattern=_PLATFORM)] | None = None
    immutable: list[TagPattern] = []


class Gates(_Section):
    """What an image has to keep to before it gets a name; only `secrets` is asked for where nothing is said."""

    licences: list[str] | None = None
    max_size: Size | None = None
    max_duplicates: Size | None = None
    min_golden_cosine: Share | None = None
    min_tokens_per_second: Count | None = None
    secrets: bool = True


class Manifest(_Section):
    """The whole of `models.yaml`."""

    version: Literal[1]
    vars: dict[str, str] = {}
    defaults: Defaults = Defaults()
    gates: Gates = Gates()
    models: Annotated[dict[Name, Model], Field(min_length=1)]
    images: Annotated[dict[Name, Image], Field(min_length=1)]
    _document: Document = PrivateAttr()

    def problem(self, path: document.Path, message: str) -> Problem:
        """Make a problem at `path`, with the file and the line that it stands in."""
        return self._document.problem(path, message)

    @model_validator(mode="after")
    def _name_models(self) -> Self:
        for name, model in self.models.items():
            model._name = name  # noqa: SLF001 - not a key of the file, so not a field
        return self


_SECTIONS: Mapping[str, type[_Section]] = {"models": Model, "images": Image, "defaults": Defaults, "gates": Gates}

_DEPTH_OF_A_MODEL_KEY = 3  # `models`, its name, the key

# What a failed check of pydantic means to the person who wrote the file.
_EXPECTED = {
    "string_type": "must be a string",
    "int_type": "must be a whole number",
    "bool_type": "must be `true` or `false`",
    "float_type": "must be a number",
    "less_than_equal": "must be at most one",
    "list_type": "must be a list",
    "dict_type": "must be a mapping of names to values",
    "model_type": "must be a mapping of keys to values",
    "greater_than": "must be greater than zero",
    "greater_than_equal": "must be zero or more",
    "missing": "this key is required",
    "too_short": "must not be empty",
}

_QUOTES = "YAML reads yes, no, on and off as true and false: put it in quotes"

_PATTERNS = {
    _NAME: "is not a name: use lower-case letters and digits, joined by `.`, `_` or `-`",
    _REPOSITORY_ID: "is not a Hub repository: write `organisation/name`",
    _REVISION: "is not a revision: give a commit, a branch or a tag",
    _PLATFORM: "is not a platform that the runtime has wheels for: use `linux/amd64` or `linux/arm64`",
}


def load(file: Path, *, environment: Mapping[str, str], has_folders: bool = True) -> Manifest:
    """Read and check the manifest in `file`; the folders of local models need not be there unless it `has_folders`.

    Raises InputError when it can't be read, and ProblemsError with every problem of it.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        hint = "pass the manifest's path: build-image --models models.yaml"
        raise InputError(f"there is no manifest at `{file}`", hint=hint) from error
    except OSError as error:
        raise InputError(f"`{file}` can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"`{file}` can't be read: it is not UTF-8 text") from error
    return parse(text, file=file, environment=environment, has_folders=has_folders)


def parse(text: str, *, file: Path, environment: Mapping[str, str], has_folders: bool = True) -> Manifest:
    """Check the manifest's text; paths in it are relative to the folder of `file`."""
    read = document.parse(text, file=str(file), environment=environment)
    problems = list(read.problems)
    manifest = None
    if not problems or read.data is not None:
        try:
            manifest = Manifest.model_validate(read.data if read.data is not None else {})
        except ValidationError as error:
            problems += [_problem(read, details) for details in error.errors(include_url=False)]
        # As everywhere, the paths of a manifest that is a link are relative to the file that it leads to.
        directory = (file.resolve() if file.is_symlink() else file).parent
        problems += _cross_check(read, directory if has_folders else None)
    if manifest is None or problems:
        raise ProblemsError(sorted(problems, key=lambda problem: problem.line or 0))
    manifest._document = read  # noqa: SLF001 - not a key of the file, so not a field
    return manifest


def _problem(read: Document, details: Any) -> Problem:  # noqa: ANN401 - pydantic's TypedDict has no public import
    path = tuple(part for part in details["loc"] if part != "[key]")
    kind = details["type"]
    if kind == "extra_forbidden":
        return read.problem(path, "unknown key", hint=did_you_mean(str(path[-1]), _known_keys(path)))
    if kind == "literal_error":
        allowed = details["ctx"]["expected"]
        return read.problem(path, f"must be {allowed.replace(chr(39), '`')}, not `{details['input']}`")
    if kind == "string_pattern_mismatch":
        return read.problem(path, f"`{details['input']}` {_PATTERNS[details['ctx']['pattern']]}")
    if kind == "value_error":
        return read.problem(path, str(details["ctx"]["error"]))
    message = _EXPECTED.get(kind, details["msg"])
    if kind.endswith("_type"):
        message += f", not `{details['input']}`"
    is_quoteless = kind == "string_type" and isinstance(details["input"], bool)
    return read.problem(path, message, hint=_QUOTES if is_quoteless else None)


def _known_keys(path: tuple[str | int, ...]) -> list[str]:
    section: type[_Section] = Manifest
    if len(path) > 1:
        section = _SECTIONS[str(path[0])]
    if len(path) > _DEPTH_OF_A_MODEL_KEY and path[2] == "optimize":
        section = Optimize
    return list(section.model_fields)


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """Return the hint for a word that is none of `known`."""
    close = difflib.get_close_matches(word, known, n=1)
    return f"did you mean `{close[0]}`?" if close else f"known here: {', '.join(known)}"


def _cross_check(read: Document, directory: Path | None) -> Iterator[Problem]:
    """Find what no single value shows; works on raw data, so that other problems hide none of these."""
    models = _mapping(_mapping(read.data).get("models"))
    images = _mapping(_mapping(read.data).get("images"))
    for name, model in models.items():
        yield from _check_model(read, name, _mapping(model), directory)
    for name, image in images.items():
        yield from _check_members(read, name, _mapping(image).get("models"), models)


def _check_model(read: Document, name: str, model: Mapping[str, Any], directory: Path | None) -> Iterator[Problem]:
    path = model.get("path")
    # `Path.is_dir` raises for text that can name no file.
    if isinstance(path, str) and directory is not None and not os.path.isdir(directory / path):  # noqa: PTH112
        yield read.problem(("models", name, "path"), f"there is no folder `{directory / path}`")
    texts = _mapping(model.get("optimize")).get("samples")
    if isinstance(texts, str) and directory is not None:
        try:
            samples.read(directory / texts)
        except ValueError as error:
            yield read.problem(("models", name, "optimize", "samples"), str(error))
    default, prompts = model.get("default_prompt"), _mapping(model.get("prompts"))
    if isinstance(default, str) and prompts and default not in prompts:
        hint = did_you_mean(default, list(prompts))
        yield read.problem(("models", name, "default_prompt"), f"there is no prompt `{default}`", hint=hint)


def _check_members(read: Document, image: str, members: object, models: Mapping[str, Any]) -> Iterator[Problem]:
    seen: set[str] = set()
    owners: dict[str, str] = {}
    for index, member in enumerate(members if isinstance(members, list) else []):
        path = ("images", image, "models", index)
        if isinstance(member, str) and member not in models:
            yield read.problem(path, f"there is no model `{member}`", hint=did_you_mean(member, list(models)))
        if isinstance(member, str) and member in seen:
            yield read.problem(path, f"`{member}` is in the list twice")
        seen.add(str(member))
        repository = _mapping(models.get(str(member))).get("repo")
        if isinstance(repository, str) and owners.setdefault(repository, str(member)) != member:
            both = f"`{member}` and `{owners[repository]}` are both of `{repository}`"
            yield read.problem(path, f"{both}, which a cache has once", hint="give each an image of its own")


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
