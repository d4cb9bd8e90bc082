"""Own the gathering of supplies: it fills a folder with all that the images of a manifest are built from.

Packages are gathered by a stage on the images' own base, since only that knows which it lacks. What is in the folder
already, and right, stays. The description says that the folder is not complete until all of it is there.
"""

import io
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from builder import buildkit, cache, context, disk, document, lockfile, pipeline, progress, render, supplies
from builder.api import ImageDetails
from builder.buildkit import BuildRequest
from builder.console import Console, size
from builder.disk import Need
from builder.engine import Engine
from builder.errors import FailedError, InputError
from builder.lock import LockedModel
from builder.pipeline import Draft
from builder.plan import Plan
from builder.settings import SUPPLIES_DESCRIPTION, SUPPLIES_MANIFEST, Settings
from builder.supplies import BASE, LOCK, PACKAGE_FOLDERS, Base, Description, File, Supplies

SUBJECT = "supplies"  # what the console calls the steps
# Measured on amd64, and rounded up: wheels 53 MB and packages 21 MB; the stage that gathers them 329 MB, its image 74.
PACKAGES_BYTES = 100_000_000
STAGE_BYTES = 450_000_000
OPTIMIZER_BYTES = 100_000_000  # wheels that no server has
_ROOT = "supplies"  # the folder of the image that has them
_ID_DIGITS = slice(len("sha256:"), len("sha256:") + 12)
_READ_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """What is gathered, where to, and by whose means."""

    draft: Draft
    plan: Plan
    settings: Settings
    directory: Path
    engine: Engine
    console: Console
    secrets: Mapping[str, bytes] = field(repr=False)

    @property
    def has_server(self) -> bool:
        """Whether any image serves, and so has packages."""
        return any(image.kind == "server" for image in self.plan.images)

    @property
    def optimizes(self) -> bool:
        """Whether any model is optimised, which takes packages of its own."""
        return any(image.optimized for image in self.plan.images)


def run(task: Task) -> Supplies:
    """Fill the folder, and return what it then holds.

    Raises InputError for a folder of something else, FailedError where the disk is too small or a download fails.
    """
    previous = _previous(task.directory)
    base_id = _build(task, "base")
    with _named(task.engine, base_id, _reference("base", base_id)) as reference:
        image = task.engine.inspect_image(base_id)
        wanted = _description(task, image, reference=reference)
        held = Supplies(directory=task.directory, description=replace(wanted, files=_kept(previous, wanted, task)))
        _check_disks(task, held, image)
        supplies.write(held)
        _bring_models(task, held)
        if task.has_server and not held.description.packages:
            held = supplies.write(held.with_files(_packages(task)))
        if BASE not in held.description.files:
            held = supplies.write(held.with_files({BASE: _saved(task, reference, size_bytes=image.size_bytes)}))
    supplies.remove_strays(held)
    return supplies.write(held.with_files(_copies(task), is_complete=True))


def parts(task: Task, held: Supplies) -> Iterator[str]:
    """Yield a line for each part of the folder: what, how many, how large."""
    models, files = _models(task), held.description.files
    yield f"models    {len(models)}  {size(sum(model.size_bytes for model in models))}"
    for name in PACKAGE_FOLDERS if task.has_server else ():
        found = [
            file.size_bytes
            for path, file in files.items()
            if path.startswith(f"{name}/") and path.endswith((".deb", ".whl"))
        ]
        yield f"{name:8}  {len(found)}  {size(sum(found))}"
    yield f"base      1  {size(files[BASE].size_bytes)}  {held.description.base.name} {held.description.platform}"


def _previous(directory: Path) -> Supplies | None:
    """Read what an earlier run left; None for a new folder, or a description that can't be used."""
    try:
        is_new = not directory.exists() or not any(directory.iterdir())
    except OSError as error:
        raise InputError(f"`{directory}` can't be read: {error.strerror}", hint="choose another --output") from error
    if is_new:
        return None
    if not (directory / SUPPLIES_DESCRIPTION).exists():
        raise InputError(f"`{directory}` holds something else", hint="choose another --output, or an empty folder")
    with suppress(InputError):
        return supplies.read(directory)
    return None


def _build(task: Task, target: str) -> str:
    """Build a stage of the Dockerfile for supplies, and return the image's id."""
    image = task.plan.images[0]  # base and platform are the same for all
    dockerfile = render.supplies_dockerfile(image.base, version=task.settings.version, optimizes=task.optimizes)
    request = BuildRequest(
        context=context.of_packages(dockerfile),
        shared_key="supplies",
        target=target,
        platform=image.platform or "",
        network_mode=task.settings.build_network,
        secrets=task.secrets,
        no_cache=task.settings.no_cache,
    )
    return buildkit.build(task.engine, request, on_event=lambda event: task.console.event(SUBJECT, event))


def _reference(kind: str, image_id: str) -> str:
    """Name an image so that no registry has it: `localhost` is asked at most."""
    return f"localhost/build-image/{kind}:{image_id[_ID_DIGITS]}"


@contextmanager
def _named(engine: Engine, image_id: str, reference: str) -> Iterator[str]:
    """Give an image a name while the block runs; one that had no other goes with it."""
    had_name = engine.image_id(reference) == image_id
    engine.tag(image_id, reference)
    try:
        yield reference
    finally:
        if not had_name:
            engine.untag(reference)


def _description(task: Task, image: ImageDetails, *, reference: str) -> Description:
    name = task.draft.manifest.defaults.base
    digest = task.draft.lock.bases.get(name, "")
    environment = task.settings.environment
    names = document.variables(task.settings.models.read_text(encoding="utf-8"))
    return Description(
        program=task.settings.version,
        platform=image.platform,
        base=Base(name=name, reference=reference, id=image.id, digest=digest, layers=image.layers),
        wanted=supplies.wanted_packages(optimizes=task.optimizes) if task.has_server else {},
        images={image.name: tuple(name.rpartition(":")[2] for name in image.references) for image in task.plan.images},
        variables={name: environment[name] for name in sorted(names) if environment.get(name)},
        files={},
        is_complete=False,
        origin=task.plan.images[0].origin,
    )


def _kept(previous: Supplies | None, wanted: Description, task: Task) -> dict[str, File]:
    """Return the files of an earlier run that are right and what this one would bring: all packages, or none."""
    if previous is None or task.settings.no_cache:
        return {}
    known = previous.description
    if (known.base, known.platform) != (wanted.base, wanted.platform):
        return {}
    base = {name: file for name, file in known.files.items() if name == BASE}
    packages = known.packages if known.wanted == wanted.wanted else {}
    right = [part for part in (base, packages) if not any(supplies.damage(previous, part))]
    return {name: file for part in right for name, file in part.items()}


def _check_disks(task: Task, held: Supplies, image: ImageDetails) -> None:
    """Refuse to begin what can't fit, in the folder or on the engine; raises FailedError."""
    lacks_packages = task.has_server and not held.description.packages
    models_bytes = sum(
        model.files[path].size_bytes
        for model in _models(task)
        for path in cache.lacking(model, held.cache, is_quick=True)
    )
    parts = {
        "models": models_bytes,
        "packages": PACKAGES_BYTES + OPTIMIZER_BYTES * task.optimizes if lacks_packages else 0,
        "the base image": 0 if BASE in held.description.files else image.size_bytes,
    }
    place = f"the disk of `{task.directory}`"
    disk.require(Need(parts=parts), disk.free(task.directory), place=place, hint=supplies.DISK_HINT)
    root = task.engine.local_root() if lacks_packages else None
    if root is not None:
        need = Need(parts={"the packages' stage": STAGE_BYTES})
        disk.require(need, disk.free(root), place=f"the engine's disk (`{root}`)", hint=disk.ENGINE_HINT)


def _models(task: Task) -> list[LockedModel]:
    return [task.draft.lock.models[name] for name in task.draft.models]


def _bring_models(task: Task, held: Supplies) -> None:
    command = f"build-image cache --models {task.settings.models} --output {task.directory}"
    pipeline.preload(_models(task), held.cache, task.settings, console=task.console, command=command)


def _packages(task: Task) -> dict[str, File]:
    """Build the stage that gathers packages, and take them out of it."""
    image_id = _build(task, "packages")
    with _named(task.engine, image_id, _reference("packages", image_id)):
        size_bytes = task.engine.inspect_image(image_id).size_bytes
        name = "copying the packages"
        with (
            progress.step(task.console, SUBJECT, name, total_bytes=size_bytes) as advance,
            task.engine.archive(image_id, f"/{_ROOT}") as stream,
        ):
            return dict(_unpacked(stream, task.directory, advance=advance))


def _unpacked(stream: BinaryIO, directory: Path, *, advance: Callable[[int], None]) -> Iterator[tuple[str, File]]:
    """Write the files of a tar's package folders, and yield each with its digest; raises FailedError."""
    try:
        with tarfile.open(fileobj=stream, mode="r|", bufsize=_READ_BYTES) as archive:
            for member in archive:
                content = archive.extractfile(member) if member.isfile() else None
                root, _, name = member.name.partition("/")
                path = PurePosixPath(name)
                if content is not None and root == _ROOT and str(path.parent) in PACKAGE_FOLDERS:
                    yield name, supplies.put(content, directory / name, advance=advance)
    except tarfile.ReadError as error:
        raise FailedError(f"the packages can't be read: {error}") from error


def _saved(task: Task, reference: str, *, size_bytes: int) -> File:
    name = "saving the base image"
    with (
        progress.step(task.console, SUBJECT, name, total_bytes=size_bytes) as advance,
        task.engine.saved_image(reference) as stream,
    ):
        return supplies.put(stream, task.directory / BASE, advance=advance)


def _copies(task: Task) -> dict[str, File]:
    """Copy the manifest and the samples, and write the lock of its models."""
    chosen = task.draft.lock.chosen(task.draft.models)
    texts = {SUPPLIES_MANIFEST: task.settings.models.read_bytes(), LOCK: lockfile.text(chosen).encode()}
    texts |= {supplies.samples_path(model): model.samples.read_bytes() for model in _models(task) if model.samples}
    return {name: supplies.put(io.BytesIO(text), task.directory / name) for name, text in texts.items()}
