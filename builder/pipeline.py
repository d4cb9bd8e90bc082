"""Own the order of a run: plan, then build, smoke-test and tag each image; one image's failure stops no other."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace

from builder import (
    cache,
    ci,
    disk,
    gates,
    git,
    lock,
    lockfile,
    manifest,
    network,
    prune,
    sharing,
    tags,
)
from builder import plan as planning
from builder.buildkit import Cancellation
from builder.cache import Cache, Filled
from builder.console import Console
from builder.download import Downloader
from builder.engine import Engine
from builder.errors import InputError, Problem, ProblemsError, UnreachableError
from builder.lock import HubAccess, Lock, LockedModel, Sources
from builder.making import Maker
from builder.manifest import Image, Manifest
from builder.plan import Plan
from builder.result import ImageResult, Journal
from builder.settings import Settings


@dataclass(frozen=True, kw_only=True, slots=True)
class Draft:
    """What a run will be, as far as that can be told without an engine: `previous` is the lock as it was."""

    manifest: Manifest
    images: Mapping[str, Image]
    previous: Lock
    lock: Lock

    @property
    def models(self) -> tuple[str, ...]:
        """The names of the models of the chosen images."""
        return tuple(dict.fromkeys(name for image in self.images.values() for name in image.models))


def draft(settings: Settings, *, upgraded: Iterable[str] = ()) -> Draft:
    """Read manifest and lock, and resolve what the lock does not have."""
    read = manifest.load(settings.models, environment=settings.environment)
    images = planning.choose(read, settings.images)
    previous = lockfile.read(settings.lock_path)
    names = [name for image in images.values() for name in image.models]
    for name in upgraded:
        if name not in read.models:
            raise InputError(f"there is no model `{name}`", hint=f"the manifest has: {', '.join(read.models)}")
    sources = Sources(
        directory=settings.directory,
        cache_directory=settings.cache_directory,
        hub_access=hub_access(settings),
    )
    try:
        locked = lock.resolve(read, previous, sources=sources, names=names, upgraded=upgraded)
    except (InputError, UnreachableError) as error:
        changes = list(lock.other_wishes(read, previous, names=names)) if settings.locked else []
        if not changes:
            raise
        raise _other_lock(changes, settings) from error  # what is wrong with another model is not asked about
    gates.check_models(read.gates, images, locked.models)
    return Draft(manifest=read, images=images, previous=previous, lock=locked)


def hub_access(settings: Settings) -> HubAccess:
    """Say whether and how the Hub may be asked; raises InputError for certificates that can't be used."""
    is_allowed = network.may_ask_hub(settings.environment)
    if is_allowed and settings.ca_bundle is not None:
        network.read_ca_bundle(settings.ca_bundle)
    token = network.hub_token(settings.environment) or None
    return HubAccess(token=token, ca_bundle=settings.ca_bundle, is_allowed=is_allowed)


def pin_base(draft: Draft, base_digest: Callable[[str], str]) -> Draft:
    """Add the base image's digest to the lock where it is not there yet; `base_digest` gives none as empty text."""
    base = draft.manifest.defaults.base
    digest = draft.lock.bases.get(base) or ("" if "@" in base else base_digest(base))
    return replace(draft, lock=replace(draft.lock, bases={base: digest} if digest else {}))


def settle(draft: Draft, settings: Settings) -> bool:
    """Write the lock and return whether it changed; where only the lock as it is may be used, refuse another.

    Raises ProblemsError with every difference.
    """
    if not settings.locked:
        return lockfile.write(_with_others(draft, settings), settings.lock_path)
    if changes := list(lock.differences(draft.previous, draft.lock)):
        raise _other_lock(changes, settings)
    return False


def _with_others(draft: Draft, settings: Settings) -> Lock:
    """Return the lock with what another run has locked since this one read it: each may be about other images."""
    found = lockfile.read(settings.lock_path).models
    new = {name: model for name, model in found.items() if name not in draft.previous.models}
    others = {name: model for name, model in new.items() if name in draft.manifest.models}
    return replace(draft.lock, models={**others, **draft.lock.models})


def _other_lock(changes: Iterable[str], settings: Settings) -> ProblemsError:
    """Return the refusal of a lock that is not the one there is."""
    file = str(settings.lock_path)
    hint = f"run `build-image lock --models {settings.models}` and commit `{settings.lock_path.name}`"
    problems = [Problem(file=file, message=f"the manifest wants another lock: {change}") for change in changes]
    return ProblemsError(problems, hint=hint)


def make_plan(draft: Draft, settings: Settings, *, origin: git.Origin | None = None) -> Plan:
    """Decide everything about the images that can be decided before a build; `origin` is found where it is not told."""
    names = tags.Names(
        lock=draft.lock.chosen(draft.models),
        git=git.read(settings.directory) if "git" in planning.tag_names(draft.images) else None,
        run=ci.read(settings.environment),
        now=tags.moment(settings.environment),
        words=draft.manifest.vars,
    )
    return planning.make(draft.manifest, draft.images, names=names, origin=origin or _origin(draft.manifest, settings))


def _origin(read: Manifest, settings: Settings) -> git.Origin:
    """Find where manifest, lock and local models come from, and the time that their images bear."""
    folders = [settings.directory / model.path for model in read.models.values() if model.path]
    found = git.origin(settings.directory, [settings.models.resolve(), settings.lock_path.resolve(), *folders])
    given = tags.given_moment(settings.environment)
    return replace(found, created=int(given.timestamp())) if given else found


def fill_cache(draft: Draft, settings: Settings, *, console: Console, is_quick: bool) -> Filled:
    """Bring the models that the environment asks for into the local cache; raises as `cache.preload` does."""
    models = cache.targeted([draft.lock.models[name] for name in draft.models], settings.environment)
    local = cache.locate(settings.environment, project=settings.directory)
    command = f"build-image cache --models {settings.models}"
    preload(models, local, settings, console=console, command=command, is_quick=is_quick)
    return Filled(cache=local, models=models)


def preload(
    models: Sequence[LockedModel],
    local: Cache,
    settings: Settings,
    *,
    console: Console,
    command: str,
    is_quick: bool = False,
) -> None:
    """Bring `models` into a cache, from the Hub where it may be asked; raises as `cache.preload` does."""
    access = hub_access(settings)
    downloader = Downloader(environment=settings.environment, access=access, console=console)
    fetcher = downloader if access.is_allowed else None
    cache.preload(models, local, fetcher=fetcher, console=console, command=command, is_quick=is_quick)


def run(
    plan: Plan,
    settings: Settings,
    *,
    secrets: Mapping[str, bytes],
    engine: Engine,
    console: Console,
    journal: Journal,
) -> tuple[ImageResult, ...]:
    """Build, test and tag every image; a failure is in its image's result, and how far each came in `journal`.

    Raises FailedError where the engine's disk is too small for all, and KeyboardInterrupt once every build is
    cancelled and every container is gone.
    """
    journal.update((image.name, ImageResult(plan=image, is_finished=False)) for image in plan.images)
    prune.sweep(engine, console)
    if not settings.builder:  # whose disk can't be asked for
        disk.check_engine(plan.images, engine, no_cache=settings.no_cache)
    cancellation = Cancellation()
    with sharing.opened(engine, _local_models(plan, settings), place=settings.models) as shared:
        maker = Maker(
            settings=settings,
            engine=engine,
            console=console,
            secrets=secrets,
            cancellation=cancellation,
            shared=shared,
            journal=journal,
            is_alone=settings.jobs == 1 or len(plan.images) == 1,
        )
        return _make_all(plan, maker)


def _local_models(plan: Plan, settings: Settings) -> list[LockedModel]:
    """Return the models whose files the engine is sent; another builder gets them with the context of each image."""
    held = {model.name: model for image in plan.images for model in image.models if model.folder}
    return [] if settings.builder else list(held.values())


def _make_all(plan: Plan, maker: Maker) -> tuple[ImageResult, ...]:
    """Make the images, as many at a time as is asked for; where that is interrupted, every build is cancelled."""
    with ThreadPoolExecutor(max_workers=maker.settings.jobs, thread_name_prefix="image") as workers:
        try:
            futures = [workers.submit(maker.make, image) for image in plan.images]
            _wait(futures)
        except KeyboardInterrupt:
            maker.console.say("interrupted: stopping the builds and removing the containers")
            raise
        finally:  # whether that was an interrupt, a bug or the end, nothing goes on without us
            workers.shutdown(wait=False, cancel_futures=True)  # first, or a worker set free takes the next image
            maker.cancellation.cancel()
    return tuple(future.result() for future in futures)


def _wait(futures: Sequence[Future[ImageResult]]) -> None:
    """Wait for all; what is not an error of ours is a bug, and ends the run at once."""
    pending = set(futures)
    while pending:
        done, pending = wait(pending, return_when=FIRST_COMPLETED)
        for future in done:
            future.result()
