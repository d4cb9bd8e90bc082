"""Own what a manifest's models resolve to: one exact revision, its files and how it is served; it builds nothing."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from builder.recipe import Recipe


@dataclass(frozen=True, kw_only=True, slots=True)
class LockedModel:
    """One model, decided: `source` is its organisation/name, `revision` its commit or the digest of its folder."""

    name: str
    source: str
    revision: str
    recipe: Recipe
    folder: Path | None
    cache_files: Mapping[str, bytes]

    @property
    def is_fetched(self) -> bool:
        """Whether a stage downloads it; otherwise it is copied from `folder`."""
        return self.folder is None


@dataclass(frozen=True, slots=True)
class Lock:
    """Every model of a manifest by its name."""

    models: Mapping[str, LockedModel]

    @property
    def digest(self) -> str:
        """Twelve hexadecimal digits that change with any decision: `{{ lock.digest }}` in a tag."""
        decided = {name: [model.source, model.revision, asdict(model.recipe)] for name, model in self.models.items()}
        text = json.dumps(decided, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:12]
