"""Own which files of a repository are used: the graph of a dtype, its weights and what clients read; no bytes move."""

import posixpath
import re
from collections.abc import Sequence

from builder.errors import InputError
from builder.manifest import Model
from builder.repository import Repository

# The names under which transformers.js looks for a graph.
DTYPE_SUFFIXES = {
    "fp32": "",
    "fp16": "_fp16",
    "q8": "_quantized",
    "int8": "_int8",
    "uint8": "_uint8",
    "q4": "_q4",
    "q4f16": "_q4f16",
    "bnb4": "_bnb4",
}

# What huggingface_hub's, transformers', sentence-transformers' and transformers.js's users open, and the licence.
# Code, pickles and second copies of the weights are not in it.
_BAKED = re.compile(
    r"(added_tokens|config|config_sentence_transformers|generation_config|modules|sentence_[\w-]+_config"
    r"|special_tokens_map|tokenizer|tokenizer_config)\.json"
    r"|\d+_\w+/config\.json"
    r"|(README|LICEN[CS]E|NOTICE)(\.md|\.txt)?"
)


def graph_path(model: Model, repository: Repository) -> str:
    """Choose the ONNX file: the manifest's `graph`, else that of `dtype`; raises InputError when there is none."""
    key = f"models.{model.name}"
    graphs = sorted(path for path in repository.files if path.endswith(".onnx"))
    if not graphs:
        hint = f"set `{key}.repo` to an ONNX export of the model, or export it yourself and give its folder as `path`"
        raise InputError(f"`{repository.source}` has no ONNX file", hint=hint)
    if model.graph is not None:
        if model.graph not in graphs:
            hint = f"set `{key}.graph` to one of: {', '.join(graphs)}"
            raise InputError(f"`{repository.source}` has no ONNX file `{model.graph}`", hint=hint)
        return model.graph
    found = _graphs_by_dtype(graphs)
    if model.dtype not in found:
        choice = (
            f"`{key}.dtype` to one of: {', '.join(found)}" if found else f"`{key}.graph` to one of: {', '.join(graphs)}"
        )
        raise InputError(f"`{repository.source}` has no graph of dtype `{model.dtype}`", hint=f"set {choice}")
    return found[model.dtype]


def _graphs_by_dtype(graphs: Sequence[str]) -> dict[str, str]:
    candidates = {
        dtype: [f"{folder}model{suffix}.onnx" for folder in ("onnx/", "")] for dtype, suffix in DTYPE_SUFFIXES.items()
    }
    return {
        dtype: next(path for path in paths if path in graphs)
        for dtype, paths in candidates.items()
        if set(paths) & set(graphs)
    }


def external_data_paths(graph: str, locations: Sequence[str], repository: Repository) -> tuple[str, ...]:
    """Return where in the repository the weights of `graph` lie; raises InputError when one is missing or outside."""
    return tuple(_external_data_path(graph, location, repository) for location in locations)


def _external_data_path(graph: str, location: str, repository: Repository) -> str:
    path = posixpath.normpath(posixpath.join(posixpath.dirname(graph), location))
    if path.startswith(("../", "/")) or path in {".", ".."}:
        raise InputError(f"`{graph}` of `{repository.source}` has weights outside of its repository: `{location}`")
    folder = posixpath.dirname(graph)
    if folder and not path.startswith(f"{folder}/"):
        hint = "ONNX Runtime reads no weights from outside of the graph's folder: export the model again"
        raise InputError(
            f"`{graph}` of `{repository.source}` has weights outside of its folder: `{location}`", hint=hint
        )
    if path not in repository.files:
        hint = "the export is incomplete: the file has to lie beside the graph under exactly this name"
        raise InputError(f"`{graph}` of `{repository.source}` needs `{path}`, which is missing", hint=hint)
    return path


def is_companion(path: str) -> bool:
    """Tell whether clients read a file beside any graph, so that it is neither a graph nor the weights of one."""
    return _BAKED.fullmatch(path) is not None


def baked_paths(repository: Repository, *, graph: str, weights: Sequence[str]) -> tuple[str, ...]:
    """List every file that goes into the image, sorted; raises InputError when there is no `tokenizer.json`."""
    if "tokenizer.json" not in repository.files:
        hint = "save one with transformers: AutoTokenizer.from_pretrained(...).save_pretrained(...)"
        raise InputError(f"`{repository.source}` has no `tokenizer.json`", hint=hint)
    companions = {path for path in repository.files if is_companion(path)}
    return tuple(sorted({graph, *weights, *companions}))
