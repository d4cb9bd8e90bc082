"""Own what the commands do with a manifest, once flags are values: lock, cache, build, remember; no flag, no exit code.

`cli` imports it, and it imports what is slow, only where it is needed: `--help` and a run that changes nothing wait for
neither.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from builder import report as reports
from builder import unchanged
from builder.console import Console
from builder.errors import InputError, UnreachableError
from builder.settings import Settings

if TYPE_CHECKING:
    from builder.cache import Filled
    from builder.engine import Engine
    from builder.forecast import Forecast
    from builder.pipeline import Draft
    from builder.plan import Plan
    from builder.result import Journal


def build(settings: Settings, *, console: Console, journal: "Journal") -> list[reports.Report]:
    """Build, test and tag every image, unless that would change nothing; push them where that is asked for.

    Returns what a report says of each. Where that is interrupted, `journal` has how far each came.
    """
    if settings.builder and settings.supplies is not None:
        hint = "leave out --builder: what was gathered is in this engine alone"
        raise InputError("--builder builds with a network, and --from without one", hint=hint)
    secrets = {} if settings.supplies else _secrets(settings)
    spared = _spared(settings, console)
    if spared is not None:
        return spared
    if settings.supplies is not None:
        return _made_offline(settings, settings.supplies, console=console, journal=journal)
    return _made(settings, secrets, console=console, journal=journal)


def _spared(settings: Settings, console: Console) -> list[reports.Report] | None:
    """Return the images of a run that would change nothing, which is told without building."""
    # What is pushed has been tested by the same run, or by that of `build-image push`, which looks it up; and what is
    # written about an image wants to know its plan.
    is_whole = settings.no_cache or settings.push or settings.sbom or settings.provenance
    memory = None if is_whole else unchanged.recall(settings)
    if memory is None:
        return None
    from builder.engine import Engine  # noqa: PLC0415 - docker-py is slow to import

    with Engine.connect() as engine:
        found = unchanged.report(memory, engine)
    if found is not None:
        console.say("nothing has changed since these images were made; --no-cache makes them again")
    return None if found is None else list(found["images"])


def _made(
    settings: Settings, secrets: Mapping[str, bytes], *, console: Console, journal: "Journal"
) -> list[reports.Report]:
    """Lock, plan and run."""
    from builder import buildx, pipeline  # noqa: PLC0415 - a run that changes nothing should not wait for it
    from builder.engine import Engine  # noqa: PLC0415

    if settings.builder:
        buildx.check(settings.builder, environment=settings.environment, network_mode=settings.build_network)
    draft = pipeline.draft(settings)
    with Engine.connect() as engine, console.live():
        draft = pipeline.pin_base(draft, engine.base_digest)
        settle(draft, settings, console)
        plan = pipeline.make_plan(draft, settings)
        folders = _model_folders(plan, settings)
        return _run(plan, settings, folders=folders, secrets=secrets, engine=engine, console=console, journal=journal)


def _made_offline(settings: Settings, directory: Path, *, console: Console, journal: "Journal") -> list[reports.Report]:
    """Plan and run from a folder of supplies."""
    from builder import offline  # noqa: PLC0415 - as above
    from builder.engine import Engine  # noqa: PLC0415

    # A manifest of the project's own has a lock and folders beside it, which are compared with the supplies each time.
    folders = () if offline.is_own_manifest(settings, directory) else None
    with Engine.connect() as engine, console.live():
        plan = offline.plan(settings, directory, host=engine, console=console)
        settings = replace(settings, build_network="none")
        return _run(plan, settings, folders=folders, secrets={}, engine=engine, console=console, journal=journal)


def _run(
    plan: "Plan",
    settings: Settings,
    *,
    folders: tuple[str, ...] | None,
    secrets: Mapping[str, bytes],
    engine: "Engine",
    console: Console,
    journal: "Journal",
) -> list[reports.Report]:
    """Make the images, and remember that where it succeeded and `folders` are known to hold all that they depend on."""
    from builder import pipeline, publication  # noqa: PLC0415 - as above

    fingerprint = "" if folders is None else unchanged.fingerprint(settings, folders)
    with ExitStack() as stack:
        publisher = None
        if settings.push:
            publisher = stack.enter_context(publication.prepared(plan.images, settings, engine=engine, console=console))
        results = pipeline.run(plan, settings, secrets=secrets, engine=engine, console=console, journal=journal)
        results = publisher.publish(results, journal=journal) if publisher else results
    made = reports.images(results)
    if folders is not None and plan.is_repeatable and all(result.error is None for result in results):
        bases = {image.built_on: engine.image_id(image.built_on) for image in plan.images}
        memory = unchanged.Memory(fingerprint=fingerprint, folders=folders, bases=bases, report={"images": made})
        unchanged.remember(settings, memory)
    return made


def _model_folders(plan: "Plan", settings: Settings) -> tuple[str, ...]:
    """List the folders of local models as the manifest names them: one may be a link that will lead elsewhere.

    And the files of samples, which are as much a part of what a run is made of.
    """
    models = [model for image in plan.images for model in image.models]
    folders = [model.asked["path"] for model in models if model.folder]
    texts = [model.asked["optimize"]["samples"] for model in models if model.samples]
    return tuple(sorted({str(settings.directory / place) for place in [*folders, *texts]}))


def plan(settings: Settings, *, console: Console) -> "Forecast":
    """Tell what a run would do, from the plan that it would follow; nothing is written, built or downloaded.

    Without an engine the plan is the same, unless the lock lacks the digest of the base image.
    """
    from builder import forecast, lock, pipeline  # noqa: PLC0415 - as above
    from builder.engine import Engine  # noqa: PLC0415

    draft, there = pipeline.draft(settings), None
    try:
        with Engine.connect() as engine:
            draft = pipeline.pin_base(draft, engine.base_digest)
            made = pipeline.make_plan(draft, settings)
            memory = unchanged.recall(settings)
            is_unchanged = memory is not None and unchanged.report(memory, engine) is not None
            there = forecast.ask(engine, made, is_unchanged=is_unchanged)
    except UnreachableError as error:
        console.warn(f"what is there already is not known: {error.message}")
        if draft.manifest.defaults.base not in draft.lock.bases:
            console.warn("the lock lacks the base image's digest, which tags of `lock.digest` depend on")
        made = pipeline.make_plan(draft, settings)
    return forecast.make(made, there, lock_changes=tuple(lock.differences(draft.previous, draft.lock)))


def push(settings: Settings, *, console: Console, journal: "Journal") -> list[reports.Report]:
    """Push every image that this program has built, tested and tagged as the manifest and its lock say."""
    from builder import pipeline, publication  # noqa: PLC0415 - as above
    from builder.engine import Engine  # noqa: PLC0415

    draft = pipeline.draft(settings)
    with Engine.connect() as engine, console.live():
        draft = pipeline.pin_base(draft, engine.base_digest)
        pipeline.settle(draft, settings)
        plan = pipeline.make_plan(draft, settings)
        held = publication.tested_images(plan.images, settings, engine=engine)
        with publication.prepared(plan.images, settings, engine=engine, console=console) as publisher:
            return reports.images(publisher.publish(held, journal=journal))


def fill_cache(settings: Settings, console: Console, *, is_quick: bool = False) -> "Filled":
    """Lock the models and bring them into the local cache."""
    from builder import pipeline  # noqa: PLC0415 - as above

    draft = pipeline.draft(settings)
    settle(draft, settings, console)
    with console.live():
        return pipeline.fill_cache(draft, settings, console=console, is_quick=is_quick)


def gather(settings: Settings, directory: Path, *, console: Console) -> tuple[str, ...]:
    """Lock the models and gather in a folder all that the images are built from; return a line for each part of it."""
    from builder import gather as gathering  # noqa: PLC0415 - as above
    from builder import pipeline  # noqa: PLC0415
    from builder.engine import Engine  # noqa: PLC0415

    if settings.environment.get("HF_PRELOAD_TARGETS"):
        raise InputError("with --output every model is needed, and HF_PRELOAD_TARGETS names some", hint="unset it")
    secrets = _secrets(settings)
    draft = pipeline.draft(settings)
    with Engine.connect() as engine, console.live():
        draft = pipeline.pin_base(draft, engine.base_digest)
        settle(draft, settings, console)
        plan = pipeline.make_plan(draft, settings)
        task = gathering.Task(
            draft=draft,
            plan=plan,
            settings=settings,
            directory=directory,
            engine=engine,
            console=console,
            secrets=secrets,
        )
        held = gathering.run(task)
    console.say(f"complete: `build-image --from {directory}` builds from it without a network")
    return tuple(gathering.parts(task, held))


def _secrets(settings: Settings) -> dict[str, bytes]:
    """Gather what the stages that download need to know of this host; raises InputError."""
    from builder import network  # noqa: PLC0415 - as above

    return network.secrets(settings.environment, ca_bundle=settings.ca_bundle)


def preload(settings: Settings, console: Console, *, bundle: Path | None) -> list[str]:
    """Fill the local cache, write what the server reads of it where `bundle` says, and list the models' folders."""
    from builder import bundle as bundles  # noqa: PLC0415 - as above
    from builder import serve  # noqa: PLC0415

    filled = fill_cache(settings, console)
    if bundle is not None:
        models = bundles.without_overlays(filled.models)  # no stage has derived anything here
        serve.write_bundle(bundles.document(models, cache=str(filled.cache.home)), bundle)
    return [str(filled.cache.link(model)) for model in filled.models]


def settle(draft: "Draft", settings: Settings, console: Console) -> None:
    """Write the lock, and tell what in it moved or may move."""
    from builder import lock, pipeline, recipe  # noqa: PLC0415 - as its callers

    had_lock = settings.lock_path.exists()
    if pipeline.settle(draft, settings):
        console.say(f"{'updated' if had_lock else 'wrote'} {settings.lock_path}")
        for line in lock.differences(draft.previous, draft.lock) if had_lock else ():
            console.say(f"  {line}")
    for name in draft.models:
        model = draft.lock.models[name]
        if model.is_fetched and model.revision != model.asked["revision"]:
            held = f"`{model.asked['revision']}` may move; the lock holds it at {model.revision}"
            console.warn(f"models.{name}.revision: {held}")
        for warning in recipe.warnings(model.recipe):
            console.warn(f"models.{name}: {warning}")
