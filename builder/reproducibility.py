"""Own the comparison of two builds of one image: every file that differs, and in what; it builds neither."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import BinaryIO, Protocol

from builder import saved
from builder.api import ImageDetails
from builder.errors import FailedError
from builder.saved import Member, Readable

HINT = "where files of Debian's packages differ, newer ones may have come out meanwhile: run it again"
_READ_BYTES = 1 << 20
_SHORT_ID = 19  # `sha256:` and twelve digits


class Images(Protocol):
    """What can show an image and its layers without running it: an Engine."""

    def inspect_image(self, reference: str, /) -> ImageDetails:
        """Return what is known of the image."""

    def saved_image(self, reference: str, /) -> AbstractContextManager[BinaryIO]:
        """Stream the image as `docker save` writes it."""

    def discard_image(self, image_id: str, /) -> None:
        """Remove an untagged image."""


@dataclass(frozen=True, kw_only=True, slots=True)
class File:
    """A member of a layer, with the digest of its content where it has any."""

    member: Member
    sha256: str


def check(images: Images, first: str, second: str) -> str:
    """Compare two builds, keep the first alone and say what they are.

    Raises FailedError with a line for everything in which they differ.
    """
    found = differences(images, first, second)
    if first != second:
        images.discard_image(second)
    if found:
        raise FailedError("\n".join(["two builds of it differ:", *found]), hint=HINT)
    return f"both builds are {first[:_SHORT_ID]}" if first == second else "both builds hold the same"


def differences(images: Images, first: str, second: str) -> tuple[str, ...]:
    """Return a line for everything in which two images differ, none where they are one; raises FailedError.

    Layers with equal digests are not read.
    """
    if first == second:
        return ()
    one, other = images.inspect_image(first), images.inspect_image(second)
    if len(one.layers) != len(other.layers):
        return (f"{len(one.layers)} layers and {len(other.layers)}",)
    before, after = _seen(images, first), _seen(images, second)
    lines = list(_other_texts(before.texts, after.texts))
    for number, digests in enumerate(zip(one.layers, other.layers, strict=True), start=1):
        if digests[0] != digests[1]:
            lines += _other_layer(number, before.layer(number), after.layer(number))
    return tuple(lines)


@dataclass(kw_only=True)
class _Seen:
    """Everything that one image holds; `order` names its layers from the lowest."""

    order: tuple[str, ...] = ()
    texts: dict[str, str] = field(default_factory=dict)
    files: dict[str, dict[str, File]] = field(default_factory=dict)

    def text(self, place: str, value: str) -> None:
        if place.partition(".")[0].partition("[")[0] in {"config", "history", "created", "os", "architecture"}:
            self.texts[place] = value

    def member(self, layer: str, member: Member, content: Readable | None) -> None:
        digest = _sha256(content) if content else ""
        self.files.setdefault(layer, {})[member.path] = File(member=member, sha256=digest)

    def layer(self, number: int) -> Mapping[str, File]:
        return self.files.get(self.order[number - 1], {})


def _seen(images: Images, image: str) -> _Seen:
    seen = _Seen()
    with images.saved_image(image) as stream:
        seen.order = saved.read(stream, seen)
    return seen


def _sha256(content: Readable) -> str:
    digest = hashlib.sha256()
    while part := content.read(_READ_BYTES):
        digest.update(part)
    return digest.hexdigest()


def _other_texts(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    for place in sorted({*before, *after}):
        if before.get(place) != after.get(place):
            yield f"`{place}`: `{before.get(place, '')}` and `{after.get(place, '')}`"


def _other_layer(number: int, before: Mapping[str, File], after: Mapping[str, File]) -> list[str]:
    lines = [f"`{path}` of layer {number}: {_other(before, after, path)}" for path in sorted({*before, *after})]
    lines = [line for line in lines if not line.endswith(": ")]
    return lines or [f"layer {number}: the same files, packed otherwise"]


def _other(before: Mapping[str, File], after: Mapping[str, File], path: str) -> str:
    """Say in what a file differs, nothing where it does not."""
    if path not in before or path not in after:
        return f"only in the {'second' if path in after else 'first'} build"
    return ", ".join(other_parts(before[path], after[path]))


def other_parts(before: File, after: File) -> Iterator[str]:
    """Yield each thing in which two files of one path differ: kind, bytes, mtime, mode, owner, link."""
    one, other = before.member, after.member
    if one.kind != other.kind:
        yield f"kind `{one.kind}` and `{other.kind}`"
    if before.sha256 != after.sha256:
        yield f"bytes, {one.size_bytes} and {other.size_bytes} of them"
    if one.modified != other.modified:
        yield f"mtime {_moment(one.modified)} and {_moment(other.modified)}"
    if one.mode != other.mode:
        yield f"mode {one.mode:o} and {other.mode:o}"
    if one.owner != other.owner:
        yield f"owner {one.owner} and {other.owner}"
    if one.target != other.target:
        yield f"link to `{one.target}` and `{other.target}`"


def _moment(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
