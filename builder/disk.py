"""Own what a run will take of a disk, and the refusal where that can't fit; it frees nothing.

BuildKit keeps a model three times: as the stage that fetched or copied it, as the layer of the image, and as what it
came from, which is what was sent of a local folder and the cache mount of a fetched model. The two constants were
measured with `docker system df` on amd64, and rounded up.
"""

import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from builder.api import HeldImage
from builder.console import size
from builder.errors import FailedError
from builder.labels import MODELS_LABEL
from builder.lock import LockedModel
from builder.plan import ImagePlan

SERVER_BYTES = 600_000_000  # Python's packages: their stage 378 MB, their layers 149 MB, a base of 75 MB
OPTIMIZER_BYTES = 400_000_000  # the stage that graphs are derived in
HUB_CLIENT_BYTES = 300_000_000  # the stage that models are fetched with: 281 MB
ENGINE_HINT = "free space with `build-image prune`, then `docker builder prune`, or build fewer images with --image"


@dataclass(frozen=True, kw_only=True, slots=True)
class Need:
    """Bytes that a run will take, by what they are for."""

    parts: Mapping[str, int]

    @property
    def total_bytes(self) -> int:
        """All of them."""
        return sum(self.parts.values())

    def __str__(self) -> str:
        return ", ".join(f"{name} {size(count)}" for name, count in self.parts.items() if count)


class EngineDisk(Protocol):
    """What can say where images are kept and which are there already: an Engine."""

    def local_root(self) -> Path | None:
        """Find the engine's folder, None where that is not on this machine."""

    def images(self, *, label: str) -> Sequence[HeldImage]:
        """List the images that carry `label`."""


def predict(images: Sequence[ImagePlan], *, held: Collection[str] = ()) -> Need:
    """Predict what building `images` takes of the engine's disk.

    `held` are the models, as `identity` writes them, whose layers the engine has; where it has any, it has the
    server's packages too.
    """
    new = {
        model.identity: model for image in images for model in image.models if model.identity not in held
    }  # each model once: images share its files, its stage and its layer
    serves = any(image.kind == "server" for image in images)
    fetched = [model for model in new.values() if model.is_fetched]
    models_bytes = sum(model.size_bytes for model in new.values())
    return Need(
        parts={
            "models in their stages": models_bytes,
            "models in layers": models_bytes,
            "kept for the next fetch": sum(model.size_bytes for model in fetched),
            "contexts": sum(model.size_bytes for model in new.values() if model.folder),
            "the server": SERVER_BYTES if serves and not held else 0,
            "the Hub's client": HUB_CLIENT_BYTES if fetched and not held else 0,
            **_optimizing(new.values(), images, is_first=not held),
        }
    )


def _optimizing(new: Iterable[LockedModel], images: Sequence[ImagePlan], *, is_first: bool) -> dict[str, int]:
    """Predict what the stages that derive graphs take: each lays its model out anew, as large as it was at most."""
    names = {model.name for image in images for model in image.optimized}
    optimized = [model for model in new if model.name in names]
    if not optimized:
        return {}
    return {
        "optimised models in their stages": sum(model.size_bytes for model in optimized),
        "the optimiser": OPTIMIZER_BYTES if is_first else 0,
    }


def check_engine(images: Sequence[ImagePlan], engine: EngineDisk, *, no_cache: bool = False) -> None:
    """Refuse to build what can't fit; raises FailedError.

    What the engine holds already is only looked up where the bytes are short, so that most runs never wait for it.
    An engine on another machine can't be asked for its free space.
    """
    root = engine.local_root()
    if root is None:
        return
    free_bytes = free(root)
    need = predict(images)
    if need.total_bytes > free_bytes and not no_cache:
        need = predict(images, held=models_of(engine.images(label=MODELS_LABEL)))
    require(need, free_bytes, place=f"the engine's disk (`{root}`)", hint=ENGINE_HINT)


def require(need: Need, free_bytes: int, *, place: str, hint: str) -> None:
    """Raise FailedError unless `need` fits into `free_bytes`."""
    if need.total_bytes > free_bytes:
        total = size(need.total_bytes)
        raise FailedError(f"{place} has {size(free_bytes)} free, and {total} are needed: {need}", hint=hint)


def free(path: Path) -> int:
    """Return the bytes that may be written at `path`, which need not exist yet."""
    existing = next(place for place in (path, *path.parents) if place.exists())
    return shutil.disk_usage(existing).free


def models_of(images: Iterable[HeldImage]) -> set[str]:
    """Return the models, as `identity` writes them, that images which carry their label hold."""
    return {name for image in images for name in image.labels[MODELS_LABEL].split()}
