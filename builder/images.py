"""Own what is asked of an engine about its images: looked up, listed, named, saved, loaded, removed; it sends nothing.

How the engine is reached, and what its failures mean, is `engine`'s.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

from builder.api import HeldImage, HistoryEntry, ImageDetails
from builder.errors import AbsentError, FailedError, UnreachableError
from builder.messages import JsonStream

# The label of a base that was made, not pulled: its digest means nothing elsewhere.
LOCAL_BASE = "build-image.made-here"

Json: TypeAlias = dict[str, Any]  # what the Engine API answers, checked by nobody


class ImageStore(ABC):
    """The half of an engine that is about images, over the ways to ask that the other half has."""

    @abstractmethod
    def ask(self, action: str, operation: str, *arguments: object, **options: object) -> Any:  # noqa: ANN401 the engine's JSON
        """Call one operation of the engine's client; `action` is how a failure begins."""

    @abstractmethod
    def listed(self, place: str, query: Mapping[str, str]) -> list[Json]:
        """Ask for a list."""

    @abstractmethod
    def download(self, place: str, *, action: str, **parameters: str) -> AbstractContextManager[BinaryIO]:
        """Stream what lies at `place`."""

    @abstractmethod
    def upload(self, place: str, source: BinaryIO, *, action: str) -> JsonStream:
        """Send `source` to `place` and stream the answer."""

    def has_image(self, reference: str) -> bool:
        """Tell whether the engine holds an image."""
        return bool(self.image_id(reference))

    def image_id(self, reference: str) -> str:
        """Look up the id of an image, empty where the engine does not hold it."""
        try:
            return str(self._inspect(reference)["Id"])
        except AbsentError:
            return ""

    def inspect_image(self, reference: str) -> ImageDetails:
        """Read what the engine knows of an image, by its id or any reference."""
        found = self._inspect(reference)
        config = found.get("Config") or {}
        digests = tuple(found.get("RepoDigests") or ())
        return ImageDetails(
            id=found["Id"],
            platform=f"{found['Os']}/{found['Architecture']}",
            size_bytes=found["Size"],
            layers=tuple(found["RootFS"].get("Layers") or ()),
            labels=config.get("Labels") or {},
            environment=tuple(config.get("Env") or ()),
            digest=next(iter(digests), "").rpartition("@")[2],
            repository_digests=digests,
        )

    def base_digest(self, reference: str) -> str:
        """Find the digest that a registry has `reference` under, empty where none knows it."""
        if self.has_image(reference):
            details = self.inspect_image(reference)
            return "" if details.labels.get(LOCAL_BASE) else details.digest
        with suppress(FailedError, UnreachableError):
            found: Json = self.ask(f"cannot find `{reference}`", "inspect_distribution", reference)
            return str(found["Descriptor"]["digest"])
        return ""

    def image_history(self, reference: str) -> tuple[str, ...]:
        """Read the commands that made an image's layers, newest first."""
        return tuple(entry.created_by for entry in self.history(reference))

    def history(self, reference: str) -> tuple[HistoryEntry, ...]:
        """Read what made an image and how many bytes each step of it added, newest first."""
        layers: list[Json] = self.ask(f"cannot read the history of `{reference}`", "history", reference)
        return tuple(HistoryEntry(created_by=str(layer["CreatedBy"]), size_bytes=layer["Size"]) for layer in layers)

    def images(self, *, label: str) -> tuple[HeldImage, ...]:
        """List the images that carry `label`."""
        query = {"filters": json.dumps({"label": [label]}), "shared-size": "1"}
        return tuple(
            HeldImage(
                id=image["Id"],
                names=tuple(image["RepoTags"] or ()),
                labels=image["Labels"] or {},
                size_bytes=image["Size"],
                own_bytes=image["Size"] - max(image["SharedSize"], 0),
            )
            for image in self.listed("/images/json", query)
        )

    def tag(self, image_id: str, reference: str) -> None:
        """Point `reference` (repository:tag) at an image."""
        repository, _, tag = reference.rpartition(":")
        self.ask(f"cannot tag `{reference}`", "tag", image_id, repository, tag)

    def untag(self, reference: str) -> None:
        """Remove one reference; the image goes only where nothing else names it."""
        self._remove(reference, noprune=True)

    def remove_image(self, reference: str) -> None:
        """Remove an image with all its references; one that is not there is fine."""
        self._remove(reference, force=True)

    def discard_image(self, image_id: str) -> None:
        """Remove an untagged image; the engine refuses to where a container needs it."""
        self._remove(image_id)

    def saved_image(self, reference: str) -> AbstractContextManager[BinaryIO]:
        """Stream an image with all its layers as the tar that `docker save` writes; it cannot seek."""
        return self.download(f"/images/{reference}/get", action=f"save `{reference}`")

    def load_image(self, source: Path) -> None:
        """Take the images of a tar that `saved_image` gave, with their names; raises FailedError and OSError."""
        action = f"load the images of `{source}`"
        with source.open("rb") as stream, self.upload("/images/load", stream, action=action) as messages:
            for message in messages:
                if "errorDetail" in message:  # told after a good status
                    raise FailedError(f"cannot {action}: {message['errorDetail'].get('message', '')}")

    def _inspect(self, reference: str) -> Json:
        found: Json = self.ask(f"cannot inspect `{reference}`", "inspect_image", reference)
        return found

    def _remove(self, reference: str, **options: bool) -> None:
        with suppress(AbsentError):
            self.ask(f"cannot remove `{reference}`", "remove_image", reference, **options)
