"""Own `bundle.json`: the decisions about an image's models as the runtime reads them; it decides nothing."""

import json
from dataclasses import asdict
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


def _entry(model: "LockedModel", *, cache: str) -> dict[str, Any]:
    recipe = model.recipe
    return {
        "name": model.name,
        "task": recipe.task,
        "source": model.source,
        "revision": model.revision,
        "path": f"{cache}/{layout.snapshot_directory(model.source, model.revision)}",
        "graph": recipe.graph,
        "inputs": {name: asdict(value) for name, value in recipe.inputs.items()},
        "output": recipe.output,
        "pooling": list(recipe.pooling),
        "include_prompt": recipe.include_prompt,
        "layers": [asdict(layer) for layer in recipe.layers],
        "normalize": recipe.normalize,
        "dimensions": list(recipe.dimensions),
        "adapters": dict(recipe.adapters),
        "labels": list(recipe.labels),
        "activation": recipe.activation,
        "answer_tokens": list(recipe.answer_tokens),
        "template": recipe.template,
        "windows": None if recipe.windows is None else asdict(recipe.windows),
        "prompts": dict(recipe.prompts),
        "default_prompt": recipe.default_prompt,
        "max_length": recipe.max_length,
        "pad_token_id": recipe.pad_token_id,
        "padding_side": recipe.padding_side,
        "first_position": recipe.first_position,
        "quantizes_dynamically": recipe.quantizes_dynamically,
        "batching": recipe.batching,
        "files": {
            path: {"size_bytes": file.size_bytes, "sha256": file.sha256} for path, file in sorted(model.files.items())
        },
    }
