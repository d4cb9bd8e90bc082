"""Own the order of a run: plan, then build, smoke-test and tag each image; one image's failure stops no other."""

import time
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from builder import (
    admission,
    buildkit,
    cache,
    ci,
    context,
    disk,
    gates,
    git,
    history,
    lock,
    lockfile,
    manifest,
    network,
    render,
    reproducibility,
    smoke,
    tags,
    tested,
)
from builder import plan as planning
from builder.buildkit import BuildRequest, Cancellation
from builder.cache import Cache, Filled
from builder.console import Console, size
from builder.context import Context
from builder.download import Downloader
from builder.engine import Engine, ImageDetails
from builder.errors import BuildImageError, InputError, InternalError, Problem, ProblemsError, UnreachableError
from builder.gates import Figures
from builder.history import Layer
from builder.lock import HubAccess, Lock, LockedModel, Sources
from builder.manifest import Image, Manifest
from builder.plan import ImagePlan, Plan
from builder.record import Phase, Recorder, Step
from builder.registry import Published
from builder.settings import Settings
from builder.trace import Event


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageResult:
    """How one image went, or how far it came; `references` are the names it really got.

    `pushed` are those of them that a registry has now.
    """

    plan: ImagePlan
    references: tuple[str, ...] = ()
    details: ImageDetails | None = None
    layers: tuple[Layer, ...] = ()
    phases: tuple[Phase, ...] = ()
    steps: tuple[Step, ...] = ()
    checks: tuple[smoke.Check, ...] = ()
    pushed: tuple[Published, ...] = ()
    figures: Figures = field(default_factory=dict)
    build_s: float = 0.0
    duration_s: float = 0.0
    error: BuildImageError | None = None
    is_finished: bool = True

    @property
    def image_id(self) -> str:
        """The id of the built image, empty before it is built."""
        return self.details.id if self.details else ""


Journal: TypeAlias = MutableMapping[str, ImageResult]  # of a run that goes on, or was interrupted, by the image's name


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
        return lockfile.write(draft.lock, settings.lock_path)
    if changes := list(lock.differences(draft.previous, draft.lock)):
        raise _other_lock(changes, settings)
    return False


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


def make_context(image: ImagePlan, *, version: str) -> Context:
    """Render the Dockerfile of `image` and gather what it reads."""
    return context.of_image(image, dockerfile=render.dockerfile(image, version=version))


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
    disk.check_engine(plan.images, engine, no_cache=settings.no_cache)
    cancellation = Cancellation()
    run = _Run(
        settings=settings,
        engine=engine,
        console=console,
        secrets=secrets,
        cancellation=cancellation,
        journal=journal,
        is_alone=settings.jobs == 1 or len(plan.images) == 1,
    )
    with ThreadPoolExecutor(max_workers=settings.jobs, thread_name_prefix="image") as workers:
        futures = [workers.submit(run.image, image) for image in plan.images]
        try:
            _wait(futures)
        except KeyboardInterrupt:
            console.say("interrupted: stopping the builds and removing the containers")
            raise
        finally:  # whether that was an interrupt or a bug, nothing goes on without us
            if not all(future.done() for future in futures):
                cancellation.cancel()
                workers.shutdown(cancel_futures=True)
    return tuple(future.result() for future in futures)


def _wait(futures: Sequence[Future[ImageResult]]) -> None:
    """Wait for all; what is not an error of ours is a bug, and ends the run at once."""
    pending = set(futures)
    while pending:
        done, pending = wait(pending, return_when=FIRST_COMPLETED)
        for future in done:
            future.result()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Run:
    settings: Settings
    engine: Engine
    console: Console
    secrets: Mapping[str, bytes]
    cancellation: Cancellation
    journal: Journal
    is_alone: bool  # whether one image is made at a time

    def image(self, image: ImagePlan) -> ImageResult:
        """Take an image through every phase; after a failure the result is that of the phases before it."""
        self.console.say(f"{image.name}: building {', '.join(model.name for model in image.models)}")
        with self.console.folded(image.name, is_alone=self.is_alone):
            result = self._made(image)
        if result.error is not None:
            self.console.error(result.error, image=image.name)
        return result

    def _made(self, image: ImagePlan) -> ImageResult:
        started, recorder = time.monotonic(), Recorder()
        result = ImageResult(plan=image, is_finished=False)
        try:
            for name, phase in self._phases().items():
                with recorder.phase(name):
                    result = phase(result, recorder)
            result = replace(result, is_finished=True)
        except BuildImageError as error:
            if self.cancellation.requested:
                raise KeyboardInterrupt from error
            result = replace(result, error=error, is_finished=True)
        finally:
            result = _with_record(result, recorder, duration_s=time.monotonic() - started)
            self.journal[image.name] = result
        return result

    def _phases(self) -> "Mapping[str, Callable[[ImageResult, Recorder], ImageResult]]":
        repeated = {"second build": self._repeat} if self.settings.verify_reproducible else {}
        tested = {"smoke test": self._smoke, "gates": self._judge, "tag": self._tag}
        return {"build": self._build, **repeated, **({} if self.settings.build_only else tested)}

    def _build(self, result: ImageResult, recorder: Recorder) -> ImageResult:
        started, image = time.monotonic(), result.plan

        def on_event(event: Event) -> None:
            recorder.observe(event)
            self.console.event(image.name, event)

        image_id = self._built(image, on_event=on_event)
        details, build_s = self.engine.inspect_image(image_id), time.monotonic() - started
        layers = history.layers(
            details.layers,
            self.engine.history(image_id),
            dockerfile=render.dockerfile(image, version=self.settings.version),
        )
        told = f"{image.name}: built {image_id} in {build_s:.1f} s, {size(details.size_bytes)}"
        self.console.say(told, image=image.name)
        return replace(result, details=details, layers=layers, build_s=build_s)

    def _built(self, image: ImagePlan, *, on_event: Callable[[Event], None]) -> str:
        request = BuildRequest(
            context=make_context(image, version=self.settings.version),
            shared_key=f"{self.settings.models.resolve()}#{image.name}",
            platform=image.platform or "",
            network_mode=self.settings.build_network,
            secrets=self.secrets,
            no_cache=self.settings.no_cache,
            source_date_epoch=image.origin.created,
        )
        return buildkit.build(self.engine, request, on_event=on_event, cancellation=self.cancellation)

    def _repeat(self, result: ImageResult, recorder: Recorder) -> ImageResult:
        """Build once more, and compare; the report has the steps of the first build."""
        started, name = time.monotonic(), result.plan.name
        again = self._built(result.plan, on_event=lambda event: self.console.event(name, event))
        detail = reproducibility.check(self.engine, result.image_id, again)
        self._tell(result, recorder)(
            smoke.Check(name="reproducible", detail=detail, duration_s=time.monotonic() - started)
        )
        return result

    def _smoke(self, result: ImageResult, recorder: Recorder) -> ImageResult:
        test = smoke.run if result.plan.kind == "server" else smoke.read
        found = test(
            self.engine,
            result.plan,
            image_id=result.image_id,
            cancellation=self.cancellation,
            on_check=self._tell(result, recorder),
        )
        return replace(result, figures=found.figures)

    def _judge(self, result: ImageResult, recorder: Recorder) -> ImageResult:
        """Let the manifest's gates judge the image; raises GateFailedError."""
        if result.details is None:
            raise InternalError("an image is judged that was not built")
        secrets = network.sensitive(self.secrets)
        verdict = admission.judge(
            self.engine, result.plan, details=result.details, figures=result.figures, secrets=secrets
        )
        for check in verdict.passed:
            self._tell(result, recorder)(check)
        gates.refuse(verdict.refusals, image=result.plan.name)
        tested.remember(self.settings, result.image_id, checks=[check.name for check in recorder.checks])
        return result

    def _tell(self, result: ImageResult, recorder: Recorder) -> smoke.OnCheck:
        """Return what keeps a check of an image, and tells of one that it passed."""
        name = result.plan.name

        def on_check(check: smoke.Check) -> None:
            recorder.check(check)
            if check.passed:
                self.console.say(f"{check.duration_s:7.1f}s {name}: {check.name}: {check.detail}", image=name)

        return on_check

    def _tag(self, result: ImageResult, _: Recorder) -> ImageResult:
        for name in result.plan.references:
            self.engine.tag(result.image_id, name)
        return replace(result, references=result.plan.references)


def _with_record(result: ImageResult, recorder: Recorder, *, duration_s: float) -> ImageResult:
    return replace(result, phases=recorder.phases, steps=recorder.steps, checks=recorder.checks, duration_s=duration_s)
