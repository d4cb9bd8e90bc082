"""Own `bundle.json`: the decisions about an image's models as the runtime reads them; it decides nothing."""

import json
from typing import TYPE_CHECKING, Any

from builder import layout

if TYPE_CHECKING:
    from collections.abc import Sequence

    from builder.lock import LockedModel

VERSION = 1
CACHE = "/opt/hf-cache"  # HF_HOME of the image


def document(models: "Sequence[LockedModel]") -> bytes:
    """Return the text of `bundle.json` for `models`."""
    content = {"version": VERSION, "models": [_entry(model) for model in models]}
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()


def _entry(model: "LockedModel") -> dict[str, Any]:
    recipe = model.recipe
    return {
        "name": model.name,
        "task": recipe.task,
        "source": model.source,
        "revision": model.revision,
        "path": f"{CACHE}/{layout.snapshot_directory(model.source, model.revision)}",
        "graph": recipe.graph,
        "output": recipe.output,
        "pooling": recipe.pooling,
        "normalize": recipe.normalize,
        "dimensions": list(recipe.dimensions),
        "prompts": dict(recipe.prompts),
        "default_prompt": recipe.default_prompt,
        "max_length": recipe.max_length,
        "pad_token_id": recipe.pad_token_id,
        "activation": recipe.activation,
        "files": {
            path: {"size_bytes": file.size_bytes, "sha256": file.sha256} for path, file in sorted(model.files.items())
        },
    }
