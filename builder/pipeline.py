"""Own the order of a run: plan, then build, smoke-test and tag each image; one image's failure stops no other."""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace

from builder import buildkit, context, git, lock, manifest, network, render, smoke
from builder import plan as planning
from builder.buildkit import BuildRequest, Cancellation
from builder.console import Console, size
from builder.context import Context
from builder.engine import Engine, ImageDetails
from builder.errors import BuildImageError
from builder.lock import HubAccess
from builder.plan import ImagePlan, Plan
from builder.settings import Settings


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageResult:
    """How one image went; `references` are the names it really got."""

    plan: ImagePlan
    references: tuple[str, ...] = ()
    details: ImageDetails | None = None
    checks: tuple[smoke.Check, ...] = ()
    build_s: float = 0.0
    duration_s: float = 0.0
    error: BuildImageError | None = None

    @property
    def image_id(self) -> str:
        """The id of the built image, empty before it is built."""
        return self.details.id if self.details else ""


def make_plan(settings: Settings) -> Plan:
    """Read the manifest and decide everything about its images that can be decided before a build."""
    read = manifest.load(settings.models, environment=settings.environment)
    chosen = planning.choose(read, settings.images)
    names = [name for image in chosen.values() for name in image.models]
    hub_access = HubAccess(token=network.hub_token(settings.environment) or None, ca_bundle=settings.ca_bundle)
    locked = lock.resolve(
        read,
        names,
        directory=settings.directory,
        cache_directory=settings.cache_directory,
        hub_access=hub_access,
    )
    checkout = git.read(settings.directory) if planning.needs_git(chosen) else None
    return planning.make(read, chosen, lock=locked, git=checkout)


def make_context(image: ImagePlan, *, version: str) -> Context:
    """Render the Dockerfile of `image` and gather what it reads."""
    return context.of_image(image, dockerfile=render.dockerfile(image, version=version))


def run(
    plan: Plan, settings: Settings, *, secrets: Mapping[str, bytes], engine: Engine, console: Console
) -> tuple[ImageResult, ...]:
    """Build, test and tag every image; a failure is in its image's result.

    Raises KeyboardInterrupt once every build is cancelled and every container is gone.
    """
    cancellation = Cancellation()
    run = _Run(settings=settings, engine=engine, console=console, secrets=secrets, cancellation=cancellation)
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

    def image(self, image: ImagePlan) -> ImageResult:
        """Take an image through every step; after a failure the result is that of the steps before it."""
        started = time.monotonic()
        self.console.say(f"{image.name}: building {', '.join(model.name for model in image.models)}")
        result = ImageResult(plan=image)
        try:
            for step in (self._build,) if self.settings.build_only else (self._build, self._smoke, self._tag):
                result = step(result)
        except BuildImageError as error:
            if self.cancellation.requested:
                raise KeyboardInterrupt from error
            self.console.error(error, image=image.name)
            result = replace(result, error=error)
        return replace(result, duration_s=time.monotonic() - started)

    def _build(self, result: ImageResult) -> ImageResult:
        started, image = time.monotonic(), result.plan
        request = BuildRequest(
            context=make_context(image, version=self.settings.version),
            shared_key=f"{self.settings.models.resolve()}#{image.name}",
            platform=image.platform or "",
            network_mode=self.settings.build_network,
            secrets=self.secrets,
            no_cache=self.settings.no_cache,
        )
        image_id = buildkit.build(
            self.engine,
            request,
            on_event=lambda event: self.console.event(image.name, event),
            cancellation=self.cancellation,
        )
        details, build_s = self.engine.inspect_image(image_id), time.monotonic() - started
        self.console.say(f"{image.name}: built {image_id} in {build_s:.1f} s, {size(details.size_bytes)}")
        return replace(result, details=details, build_s=build_s)

    def _smoke(self, result: ImageResult) -> ImageResult:
        tested = smoke.run(self.engine, result.plan, image_id=result.image_id, cancellation=self.cancellation)
        for check in tested.checks:
            self.console.say(f"{check.duration_s:7.1f}s {result.plan.name}: {check.name}: {check.detail}")
        return replace(result, checks=tested.checks)

    def _tag(self, result: ImageResult) -> ImageResult:
        for name in result.plan.references:
            self.engine.tag(result.image_id, name)
        return replace(result, references=result.plan.references)
