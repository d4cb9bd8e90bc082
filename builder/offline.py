"""Own the plan of a run that builds from a folder of supplies, and every refusal of one; it asks no network.

A folder is refused before anything is built: for what it was not gathered for, and for what is not as it was gathered.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from builder import folder, gates, lock, lockfile, manifest, optimization, pipeline, progress, supplies
from builder import plan as planning
from builder.api import ImageDetails
from builder.console import Console
from builder.errors import FailedError, Problem, ProblemsError
from builder.lock import Lock, LockedModel
from builder.manifest import Image, Manifest
from builder.pipeline import Draft
from builder.plan import Plan, Supplied
from builder.settings import SUPPLIES_MANIFEST, Settings
from builder.supplies import BASE, LOCK, Base, Supplies

SUBJECT = "supplies"  # what the console calls the steps


class Host(Protocol):
    """What the images are built on: an Engine."""

    @property
    def platform(self) -> str:
        """The platform that it builds for by itself."""

    def has_image(self, reference: str, /) -> bool:
        """Tell whether it holds an image."""

    def inspect_image(self, reference: str, /) -> ImageDetails:
        """Return what is known of an image."""

    def load_image(self, source: Path, /) -> None:
        """Take the images of a tar, with their names."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """What is to be built, and the lock beside the manifest, which is the folder's own where the manifest is."""

    manifest: Manifest
    images: Mapping[str, Image]
    own_lock: Lock

    @property
    def models(self) -> tuple[str, ...]:
        """The names of the models of the images."""
        return tuple(dict.fromkeys(name for image in self.images.values() for name in image.models))

    @property
    def has_server(self) -> bool:
        """Whether any image serves, and so has packages."""
        return any(image.kind == "server" for image in self.images.values())

    @property
    def optimizes(self) -> bool:
        """Whether any model is optimised, which takes packages of its own."""
        served = (name for image in self.images.values() if image.kind == "server" for name in image.models)
        return any(self.manifest.models[name].optimize for name in served if name in self.manifest.models)


def is_own_manifest(settings: Settings, directory: Path) -> bool:
    """Tell whether the manifest of the run is the one that the folder brought along."""
    return settings.models.resolve() == (directory / SUPPLIES_MANIFEST).resolve()


def plan(settings: Settings, directory: Path, *, host: Host, console: Console) -> Plan:
    """Plan the images that `directory` has everything for, and give `host` their base.

    Raises InputError with everything that the folder was not gathered for, or else with every file that is not as it
    was gathered.
    """
    held = supplies.read(directory)
    refuse = _Refusal(directory=directory, hint=_hint(settings, directory))
    refuse(_unfinished(held))
    refuse(supplies.damage(held, {name: held.description.files[name] for name in (SUPPLIES_MANIFEST, LOCK)}))
    wanted, locked = _wanted(settings, held), lockfile.read(held.path(LOCK))
    refuse(lacking(wanted, locked, held, platform=wanted.manifest.defaults.platform or host.platform))
    is_own = is_own_manifest(settings, directory)
    refuse(_others(wanted, held) if is_own else _changed_folders(wanted, locked, settings))
    models = _models(wanted, locked, held)
    refuse(_damage(held, models, console))
    _give_base(held, host, console)
    chosen = replace(locked, models={model.name: model for model in models})
    gates.check_models(wanted.manifest.gates, wanted.images, chosen.models)
    draft = Draft(manifest=wanted.manifest, images=wanted.images, previous=locked, lock=chosen)
    made = pipeline.make_plan(draft, settings, origin=held.description.origin if is_own else None)
    supplied = Supplied(base=held.description.base.reference, files=held.packages())
    return replace(made, images=tuple(replace(image, supplied=supplied) for image in made.images))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Refusal:
    """Refuses a folder with every reason there is, and the command that gathers it again."""

    directory: Path
    hint: str

    def __call__(self, reasons: Iterable[str]) -> None:
        problems = [Problem(file=str(self.directory), message=reason) for reason in reasons]
        if problems:
            raise ProblemsError(problems, hint=self.hint)


def _hint(settings: Settings, directory: Path) -> str:
    models = SUPPLIES_MANIFEST if is_own_manifest(settings, directory) else settings.models
    return f"where there is a network, run `build-image cache --models {models} --output {directory}`"


def _unfinished(held: Supplies) -> Iterator[str]:
    if not held.description.is_complete:
        yield "it is not complete: the run that gathered it did not end well"


def _wanted(settings: Settings, held: Supplies) -> Wanted:
    """Read the manifest; the folder's own is what it was when the folder was gathered, variables and tags included."""
    description = held.description
    is_own = is_own_manifest(settings, held.directory)
    environment = description.variables if is_own else settings.environment
    read = manifest.load(settings.models, environment=environment, has_folders=False)
    images = planning.choose(read, settings.images or (tuple(description.images) if is_own else ()))
    if is_own:
        images = {name: _tagged(image, description.images.get(name)) for name, image in images.items()}
    return Wanted(manifest=read, images=images, own_lock=lockfile.read(settings.lock_path))


def _tagged(image: Image, tags: Sequence[str] | None) -> Image:
    return image if tags is None else image.model_copy(update={"tags": list(tags)})


def _others(wanted: Wanted, held: Supplies) -> Iterator[str]:
    for name in wanted.images:
        if name not in held.description.images:
            yield f"it was not gathered for the image `{name}`"


def lacking(wanted: Wanted, locked: Lock, held: Supplies, *, platform: str) -> Iterator[str]:
    """Yield a line for each thing that `wanted` on `platform` asks for and the folder was not gathered for."""
    description = held.description
    base = wanted.manifest.defaults.base
    if description.base.name != base:
        yield f"it has the base image `{description.base.name}`, and the manifest wants `{base}`"
    pinned = wanted.own_lock.bases.get(base)
    if description.base.name == base and pinned not in {None, description.base.digest}:
        digest = description.base.digest or "no digest"
        yield f"it has the base image at `{digest}`, and the lock of the manifest has it at `{pinned}`"
    if description.platform != platform:
        yield f"it is for `{description.platform}`, and this build is for `{platform}`"
    if wanted.has_server and not description.wanted:
        yield "it has no packages for an image that serves"
    elif wanted.has_server:
        here = supplies.wanted_packages(optimizes=wanted.optimizes)
        if wanted.optimizes and optimization.REQUIREMENTS not in description.wanted:
            yield "it has no packages to optimise a model with"
            here.pop(optimization.REQUIREMENTS)
        for name in sorted(name for name in here if description.wanted.get(name) != here[name]):
            yield f"it was gathered by build-image {description.program}, whose `{name}` is not that of this one"
    for name in wanted.models:
        yield from _model_differences(name, wanted, locked)


def _model_differences(name: str, wanted: Wanted, locked: Lock) -> Iterator[str]:
    """Yield in what a model that is held differs from what the manifest asks for and the lock beside it has."""
    known, own = locked.models.get(name), wanted.own_lock.models.get(name)
    if known is None:
        yield f"it lacks the model `{name}`"
        return
    asked = lock.asked_of(wanted.manifest.models[name])
    other = own if own is not None and own.asked == asked else replace(known, asked=asked)
    for line in lock.differences(Lock(models={name: known}), Lock(models={name: other})):
        yield f"the manifest wants another lock: {line}"


def _changed_folders(wanted: Wanted, locked: Lock, settings: Settings) -> Iterator[str]:
    """Yield a line for each local model whose folder is here and has changed; one that is not here need not be."""
    for name in wanted.models:
        place = wanted.manifest.models[name].path
        if place is None or not (settings.directory / place).is_dir():
            continue
        path = settings.directory / place
        found = folder.open_folder(path, name=name, cache_directory=settings.cache_directory).revision
        if found != locked.models[name].revision:
            yield f"models.{name}: `{path}` holds other files than were gathered"


def _models(wanted: Wanted, locked: Lock, held: Supplies) -> tuple[LockedModel, ...]:
    """Return the models, each to be copied from the folder as one from a local `path` is."""
    models = [locked.models[name] for name in wanted.models]
    return tuple(_supplied(model, held) for model in models)


def _supplied(model: LockedModel, held: Supplies) -> LockedModel:
    """Return a model with its files in the folder, to be optimised by the programs of this release."""
    wanted = model.optimization and replace(
        model.optimization, versions=optimization.versions(), program=optimization.program_digest()
    )
    samples = held.path(supplies.samples_path(model)) if wanted and wanted.samples_sha256 else None
    return replace(model, folder=held.cache.snapshot(model), optimization=wanted, samples=samples)


def _damage(held: Supplies, models: Iterable[LockedModel], console: Console) -> tuple[str, ...]:
    files = {**held.description.files, **supplies.model_files(models, held.cache)}
    total_bytes = sum(file.size_bytes for file in files.values())
    with progress.step(console, SUBJECT, f"verifying {len(files)} files", total_bytes=total_bytes) as advance:
        return tuple(supplies.damage(held, files, advance=advance))


def _give_base(held: Supplies, host: Host, console: Console) -> None:
    """Load the base image where `host` does not have it."""
    base = held.description.base
    if _has_base(base, host):
        return
    with progress.step(console, SUBJECT, f"loading the base image {base.name}", total_bytes=0):
        host.load_image(held.path(BASE))
        if not _has_base(base, host):
            raise FailedError(f"`{held.path(BASE)}` gave the engine no `{base.reference}` with its layers")


def _has_base(base: Base, host: Host) -> bool:
    """Compare layers, because engines with different stores give one image different ids."""
    return host.has_image(base.reference) and host.inspect_image(base.reference).layers == base.layers
