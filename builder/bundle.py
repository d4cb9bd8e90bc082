"""Own `bundle.json`: the decisions about an image's models as the runtime reads them; it decides nothing."""

import hashlib
import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from builder import layout

if TYPE_CHECKING:
    from collections.abc import Sequence

    from builder.lock import LockedModel

VERSION = 2
CACHE = "/opt/hf-cache"  # HF_HOME of the image


def document(models: "Sequence[LockedModel]", *, cache: str = CACHE) -> bytes:
    """Return the text of `bundle.json` for `models`, whose files lie in the folder `cache`."""
    content = {"version": VERSION, "models": [_entry(model, cache=cache) for model in models]}
    # Sorted, because a lock that is read back has its keys in another order than one that was just made.
    return (json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def digest(text: bytes) -> str:
    """Return the digest by which an image's label names its `bundle.json`."""
    return f"sha256:{hashlib.sha256(text).hexdigest()}"


def _entry(model: "LockedModel", *, cache: str) -> dict[str, Any]:
    overlay = {} if model.optimization is None else {"overlay": _overlay(model, cache=cache)}
    return {
        **asdict(model.recipe),
        "footprint": model.footprint and asdict(model.footprint),
        "name": model.name,
        "source": model.source,
        "revision": model.revision,
        "path": f"{cache}/{layout.snapshot_directory(model.source, model.revision)}",
        "files": {
            path: {"size_bytes": file.size_bytes, "sha256": file.sha256} for path, file in sorted(model.files.items())
        },
        **overlay,
    }


def _overlay(model: "LockedModel", *, cache: str) -> dict[str, Any]:
    """Say where the build puts a derived graph, and which files it stands in for: what it is shows only then."""
    place = layout.optimized_directory(model.source, model.revision, name=model.name)
    return {"path": f"{cache}/{place}", "replaces": list(model.replaced_files)}


def without_overlays(models: "Sequence[LockedModel]") -> "tuple[LockedModel, ...]":
    """Return `models` as their originals, for what has no derived graph."""
    return tuple(replace(model, optimization=None, samples=None) for model in models)
