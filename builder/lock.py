"""Own what a manifest's models resolve to: one exact revision, its files and how it is served; it builds nothing."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from builder import folder, layout, recipe
from builder.errors import InternalError
from builder.manifest import Manifest, Model
from builder.recipe import Recipe
from builder.repository import Repository


@dataclass(frozen=True, kw_only=True, slots=True)
class LockedModel:
    """One model, decided: `source` is its organisation/name, `revision` its commit or the digest of its folder."""

    name: str
    source: str
    revision: str
    recipe: Recipe
    folder: Path | None
    size_bytes: int
    cache_files: Mapping[str, bytes]

    @property
    def is_fetched(self) -> bool:
        """Whether a stage downloads it; otherwise it is copied from `folder`."""
        return self.folder is None


@dataclass(frozen=True, slots=True)
class Lock:
    """Every model of a run by its name."""

    models: Mapping[str, LockedModel]

    @property
    def digest(self) -> str:
        """Twelve hexadecimal digits that change with any decision: `{{ lock.digest }}` in a tag."""
        decided = {name: [model.source, model.revision, asdict(model.recipe)] for name, model in self.models.items()}
        text = json.dumps(decided, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True, kw_only=True, slots=True)
class HubAccess:
    """How the Hub is reached: the token, and the certificates to trust in place of the system's."""

    token: str | None = field(default=None, repr=False)
    ca_bundle: Path | None = None


def resolve(
    manifest: Manifest, names: Iterable[str], *, directory: Path, cache_directory: Path, hub_access: HubAccess
) -> Lock:
    """Decide the models called `names`; paths are relative to `directory`, digests of files are kept in the cache.

    Raises InputError where a repository or the manifest does not say enough, UnreachableError where the Hub is away.
    """

    def repository(model: Model) -> Repository:
        if model.path is not None:
            return folder.open_folder(directory / model.path, name=model.name, cache_directory=cache_directory)
        return _hub_repository(model, hub_access)

    models = [manifest.models[name] for name in dict.fromkeys(names)]
    return Lock({model.name: _decided(model, repository(model), directory) for model in models})


def _decided(model: Model, repository: Repository, directory: Path) -> LockedModel:
    decided = recipe.decide(model, repository)
    baked = {path: repository.files[path] for path in decided.files}
    return LockedModel(
        name=model.name,
        source=repository.source,
        revision=repository.revision,
        recipe=decided,
        folder=None if model.path is None else (directory / model.path).resolve(),
        size_bytes=sum(file.size_bytes for file in baked.values()),
        cache_files=layout.metadata_files(repository.source, repository.revision, baked),
    )


def _hub_repository(model: Model, access: HubAccess) -> Repository:
    from builder import hub  # noqa: PLC0415 - its library is slow to import, and local folders need none of it

    if model.repo is None:
        raise InternalError(f"the model `{model.name}` has no source")
    if access.ca_bundle is not None:
        hub.trust(access.ca_bundle)
    return hub.resolve(model.repo, revision=model.revision, token=access.token)
