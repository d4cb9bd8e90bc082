"""Own what a run will move and make, told before it starts: stages, bytes, sizes, licences; it decides no plan.

What only an engine can tell is None where none was asked. That an engine has an image with a model's layer is known;
whether BuildKit still has the stage that made it is not, so bytes to fetch are those of what no image there has.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from builder import disk, reference
from builder.api import HeldImage, ImageDetails
from builder.disk import Need
from builder.labels import MODELS_LABEL
from builder.lock import LockedModel
from builder.plan import ImagePlan, Plan

# Measured on amd64, and rounded up.
SERVER_LAYERS_BYTES = 150_000_000  # of an image of 405 MB, without its base and its models
PACKAGES_BYTES = 100_000_000  # wheels 53 MB, Debian's packages 21 MB, apt's lists twice 9 MB
OPTIMIZER_FETCH_BYTES = 100_000_000  # its wheels, and Debian's packages
HUB_CLIENT_BYTES = 40_000_000  # wheels 7 MB, Debian's packages and apt's lists

# `new`: no image has the name; `replaced`: another image has it; `there`: an image of these models, decisions and base
# has it; `unchanged`: the last run made it, and a run now would do nothing.
State = Literal["new", "replaced", "there", "unchanged"]


class Engine(Protocol):
    """What can say what is there already: an Engine."""

    def local_root(self) -> Path | None:
        """Find the engine's folder, None where that is not on this machine."""

    def images(self, *, label: str) -> Sequence[HeldImage]:
        """List the images that carry `label`."""

    def has_image(self, reference: str, /) -> bool:
        """Tell whether it holds an image."""

    def inspect_image(self, reference: str, /) -> ImageDetails:
        """Return what is known of an image."""


@dataclass(frozen=True, kw_only=True, slots=True)
class There:
    """What an engine has: images of this program, the base image, and free space where it is on this machine."""

    images: tuple[HeldImage, ...]
    base_bytes: int | None
    free_bytes: int | None
    is_unchanged: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageForecast:
    """An image as it will be: `added_bytes` without the base, whose size only an engine that has it can tell.

    Of an optimised model they are those of its original: how large its derived graph will be shows only in the build.
    """

    plan: ImagePlan
    added_bytes: int
    base_bytes: int | None
    state: State | None

    @property
    def size_bytes(self) -> int | None:
        """Its size, where it is known."""
        return None if self.base_bytes is None else self.added_bytes + self.base_bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelForecast:
    """A model, and which images have it."""

    model: LockedModel
    images: tuple[str, ...]
    is_held: bool | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Forecast:
    """All that a run will do; `stages` has the images that each stage is made for, once for all of them."""

    images: tuple[ImageForecast, ...]
    models: tuple[ModelForecast, ...]
    stages: Mapping[str, tuple[str, ...]]
    fetched: Need
    disk: Need
    free_bytes: int | None
    has_base: bool | None
    lock_changes: tuple[str, ...]


def ask(engine: Engine, plan: Plan, *, is_unchanged: bool) -> There:
    """Ask an engine for what it has of `plan`, in few questions however many images there are."""
    root, base = engine.local_root(), plan.images[0].built_on  # the same for all
    return There(
        images=tuple(engine.images(label=MODELS_LABEL)),
        base_bytes=engine.inspect_image(base).size_bytes if engine.has_image(base) else None,
        free_bytes=disk.free(root) if root else None,
        is_unchanged=is_unchanged,
    )


def make(plan: Plan, there: There | None, *, lock_changes: Sequence[str] = ()) -> Forecast:
    """Predict what running `plan` does, where the engine has what is `there`."""
    held = disk.models_of(there.images) if there else set()
    models = {model.identity: model for image in plan.images for model in image.models}
    owners = _owners(there.images if there else ())
    return Forecast(
        images=tuple(
            ImageForecast(
                plan=image,
                added_bytes=_added_bytes(image),
                base_bytes=_base_bytes(image, there),
                state=_state(image, owners, there) if there else None,
            )
            for image in plan.images
        ),
        models=tuple(
            ModelForecast(
                model=model,
                images=tuple(image.name for image in plan.images if identity in {m.identity for m in image.models}),
                is_held=identity in held if there else None,
            )
            for identity, model in models.items()
        ),
        stages=_stages(plan.images),
        fetched=_fetched(plan.images, list(models.values()), held, there),
        disk=disk.predict(plan.images, held=held),
        free_bytes=there.free_bytes if there else None,
        has_base=there.base_bytes is not None if there else None,
        lock_changes=tuple(lock_changes),
    )


def _owners(images: Sequence[HeldImage]) -> dict[str, HeldImage]:
    return {reference.spelled_out(name): image for image in images for name in image.names}


def _state(image: ImagePlan, owners: Mapping[str, HeldImage], there: There) -> State:
    if there.is_unchanged:
        return "unchanged"
    found = [owners.get(reference.spelled_out(name)) for name in image.references]
    if not any(found):
        return "new"
    are_alike = all(held is not None and held.labels.items() >= image.labels.items() for held in found)
    return "there" if are_alike else "replaced"


def _added_bytes(image: ImagePlan) -> int:
    server_bytes = SERVER_LAYERS_BYTES if image.kind == "server" else 0
    return server_bytes + sum(model.size_bytes for model in image.models)


def _base_bytes(image: ImagePlan, there: There | None) -> int | None:
    if image.kind == "models":
        return 0  # stands on none
    return there.base_bytes if there else None


def _stages(images: Sequence[ImagePlan]) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for image in images:
        for stage in image.shareable_stages:
            found.setdefault(stage, []).append(image.name)
    return {stage: tuple(names) for stage, names in found.items()}


def _fetched(images: Sequence[ImagePlan], models: Sequence[LockedModel], held: set[str], there: There | None) -> Need:
    """Predict the bytes that come over the network; what an engine has of ours tells that it has the packages too."""
    if there is not None and there.is_unchanged:
        return Need(parts={})
    fetched = [model for model in models if model.is_fetched and model.identity not in held]
    serves = any(image.kind == "server" for image in images)
    return Need(
        parts={
            "models": sum(model.size_bytes for model in fetched),
            "packages": PACKAGES_BYTES if serves and not held else 0,
            "the Hub's client": HUB_CLIENT_BYTES if fetched and not held else 0,
            **(
                {"the optimiser": OPTIMIZER_FETCH_BYTES}
                if any(image.optimized for image in images) and not held
                else {}
            ),
        }
    )
