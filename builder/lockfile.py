"""Own `models.lock`: a `Lock` to stable text and back; it resolves nothing.

JSON with sorted keys, so that two equal locks are equal files and a change is a short diff.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from builder import optimization, whole
from builder.errors import InputError
from builder.footprint import Footprint
from builder.inputs import Input
from builder.layers import read_layer
from builder.lock import Lock, LockedFile, LockedModel, OutdatedModel
from builder.recipe import Recipe
from builder.reranking import Windows

VERSION = 2
_OUTDATED = {1}  # before labels, adapters, templates and batching were decided


def read(path: Path) -> Lock:
    """Read a lock; a file that does not exist is an empty one, and in one of an older release models are outdated.

    Raises InputError for anything else than a lock.
    """
    hint = f"remove `{path}` and run `build-image lock`"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Lock()
    except (OSError, ValueError) as error:
        raise InputError(f"the lock `{path}` can't be read: {error}", hint=hint) from error
    try:
        if content["version"] not in {VERSION, *_OUTDATED}:
            message = f"`{path}` is a lock of version `{content['version']}`, and this release reads `{VERSION}`"
            raise InputError(message, hint=f"use the release that wrote it, or {hint}")
        return _lock(content)
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"`{path}` is not a lock: {type(error).__name__}: {error}", hint=hint) from error


def text(lock: Lock) -> str:
    """Return the text of a lock."""
    models = {name: _model_content(model) for name, model in lock.models.items()}
    content = {"version": VERSION, "bases": dict(lock.bases), "models": models}
    return json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def write(lock: Lock, path: Path) -> bool:
    """Write a lock, so that `path` holds the old one or the whole new one; return whether that changed anything.

    Where nothing changes nothing is written, so that a read-only folder does no harm. Raises InputError.
    """
    content = text(lock)
    try:
        if path.exists() and path.read_text(encoding="utf-8") == content:
            return False
        whole.write(path, content.encode())
    except OSError as error:
        hint = f"run `build-image lock` where it can be written, commit `{path.name}`, and build here with --locked"
        raise InputError(f"the lock `{path}` can't be written: {error.strerror}", hint=hint) from error
    return True


def _model_content(model: LockedModel) -> dict[str, Any]:
    decided = asdict(model.recipe)
    del decided["files"]  # they are the keys of `files`
    return {
        "asked": dict(model.asked),
        "source": model.source,
        "revision": model.revision,
        "licence": model.licence,
        "gated": model.is_gated,
        "recipe": decided,
        "footprint": model.footprint and asdict(model.footprint),
        "files": {path: asdict(file) for path, file in model.files.items()},
        **({"optimization": asdict(model.optimization)} if model.optimization else {}),
    }


def _lock(content: Mapping[str, Any]) -> Lock:
    if content["version"] in _OUTDATED:
        held = content["models"].items()
        outdated = {name: OutdatedModel(asked=entry["asked"], revision=entry["revision"]) for name, entry in held}
        return Lock(outdated=outdated, bases=dict(content["bases"]))
    models = {name: _model(name, entry) for name, entry in content["models"].items()}
    return Lock(models=models, bases=dict(content["bases"]))


def _model(name: str, entry: Mapping[str, Any]) -> LockedModel:
    files = {path: LockedFile(**file) for path, file in entry["files"].items()}
    return LockedModel(
        name=name,
        asked=entry["asked"],
        source=entry["source"],
        revision=entry["revision"],
        licence=entry["licence"],
        is_gated=entry["gated"],
        recipe=_recipe(entry["recipe"], files=tuple(sorted(files))),
        files=files,
        folder=None,
        footprint=_footprint(entry.get("footprint")),
        optimization=optimization.read(entry["optimization"]) if "optimization" in entry else None,
    )


def _footprint(entry: Mapping[str, int] | None) -> Footprint | None:
    """Read what a lock of an earlier release lacks."""
    return None if entry is None else Footprint(**entry)


def _recipe(decided: Mapping[str, Any], *, files: tuple[str, ...]) -> Recipe:
    if missing := {known.name for known in fields(Recipe)} - {*decided, "files"}:
        raise KeyError(min(missing))
    inputs = {name: Input(**{**value, "shape": tuple(value["shape"])}) for name, value in decided["inputs"].items()}
    lists = {key: tuple(decided[key]) for key in ("pooling", "dimensions", "labels", "answer_tokens")}
    layers = tuple(map(read_layer, decided["layers"]))
    windows = None if decided["windows"] is None else Windows(**decided["windows"])
    return Recipe(**{**decided, **lists, "inputs": inputs, "layers": layers, "windows": windows, "files": files})
