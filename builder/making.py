"""Own one image's way from its plan to its names: build, smoke test, gates, tags; it knows of no other image."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from builder import (
    admission,
    attestation,
    buildkit,
    buildx,
    context,
    gates,
    history,
    network,
    proof,
    render,
    reproducibility,
    smoke,
    tested,
)
from builder.buildkit import BuildRequest, Cancellation
from builder.buildx import BuildxRequest
from builder.console import Console, size
from builder.context import Context
from builder.engine import Engine
from builder.errors import BuildFailedError, BuildImageError, FailedError, InternalError
from builder.plan import ImagePlan
from builder.record import Recorder
from builder.result import ImageResult, Journal
from builder.settings import Settings
from builder.trace import Event

_OTHER_HINT = "another run uses the same name: give each its own, and run this one again"


def make_context(image: ImagePlan, *, version: str, files_are_shared: bool = False) -> Context:
    """Render the Dockerfile of `image` and gather what it reads; see `render.dockerfile` for shared files."""
    dockerfile = render.dockerfile(image, version=version, files_are_shared=files_are_shared)
    return context.of_image(image, dockerfile=dockerfile, files_are_shared=files_are_shared)


@dataclass(frozen=True, kw_only=True, slots=True)
class Maker:
    """Takes the images of one run through every phase; threads may share it.

    `shared` defines the files of each local model by their `files_name`; they are sent once for all images.
    """

    settings: Settings
    engine: Engine
    console: Console
    secrets: Mapping[str, bytes]
    cancellation: Cancellation
    shared: Mapping[str, bytes]
    journal: Journal
    is_alone: bool  # whether one image is made at a time

    def make(self, image: ImagePlan) -> ImageResult:
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
        tested = {"smoke test": self._smoke, "gates": self._judge, "attest": self._attest, "tag": self._tag}
        return {"build": self._build, **repeated, **({} if self.settings.build_only else tested)}

    def _build(self, result: ImageResult, recorder: Recorder) -> ImageResult:
        started, image = time.monotonic(), result.plan

        def on_event(event: Event) -> None:
            recorder.observe(event)
            self.console.event(image.name, event)

        try:
            image_id = self._built(image, on_event=on_event)
        except BuildFailedError as error:
            raise proof.retold(error) from error
        details, build_s = self.engine.inspect_image(image_id), time.monotonic() - started
        layers = history.layers(
            details.layers,
            self.engine.history(image_id),
            dockerfile=render.dockerfile(image, version=self.settings.version),
        )
        told = f"{image.name}: built {image_id} in {build_s:.1f} s, {size(details.size_bytes)}"
        self.console.say(told, image=image.name)
        result = replace(result, details=details, layers=layers, build_s=build_s)
        return self._proven(result, recorder) if image.optimized else result

    def _proven(self, result: ImageResult, recorder: Recorder) -> ImageResult:
        """Tell what the build measured of optimised graphs, and which of them there is not."""
        accuracy = proof.read(self.engine, result.image_id)
        for check in proof.checks(accuracy):
            self._tell(result, recorder)(check)
        for warning in proof.warnings(accuracy):
            self.console.warn(f"{result.plan.name}: {warning}")
        return replace(result, accuracy=accuracy)

    def _built(self, image: ImagePlan, *, on_event: Callable[[Event], None]) -> str:
        build = self._build_elsewhere if self.settings.builder else self._build_here
        return build(image, on_event)

    def _build_here(self, image: ImagePlan, on_event: Callable[[Event], None]) -> str:
        request = BuildRequest(
            context=make_context(image, version=self.settings.version, files_are_shared=True),
            shared_key=f"{self.settings.models.resolve()}#{image.name}",
            platform=image.platform or "",
            network_mode=self.settings.build_network,
            secrets=self.secrets,
            inputs={name: self.shared[name] for model in image.models if (name := model.files_name) in self.shared},
            no_cache=self.settings.no_cache,
            source_date_epoch=image.origin.created,
        )
        return buildkit.build(self.engine, request, on_event=on_event, cancellation=self.cancellation)

    def _build_elsewhere(self, image: ImagePlan, on_event: Callable[[Event], None]) -> str:
        request = BuildxRequest(
            builder=self.settings.builder,
            image=image,
            context=make_context(image, version=self.settings.version),
            environment=self.settings.environment,
            secrets=self.secrets,
            network_mode=self.settings.build_network,
            no_cache=self.settings.no_cache,
        )
        return buildx.build(request, store=self.engine, on_event=on_event, cancellation=self.cancellation)

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
            self.engine,
            result.plan,
            details=result.details,
            figures=result.figures,
            secrets=secrets,
            cancellation=self.cancellation,
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

    def _attest(self, result: ImageResult, _: Recorder) -> ImageResult:
        for path in attestation.write(self.engine, result.plan, result.image_id, self.settings):
            self.console.say(f"{result.plan.name}: wrote {path}", image=result.plan.name)
        return result

    def _tag(self, result: ImageResult, _: Recorder) -> ImageResult:
        for name in result.plan.references:
            self.engine.tag(result.image_id, name)
        for name in result.plan.references:  # another run may have given one of them to its own image in between
            if self.engine.image_id(name) != result.image_id:
                raise FailedError(f"`{name}` is another image by now than the one that was tested", hint=_OTHER_HINT)
        return replace(result, references=result.plan.references)


def _with_record(result: ImageResult, recorder: Recorder, *, duration_s: float) -> ImageResult:
    return replace(result, phases=recorder.phases, steps=recorder.steps, checks=recorder.checks, duration_s=duration_s)
