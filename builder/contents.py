"""Own what is looked for in a built image's layers: secrets, and files that it holds twice; it judges nothing."""

import hashlib
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import BinaryIO, Protocol

from builder import bundle, layout, saved
from builder.leaks import GIVEN, Finder
from builder.lock import LockedModel
from builder.saved import Member, Readable

TINY_BYTES = 1 << 16  # files up to this size may be there as often as they like

DERIVED = f"{bundle.CACHE}/optimized/"

_BLOBS = "blobs/sha256/"


@dataclass(frozen=True, kw_only=True, slots=True)
class Leak:
    """A secret, by what it is and where it stands; never the secret itself."""

    kind: str
    place: str

    def __str__(self) -> str:
        return f"{self.kind} in {self.place}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Duplicate:
    """Files of one content: their paths, and the bytes that all but one of them take."""

    paths: tuple[str, ...]
    wasted_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Contents:
    """What was found in an image, the most wasteful duplicates first."""

    leaks: tuple[Leak, ...]
    duplicates: tuple[Duplicate, ...]


class SavedImages(Protocol):
    """What can show an image's layers without running it: an Engine."""

    def saved_image(self, reference: str, /) -> AbstractContextManager[BinaryIO]:
        """Stream the image as `docker save` writes it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Search:
    """What to look for; `finder` is None where secrets are not, and with `duplicates` every file is hashed.

    `base_layers` are the digests of the layers that the image stands on, `verified` the paths whose bytes are known to
    be right. Neither is searched for what only looks like a secret, and files that the base alone has twice are its
    own affair.
    """

    finder: Finder | None
    duplicates: bool
    base_layers: Collection[str] = ()
    verified: Collection[str] = ()
    is_cancelled: Callable[[], bool] = lambda: False


def verified_paths(models: Collection[LockedModel]) -> frozenset[str]:
    """Return the paths of all files of `models` in an image."""
    return frozenset(
        f"{bundle.CACHE}/{layout.snapshot_directory(model.source, model.revision)}/{path}"
        for model in models
        for path in model.files
    )


def survey(images: SavedImages, image_id: str, search: Search) -> Contents:
    """Look through every layer of an image in one pass; raises FailedError, and KeyboardInterrupt once cancelled."""
    visitor = _Visitor(search=search)
    with images.saved_image(image_id) as stream:
        layers = saved.read(stream, visitor)
    return visitor.contents(layers)


@dataclass(kw_only=True)
class _Visitor:
    search: Search
    texts: list[Leak] = field(default_factory=list)
    files: list[tuple[str, str, str]] = field(default_factory=list)  # layer, path, kind of secret
    copies: dict[str, list[tuple[str, Member]]] = field(default_factory=dict)

    def text(self, place: str, value: str) -> None:
        for kind in self.search.finder.in_text(value) if self.search.finder else ():
            self.texts.append(Leak(kind=kind, place=f"`{place}`"))

    def member(self, layer: str, member: Member, content: Readable | None) -> None:
        if self.search.is_cancelled():
            raise KeyboardInterrupt
        if content is None:
            return
        if self.search.duplicates and member.size_bytes > TINY_BYTES:
            content = _Hashing(content)
        if self.search.finder:
            kinds = self.search.finder.in_file(content, with_forms=self._is_ours(layer, member))
            self.files += [(layer, member.path, kind) for kind in kinds]
        if isinstance(content, _Hashing):
            self.copies.setdefault(content.hexdigest(), []).append((layer, member))

    def _is_ours(self, layer: str, member: Member) -> bool:
        is_base = f"sha256:{layer.removeprefix(_BLOBS)}" in self.search.base_layers
        is_derived = member.path.startswith(DERIVED)  # of verified bytes, by a program that reads nothing else
        return not is_base and not is_derived and member.path not in self.search.verified

    def contents(self, layers: tuple[str, ...]) -> Contents:
        numbers = {layer: number for number, layer in enumerate(layers, start=1)}
        base = set(layers[: len(self.search.base_layers)])
        leaks = [
            Leak(kind=kind, place=f"`{path}` of layer {numbers.get(layer, 0)}")
            for layer, path, kind in sorted(self.files, key=lambda found: numbers.get(found[0], 0))
            if kind == GIVEN or layer not in base
        ]
        duplicates = [_duplicate([member for _, member in found]) for found in self._repeated(base)]
        return Contents(
            leaks=tuple(dict.fromkeys([*self.texts, *leaks])),
            duplicates=tuple(sorted(duplicates, key=lambda duplicate: (-duplicate.wasted_bytes, duplicate.paths))),
        )

    def _repeated(self, base: Collection[str]) -> list[list[tuple[str, Member]]]:
        """Return the files of each content that is there more than once, not only in the base."""
        return [
            found for found in self.copies.values() if len(found) > 1 and any(layer not in base for layer, _ in found)
        ]


def _duplicate(members: list[Member]) -> Duplicate:
    return Duplicate(
        paths=tuple(sorted(member.path for member in members)),
        wasted_bytes=sum(member.size_bytes for member in members[1:]),
    )


class _Hashing:
    """A file's content that is hashed as it is read."""

    def __init__(self, content: Readable) -> None:
        self._content = content
        self._digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._content.read(size)
        self._digest.update(data)
        return data

    def hexdigest(self) -> str:
        """Read the rest, and return the digest of all."""
        while self.read(1 << 20):
            pass
        return self._digest.hexdigest()
