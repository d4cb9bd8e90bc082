"""Own which leftovers of this program an engine may lose, and their removal; it touches nothing of anybody else.

Left over are images of ours without a name, such as those that failed their smoke test or whose tag moved on, and the
containers of smoke tests that were killed before they could clean up.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from builder import owner
from builder.api import HeldContainer, HeldImage
from builder.console import Console, size
from builder.labels import MODELS_LABEL

_ID_LENGTH = len("sha256:") + 12
_CACHED = "what the build cache has of it goes with `docker builder prune`"
_CONTAINER = re.compile("build-image-[0-9a-f]{32}")  # the names that `Engine.run_container` gives, and no person


class Store(Protocol):
    """What holds images and containers, and can lose them: an Engine."""

    def images(self, *, label: str) -> Sequence[HeldImage]:
        """List the images that carry `label`."""

    def containers(self) -> Sequence[HeldContainer]:
        """List every container."""

    def discard_image(self, image_id: str, /) -> None:
        """Remove an image that nothing uses."""

    def discard_container(self, name: str, /) -> None:
        """Remove a container."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Leftovers:
    """What may go."""

    containers: tuple[HeldContainer, ...] = ()
    images: tuple[HeldImage, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.containers or self.images)

    @property
    def freed_bytes(self) -> int:
        """What no other image has; what these images have only among each other comes on top."""
        return sum(image.own_bytes for image in self.images)

    def lines(self) -> Iterator[str]:
        """Write what would go, a line each, and what that frees."""
        for container in self.containers:
            yield f"container  {container.name}  {container.status}"
        for image in self.images:
            models = ", ".join(name.partition("@")[0] for name in image.labels[MODELS_LABEL].split())
            yield f"image      {image.id[:_ID_LENGTH]}  {size(image.size_bytes)}  {models}"
        # Measured with overlay2: a layer that BuildKit's cache has too stays on the disk without its image.
        yield f"frees {size(self.freed_bytes)} that no other image has; {_CACHED}"


def run(store: Store, console: Console, *, agreed: Callable[[], bool]) -> None:
    """Show what may go, and remove it where `agreed`, which is asked only then, says so."""
    leftovers = find(store)
    for line in leftovers.lines() if leftovers else ():
        console.result(line)
    if not leftovers:
        console.say("nothing is left over")
    elif agreed():
        remove(leftovers, store)
        console.say("removed")


def find(store: Store) -> Leftovers:
    """List what may go; an image that a container of somebody else uses is not left over."""
    containers = store.containers()
    ours = tuple(container for container in containers if _CONTAINER.fullmatch(container.name))
    used = {container.image_id for container in containers if container not in ours}
    images = store.images(label=MODELS_LABEL)
    return Leftovers(
        containers=ours, images=tuple(image for image in images if not image.names and image.id not in used)
    )


def sweep(store: Store, console: Console) -> None:
    """Remove the containers of runs of this machine that ended before they could: killed, or without their engine."""
    for container in store.containers():
        if _CONTAINER.fullmatch(container.name) and owner.has_gone(container.labels.get(owner.OWNER_LABEL, "")):
            store.discard_container(container.name)
            console.say(f"removed the container {container.name}, which a run that was killed had left")


def remove(leftovers: Leftovers, store: Store) -> None:
    """Remove what was listed; raises FailedError where something else began to use it meanwhile."""
    for container in leftovers.containers:
        store.discard_container(container.name)
    for image in leftovers.images:
        store.discard_image(image.id)
