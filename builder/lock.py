"""Own what a manifest's models resolve to: one exact revision, its files and how it is served; it builds nothing."""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from builder import card, folder, footprint, layout, optimization, recipe, selection
from builder.errors import InputError, InternalError
from builder.footprint import Footprint
from builder.manifest import Manifest, Model
from builder.optimization import Optimization
from builder.recipe import Recipe
from builder.repository import Repository, RepositoryFile, read_json_object

_NOT_FOR_IDS = re.compile(r"[^\w.-]+")  # commas and dollar signs mean something in a Dockerfile


@dataclass(frozen=True, kw_only=True, slots=True)
class LockedFile:
    """One file to bake; `is_large` tells that the Hub keeps it with Git LFS, where `blob_id` is its pointer's."""

    size_bytes: int
    sha256: str
    blob_id: str
    is_large: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class LockedModel:
    """One model, decided: `source` is its organisation/name, `revision` its commit or the digest of its folder.

    `asked` is its section of the manifest at that time. `licence` is empty where the repository names none. `samples`
    is the file that its optimised graph is compared on, where the manifest names one.
    """

    name: str
    asked: Mapping[str, Any]
    source: str
    revision: str
    licence: str
    is_gated: bool
    recipe: Recipe
    files: Mapping[str, LockedFile]
    folder: Path | None
    footprint: Footprint | None = None
    optimization: Optimization | None = None
    samples: Path | None = None

    @property
    def is_fetched(self) -> bool:
        """Whether a stage downloads it; otherwise it is copied from `folder`."""
        return self.folder is None

    @property
    def identity(self) -> str:
        """Its source and revision, as the label of images names it."""
        return f"{self.source}@{self.revision}"

    @property
    def short_revision(self) -> str:
        """The first seven digits of its revision, as git shortens a commit."""
        return self.revision[:7]

    @property
    def files_name(self) -> str:
        """What the files of its folder are called where they are sent to a build by themselves."""
        return f"files-{self.name}"

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages that make its layer; the last one has it."""
        own = f"model-{self.name}"
        return (own, f"optimize-{self.name}") if self.optimization else (own,)

    @property
    def mount_id(self) -> str:
        """The cache mount in which BuildKit keeps its files for the next fetch.

        Each graph has its own: two dtypes of a repository would drop each other's weights.
        """
        return f"build-image/{self.source}/{_NOT_FOR_IDS.sub('-', self.recipe.graph)}"

    @property
    def size_bytes(self) -> int:
        """Size of everything that is baked of it."""
        return sum(file.size_bytes for file in self.files.values())

    @property
    def replaced_files(self) -> tuple[str, ...]:
        """The files that a derived graph stands in for: its own graph and the weights of that; none where they stay."""
        if self.optimization is None or self.optimization.keep_original:
            return ()
        own = {layer.weights for layer in self.recipe.layers}
        return tuple(path for path in sorted(self.files) if not selection.is_companion(path) and path not in own)

    @property
    def remaining_bytes(self) -> int:
        """Size of what is baked of it whatever its optimised graph will be."""
        return sum(file.size_bytes for path, file in self.files.items() if path not in self.replaced_files)

    @property
    def sha256sums(self) -> str:
        """The digests of its files by path, as `sha256sum` writes and checks them."""
        return "".join(f"{file.sha256}  {path}\n" for path, file in sorted(self.files.items()))

    @property
    def files_digest(self) -> str:
        """The digest of all its files: of the text of `sha256sums`."""
        return f"sha256:{hashlib.sha256(self.sha256sums.encode()).hexdigest()}"

    @property
    def cache_files(self) -> dict[str, bytes]:
        """What makes the baked files findable in a Hugging Face cache: path to content."""
        return self._cache_files(self.files)

    @property
    def optimized_cache_files(self) -> dict[str, bytes]:
        """The same, where its derived graph has replaced what it replaces."""
        return self._cache_files(path for path in self.files if path not in self.replaced_files)

    def _cache_files(self, paths: Iterable[str]) -> dict[str, bytes]:
        held = {path: self.files[path] for path in paths}
        listed = {
            path: RepositoryFile(
                size_bytes=file.size_bytes, blob_id=file.blob_id, sha256=file.sha256 if file.is_large else None
            )
            for path, file in held.items()
        }
        return layout.metadata_files(self.source, self.revision, listed)

    def fetch_request(self, paths: Iterable[str]) -> dict[str, Any]:
        """Return what `templates/stages/fetch_model.py` is told to download `paths`, ready for JSON."""
        wanted = {path: self.files[path] for path in sorted(paths)}
        files = {path: {"size": file.size_bytes, "sha256": file.sha256} for path, file in wanted.items()}
        return {"repo": self.source, "revision": self.revision, "files": files}


@dataclass(frozen=True, kw_only=True, slots=True)
class OutdatedModel:
    """What an older release locked: its revision still holds, its decisions are made anew."""

    asked: Mapping[str, Any]
    revision: str


@dataclass(frozen=True, kw_only=True)  # without slots: `digest` is remembered, for each of many tags asks for it
class Lock:
    """Every locked model by its name, and the digest of every base image that a registry knows.

    `outdated` are models in a lock that an older release wrote; `resolve` leaves none.
    """

    models: Mapping[str, LockedModel] = field(default_factory=dict)
    bases: Mapping[str, str] = field(default_factory=dict)
    outdated: Mapping[str, OutdatedModel] = field(default_factory=dict)

    @cached_property
    def digest(self) -> str:
        """Twelve hexadecimal digits that change with any decision: `{{ lock.digest }}` in a tag."""
        decided = {name: _decisions(model) for name, model in self.models.items()}
        text = json.dumps([decided, dict(self.bases)], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def chosen(self, names: Iterable[str]) -> "Lock":
        """Return the part of the lock that is about the models called `names`."""
        return replace(self, models={name: self.models[name] for name in dict.fromkeys(names)})


def _decisions(model: LockedModel) -> list[Any]:
    """Return all that makes a model what it is; one that is not optimised has no place for how."""
    optimized = [asdict(model.optimization)] if model.optimization else []
    return [model.source, model.revision, asdict(model.recipe), *optimized]


@dataclass(frozen=True, kw_only=True, slots=True)
class HubAccess:
    """Whether and how the Hub is reached: the token, and the certificates to trust in place of the system's."""

    token: str | None = field(default=None, repr=False)
    ca_bundle: Path | None = None
    is_allowed: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Sources:
    """Where models come from: the manifest's folder, this program's cache, the Hub."""

    directory: Path
    cache_directory: Path
    hub_access: HubAccess = HubAccess()

    def repository(self, model: Model) -> Repository:
        """Open the repository of `model`; raises InputError or UnreachableError."""
        if model.path is not None:
            return folder.open_folder(
                self.directory / model.path, name=model.name, cache_directory=self.cache_directory
            )
        return _hub_repository(model, self.hub_access)

    def folder(self, model: Model) -> Path | None:
        """Return the absolute path of a local model."""
        return None if model.path is None else (self.directory / model.path).resolve()

    def samples(self, model: Model) -> Path | None:
        """Return the absolute path of the texts that an optimised model is compared on."""
        texts = model.optimize.samples if model.optimize else None
        return None if texts is None else (self.directory / texts).resolve()


def resolve(
    manifest: Manifest, previous: Lock, *, sources: Sources, names: Iterable[str], upgraded: Iterable[str] = ()
) -> Lock:
    """Lock the models called `names`; one that `previous` has is kept as it is, unless the manifest asks for another.

    A commit never changes, so the Hub is only asked for what is new, and for those in `upgraded`. Models that the
    manifest no longer has are dropped. Raises InputError where a repository and the manifest do not say enough, and
    UnreachableError where the Hub is away.
    """
    kept = {name: model for name, model in previous.models.items() if name in manifest.models}
    outdated = [name for name in previous.outdated if name in manifest.models]
    for name in dict.fromkeys([*names, *outdated]):
        model, is_kept = manifest.models[name], name not in upgraded
        known = kept.get(name) if is_kept else None
        held = previous.outdated.get(name) if is_kept else None
        kept[name] = _optimized(_resolved(model, known, sources, held=held), model, sources)
    return replace(previous, models=kept, outdated={})


def _optimized(locked: LockedModel, model: Model, sources: Sources) -> LockedModel:
    """Add how the model is optimised, by what this release does that with."""
    decided = optimization.of_model(model, directory=sources.directory)
    return replace(locked, optimization=decided, samples=sources.samples(model))


def _resolved(
    model: Model, known: LockedModel | None, sources: Sources, *, held: OutdatedModel | None = None
) -> LockedModel:
    asked = asked_of(model)
    if held is not None and held.asked == asked and model.path is None:
        at_held = model.model_copy(update={"revision": held.revision})
        return _decided(model, sources.repository(at_held), folder=None)
    if known is not None and known.asked == asked:
        if model.path is None:
            return known
        repository = sources.repository(model)
        if repository.revision == known.revision:
            return replace(known, folder=sources.folder(model))
    return _decided(model, sources.repository(model), folder=sources.folder(model))


def other_wishes(manifest: Manifest, previous: Lock, *, names: Iterable[str]) -> Iterator[str]:
    """Yield a line for each thing that the manifest asks of the models called `names` and `previous` was not asked.

    What that would lead to is not known here: no repository is opened.
    """
    for name in dict.fromkeys(names):
        known = previous.models.get(name)
        lines = _asked_differences(known.asked, asked_of(manifest.models[name])) if known else ["added"]
        yield from (f"models.{name}: {line}" for line in lines)


def asked_of(model: Model) -> dict[str, Any]:
    """Return what the manifest asks of a model, as the lock remembers it."""
    return model.model_dump(mode="json", exclude_none=True)


def _decided(model: Model, repository: Repository, *, folder: Path | None) -> LockedModel:
    decided = recipe.decide(model, repository)
    files = {path: _locked_file(repository, path) for path in decided.files}
    return LockedModel(
        name=model.name,
        asked=asked_of(model),
        source=repository.source,
        revision=repository.revision,
        licence=card.licence(repository),
        is_gated=repository.gated,
        recipe=decided,
        files=files,
        folder=folder,
        footprint=footprint.estimate(
            read_json_object(repository, "config.json"),
            size_bytes=sum(file.size_bytes for file in files.values()),
            has_full_weights=model.dtype == "fp32" and model.graph is None,
            has_logits=bool(decided.answer_tokens),
        ),
    )


def _locked_file(repository: Repository, path: str) -> LockedFile:
    """Lock one file; the Hub gives no sha256 of a small one, so that is fetched and hashed."""
    file = repository.files[path]
    return LockedFile(
        size_bytes=file.size_bytes,
        sha256=file.sha256 or hashlib.sha256(repository.read(path)).hexdigest(),
        blob_id=file.blob_id,
        is_large=file.sha256 is not None,
    )


def _hub_repository(model: Model, access: HubAccess) -> Repository:
    from builder import hub  # noqa: PLC0415 - its library is slow to import, and local folders need none of it

    if model.repo is None:
        raise InternalError(f"the model `{model.name}` has no source")
    if not access.is_allowed:
        hint = "run `build-image lock` where the Hub may be asked, or with HF_ALLOW_REMOTE_MODELS=true"
        message = f"the lock lacks `{model.name}`, and HF_ALLOW_REMOTE_MODELS forbids asking the Hub for `{model.repo}`"
        raise InputError(message, hint=hint)
    if access.ca_bundle is not None:
        hub.trust(access.ca_bundle)
    return hub.resolve(model.repo, revision=model.revision, token=access.token)


def differences(old: Lock, new: Lock) -> Iterator[str]:
    """Yield a line for each thing in which `new` differs from `old`, as a person would want to read it."""
    for name in sorted({*old.models, *new.models}):
        before, after = old.models.get(name), new.models.get(name)
        if after is not None and name in old.outdated:
            yield f"models.{name}: decided anew, for an older release wrote the lock"
        elif before is None or after is None:
            yield f"models.{name}: {'added' if before is None else 'removed'}"
        else:
            yield from (f"models.{name}: {line}" for line in _model_differences(before, after))
    for base in sorted({*old.bases, *new.bases}):
        if old.bases.get(base) != new.bases.get(base):
            yield f"bases.{base}: {old.bases.get(base, 'no digest')} -> {new.bases.get(base, 'no digest')}"


def _model_differences(before: LockedModel, after: LockedModel) -> Iterator[str]:
    yield from _asked_differences(before.asked, after.asked)
    for key in ("source", "revision", "licence", "is_gated"):
        if getattr(before, key) != getattr(after, key):
            yield f"{key}: {_shown(getattr(before, key))} -> {_shown(getattr(after, key))}"
    decided_before, decided_after = asdict(before.recipe), asdict(after.recipe)
    for key, value in decided_after.items():
        if key != "files" and decided_before[key] != value:
            yield f"recipe.{key}: {_shown(decided_before[key])} -> {_shown(value)}"
    yield from _optimization_differences(before.optimization, after.optimization)
    yield from _file_differences(before.files, after.files)


def _optimization_differences(before: Optimization | None, after: Optimization | None) -> Iterator[str]:
    """Yield what only this release or the samples changed; a wish of the manifest is told as such."""
    old, new = (asdict(one) if one else {} for one in (before, after))
    for key in ("samples_sha256", "versions", "program"):
        if old and new and old[key] != new[key]:
            yield f"optimization.{key}: {_shown(old[key])} -> {_shown(new[key])}"


def _asked_differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    for key in sorted({*before, *after}):
        if before.get(key) != after.get(key):
            yield f"{key} asked for: {_shown(before.get(key))} -> {_shown(after.get(key))}"


def _file_differences(before: Mapping[str, LockedFile], after: Mapping[str, LockedFile]) -> Iterator[str]:
    for path in sorted({*before, *after}):
        old, new = before.get(path), after.get(path)
        if old is None and new is not None:
            yield f"+ {path} ({new.size_bytes} bytes)"
        elif new is None and old is not None:
            yield f"- {path} ({old.size_bytes} bytes)"
        elif old is not None and new is not None and old.sha256 != new.sha256:
            yield f"~ {path} ({old.size_bytes} -> {new.size_bytes} bytes)"


def _shown(value: object) -> str:
    return "nothing" if value is None else f"`{value}`"
