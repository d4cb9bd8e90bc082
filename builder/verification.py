"""Own the proof that an image holds the files that were locked, byte for byte; it runs nothing of the image."""

import hashlib
import json
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, BinaryIO, Protocol, cast

from builder import bundle, layout
from builder.api import ImageDetails
from builder.errors import FailedError, InputError
from builder.labels import BUNDLE_LABEL, MODEL_LABEL, MODELS_LABEL
from builder.labels import OPTIMIZED as OPTIMIZED_MARK
from builder.lock import Lock, LockedModel

if TYPE_CHECKING:
    from io import BufferedReader

HUB = f"{bundle.CACHE}/hub"
OPTIMIZED = f"{bundle.CACHE}/optimized"
_DERIVED = "derived.json"
_BUNDLE_VARIABLE = "RUNTIME_BUNDLE"
_READ_BYTES = 1 << 16  # larger pieces cost twice the processor's time: each is memory new to the process


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundFile:
    """A file of an image by its absolute path."""

    path: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ExpectedModel:
    """What an image should hold of a model: `snapshot` is its folder, which has nothing else in it than `files`.

    `files` and `beside` are absolute paths to sha256; the latter lie outside of the snapshot. `overlay` is where a
    derived graph lies, and `replaced` what of either it changes: to another digest, or to nothing.
    """

    name: str
    snapshot: str
    files: Mapping[str, str]
    beside: Mapping[str, str]
    overlay: str = ""
    replaced: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What an image holds of a model: the number of files that it should, their bytes, a line for each mismatch."""

    name: str
    file_count: int
    size_bytes: int
    mismatches: tuple[str, ...]

    @property
    def outcome(self) -> str:
        """What there is to say of it in a few words."""
        return f"{len(self.mismatches)} not as locked" if self.mismatches else "as locked"


class Images(Protocol):
    """What can show an image and its files without running it: an Engine."""

    def inspect_image(self, reference: str, /) -> ImageDetails:
        """Return what is known of the image."""

    def archive(self, image: str, path: str, /) -> AbstractContextManager[BinaryIO]:
        """Stream a file or folder of the image as a tar."""


def verify(images: Images, image: str, models: Sequence[ExpectedModel]) -> tuple[Verdict, ...]:
    """Compare every file that an image has in its cache with those of `models`; raises FailedError.

    What lies in an overlay is compared with what the build wrote down there: no lock knows it.
    """
    found: dict[str, FoundFile] = {}
    for folder in (HUB, OPTIMIZED) if any(model.overlay for model in models) else (HUB,):
        with images.archive(image, folder) as stream:
            found |= {file.path: file for file in read_files(stream, parent=str(PurePosixPath(folder).parent))}
    return tuple(judge(_laid_over(model, images, image), found) for model in models)


def _laid_over(model: ExpectedModel, images: Images, image: str) -> ExpectedModel:
    """Return what an image should hold of a model with its derived graph; where there is none, its original stays."""
    if not model.overlay:
        return model
    with images.archive(image, f"{model.overlay}/{_DERIVED}") as stream:
        text = _read_file(stream)
    try:
        derived = json.loads(text)
        if derived["graph"] is None:
            return model
        own = {f"{model.overlay}/{path}": file["sha256"] for path, file in derived["files"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise FailedError(f"`{model.overlay}/{_DERIVED}` of `{image}` can't be read: {error}") from error
    files = {path: sha256 for path, sha256 in model.files.items() if path not in model.replaced}
    beside = {path: model.replaced.get(path) or sha256 for path, sha256 in model.beside.items()}
    return replace(model, files=files | own, beside=beside)


def expected_of_image(images: Images, image: str, *, lock: Lock | None) -> tuple[ExpectedModel, ...]:
    """Find what `image` should hold: in `lock`, by its label, or else in the bundle that it carries.

    Raises InputError where neither says it, and FailedError where the bundle is not the one that was baked.
    """
    details = images.inspect_image(image)
    text = _baked_bundle(images, image, details)
    if lock is not None:
        return tuple(map(of_model, _as_labelled(labelled(details.labels, lock, image=image), details.labels)))
    hint = f"compare it with a lock: `build-image verify {image} --models models.yaml`"
    if text is None:
        raise InputError(f"`{image}` carries no bundle that says what should be in it", hint=hint)
    if BUNDLE_LABEL not in details.labels:
        raise InputError(f"`{image}` has no label `{BUNDLE_LABEL}` to compare its bundle with", hint=hint)
    return of_bundle(text, image=image)


def _baked_bundle(images: Images, image: str, details: ImageDetails) -> bytes | None:
    """Read the bundle of an image, None where it has none; raises FailedError where its label names another one."""
    path = dict(line.split("=", 1) for line in details.environment).get(_BUNDLE_VARIABLE)
    if path is None:
        return None
    with images.archive(image, path) as stream:
        text = _read_file(stream)
    found = bundle.digest(text)
    named = details.labels.get(BUNDLE_LABEL, found)
    if named != found:
        difference = f"`{path}` is {found}, and the label `{BUNDLE_LABEL}` names {named}"
        raise FailedError(f"`{image}` does not hold the bundle that was baked: {difference}")
    return text


def labelled(labels: Mapping[str, str], lock: Lock, *, image: str) -> Iterator[LockedModel]:
    """Yield the models that an image's label names, as `lock` has them; raises InputError or FailedError."""
    if lock.outdated:
        raise InputError("an older release wrote the lock", hint="write it again: `build-image lock`")
    if not lock.models:
        raise InputError("there is no lock to compare with", hint="write one beside the manifest: `build-image lock`")
    if MODELS_LABEL not in labels:
        raise InputError(f"`{image}` has no label `{MODELS_LABEL}`, so it is not an image of build-image")
    known = {model.identity: model for model in lock.models.values()}
    for identity in labels[MODELS_LABEL].split():
        if identity not in known:
            hint = "take the manifest that the image was built from, with its lock"
            raise FailedError(f"`{image}` holds `{identity}`, which is not in the lock", hint=hint)
        yield known[identity]


def _as_labelled(models: Iterable[LockedModel], labels: Mapping[str, str]) -> Iterator[LockedModel]:
    """Yield models as the image has them: one of weights has the original of what is optimised elsewhere."""
    for model in models:
        is_optimized = OPTIMIZED_MARK in labels.get(f"{MODEL_LABEL}{model.name}", "")
        yield model if is_optimized else replace(model, optimization=None, samples=None)


def of_model(model: LockedModel) -> ExpectedModel:
    """Return what an image should hold of a locked model, the cache's own files included."""
    snapshot = f"{bundle.CACHE}/{layout.snapshot_directory(model.source, model.revision)}"
    own = {f"{bundle.CACHE}/{path}": hashlib.sha256(text).hexdigest() for path, text in model.cache_files.items()}
    files = {f"{snapshot}/{path}": file.sha256 for path, file in model.files.items()}
    expected = ExpectedModel(name=model.name, snapshot=snapshot, files=files, beside=own)
    if model.optimization is None:
        return expected
    overlay = f"{bundle.CACHE}/{layout.optimized_directory(model.source, model.revision, name=model.name)}"
    gone = {f"{snapshot}/{path}": None for path in model.replaced_files}
    other = {
        f"{bundle.CACHE}/{path}": hashlib.sha256(text).hexdigest() for path, text in model.optimized_cache_files.items()
    }
    return replace(expected, overlay=overlay, replaced={**gone, **other})


def of_bundle(text: bytes, *, image: str) -> tuple[ExpectedModel, ...]:
    """Return what an image should hold by its own `bundle.json`; raises InputError for one of another format."""
    try:
        return tuple(
            ExpectedModel(
                name=model["name"],
                snapshot=model["path"],
                files={f"{model['path']}/{path}": file["sha256"] for path, file in model["files"].items()},
                beside={},
                overlay=model.get("overlay", {}).get("path", ""),
                replaced={f"{model['path']}/{path}": None for path in model.get("overlay", {}).get("replaces", [])},
            )
            for model in json.loads(text)["models"]
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        hint = f"compare it with a lock: `build-image verify {image} --models models.yaml`"
        raise InputError(f"the bundle of `{image}` has no digests", hint=hint) from error


def read_files(stream: BinaryIO, *, parent: str) -> Iterator[FoundFile]:
    """Yield every file of a tar whose names are relative to `parent`; raises FailedError where it is cut short."""
    try:
        with tarfile.open(fileobj=stream, mode="r|", bufsize=_READ_BYTES) as archive:
            for member in archive:
                content = archive.extractfile(member) if member.isfile() else None
                if content is not None:
                    buffered = cast("BufferedReader", content)  # which it is; its declared type can't be hashed
                    digest = hashlib.file_digest(buffered, "sha256")
                    yield FoundFile(path=f"{parent}/{member.name}", sha256=digest.hexdigest(), size_bytes=member.size)
    except tarfile.ReadError as error:
        raise FailedError(f"the image's files can't be read: {error}") from error


def _read_file(stream: BinaryIO) -> bytes:
    """Return the content of a tar's first member, empty where that is no file."""
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        first = archive.next()
        content = archive.extractfile(first) if first and first.isfile() else None
        return content.read() if content else b""


def judge(model: ExpectedModel, found: Mapping[str, FoundFile]) -> Verdict:
    """Compare a model with the files of an image by their absolute paths."""
    expected = {**model.files, **model.beside}
    own = (f"{model.snapshot}/", *([f"{model.overlay}/"] if model.overlay else []))
    extra = {path for path in found if path.startswith(own)} - {*expected, f"{model.overlay}/{_DERIVED}"}
    mismatches = [_mismatch(path, sha256, found.get(path)) for path, sha256 in sorted(expected.items())]
    mismatches += [f"`{path}` was not locked" for path in sorted(extra)]
    return Verdict(
        name=model.name,
        file_count=len(model.files),
        size_bytes=sum(found[path].size_bytes for path in model.files if path in found),
        mismatches=tuple(line for line in mismatches if line),
    )


def mismatches(verdicts: Iterable[Verdict]) -> tuple[str, ...]:
    """Return a line for each file of any model that is not as it was locked."""
    return tuple(f"{verdict.name}: {line}" for verdict in verdicts for line in verdict.mismatches)


def _mismatch(path: str, sha256: str, found: FoundFile | None) -> str:
    if found is None:
        return f"`{path}` is missing"
    return "" if found.sha256 == sha256 else f"`{path}` has sha256 {found.sha256}, and {sha256} was locked"
