"""Own a folder of supplies: all that images are built from where there is no network; it fetches and builds nothing.

    build-image.json   what the folder is for, and the sha256 of the files below
    models.yaml        the manifest
    models.lock        the lock of its models, with the sha256 of each of their files
    wheels, packages   what a server's stages install, and those that optimise a model
    samples            the texts that optimised models are compared on
    base.tar           the base image
    hub, transformers  the models, in the layout of the local cache

The description says that the folder is not complete as long as anything else is written.
"""

import hashlib
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Any, Protocol, TypeAlias

from builder import context
from builder.cache import Cache
from builder.errors import FailedError, InputError
from builder.git import UNKNOWN, Origin
from builder.lock import LockedModel
from builder.settings import SUPPLIES_DESCRIPTION, SUPPLIES_MANIFEST

FORMAT = 1
LOCK = "models.lock"
BASE = "base.tar"
SAMPLES_FOLDER = "samples"
PACKAGE_FOLDERS = ("packages", "wheels")

DISK_HINT = "free space there, or choose another --output"

Advance: TypeAlias = Callable[[int], None]  # is told of bytes as they go by

_READ_BYTES = 1 << 20


def _nobody(_: int) -> None:
    """Tell nobody of bytes that go by."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Base:
    """The base image: its name in the manifest, the one that it is saved under, and what tells it from any other."""

    name: str
    reference: str
    id: str
    digest: str
    layers: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class File:
    """One file of the folder."""

    size_bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Description:
    """What a folder is for and what it holds.

    `program` is the version that gathered it, `wanted` the sha256 of each text that told it which packages: none
    where no image is a server. `images` are the tags of each image, filled in that day, and `variables` those that the
    manifest names; `origin` is where the manifest came from.
    """

    program: str
    platform: str
    base: Base
    wanted: Mapping[str, str]
    images: Mapping[str, tuple[str, ...]]
    variables: Mapping[str, str]
    files: Mapping[str, File]
    is_complete: bool
    origin: Origin = UNKNOWN

    @property
    def packages(self) -> dict[str, File]:
        """The files that a server's stages install."""
        return {name: file for name, file in self.files.items() if name.partition("/")[0] in PACKAGE_FOLDERS}


@dataclass(frozen=True, kw_only=True, slots=True)
class Supplies:
    """A folder and its description."""

    directory: Path
    description: Description

    @property
    def cache(self) -> Cache:
        """The cache that the folder is for its models."""
        return Cache(transformers=self.directory.resolve() / "transformers")

    def path(self, name: str) -> Path:
        """Return where a file lies."""
        return self.directory / name

    def packages(self) -> dict[str, Path]:
        """Return the files that a server's stages install: name to place."""
        return {name: self.path(name) for name in self.description.packages}

    def with_files(self, files: Mapping[str, File], *, is_complete: bool = False) -> "Supplies":
        """Return the same with more files."""
        every = {**self.description.files, **files}
        return replace(self, description=replace(self.description, files=every, is_complete=is_complete))


class Expected(Protocol):
    """What a file should be: a `File`, or one of the lock."""

    @property
    def size_bytes(self) -> int:
        """Its size."""

    @property
    def sha256(self) -> str:
        """Its digest."""


def wanted_packages(*, optimizes: bool = False) -> dict[str, str]:
    """Return the sha256 of each text of this program that says which packages a server is built from."""
    texts = context.wanted_packages(optimizes=optimizes)
    return {name: hashlib.sha256(text).hexdigest() for name, text in texts.items()}


def samples_path(model: LockedModel) -> str:
    """Return where the folder keeps the texts that an optimised model is compared on."""
    return f"{SAMPLES_FOLDER}/{model.name}.txt"


def read(directory: Path) -> Supplies:
    """Read the description of a folder; raises InputError where that is none, or of a newer format."""
    file = directory / SUPPLIES_DESCRIPTION
    hint = "gather one where there is a network: `build-image cache --output DIR`"
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(
            f"`{directory}` is no folder of supplies: it has no `{SUPPLIES_DESCRIPTION}`", hint=hint
        ) from error
    except (OSError, ValueError) as error:
        raise InputError(f"`{file}` can't be read: {error}", hint=hint) from error
    try:
        if content["format"] != FORMAT:
            newer = "take the version of build-image that gathered it, or gather it again with this one"
            raise InputError(f"`{file}` has the format {content['format']}, and this is {FORMAT}", hint=newer)
        return Supplies(directory=directory, description=_description(content))
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"`{file}` is not a description: {type(error).__name__}: {error}", hint=hint) from error


def write(supplies: Supplies) -> Supplies:
    """Write down what the folder is for and holds by now, and return it; raises FailedError."""
    content = {"format": FORMAT, **asdict(supplies.description)}
    text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    put(io.BytesIO(text.encode()), supplies.path(SUPPLIES_DESCRIPTION))
    return supplies


def _description(content: Mapping[str, Any]) -> Description:
    values = {key: value for key, value in content.items() if key != "format"}
    base = Base(**{**content["base"], "layers": tuple(content["base"]["layers"])})
    files = {name: File(**file) for name, file in content["files"].items()}
    for name in (SUPPLIES_MANIFEST, LOCK, BASE) if content["is_complete"] else ():
        files[name]  # what every folder has
    images = {name: tuple(tags) for name, tags in content["images"].items()}
    origin = Origin(**content.get("origin", {}))  # older folders have none
    return Description(**{**values, "base": base, "files": files, "images": images, "origin": origin})


def model_files(models: Iterable[LockedModel], cache: Cache) -> dict[str, Expected]:
    """Return every file of `models` by its path in the folder, as the lock has it."""
    return {
        str(cache.snapshot(model).relative_to(cache.home) / path): file
        for model in models
        for path, file in model.files.items()
    }


def damage(supplies: Supplies, files: Mapping[str, Expected], *, advance: Advance = _nobody) -> Iterator[str]:
    """Yield a line for each of `files` that is missing or has other bytes; `advance` is told of bytes that are read."""
    for name, file in sorted(files.items()):
        try:
            found = _digest(supplies.path(name), advance=advance)
        except (FileNotFoundError, NotADirectoryError):
            yield f"`{name}` is missing, which has sha256 {file.sha256}"
        except OSError as error:
            yield f"`{name}` can't be read: {error.strerror}"
        else:
            if found != file.sha256:
                yield f"`{name}` has sha256 {found}, and {file.sha256} was gathered"


def _digest(path: Path, *, advance: Advance) -> str:
    with path.open("rb") as stream:
        return _copied(stream, None, advance=advance).sha256


def put(source: IO[bytes], path: Path, *, advance: Advance = _nobody) -> File:
    """Write a file of the folder, which appears whole, and describe it; raises FailedError.

    An OSError must not get out: within a request to the engine it would be taken for one of the engine's.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with partial.open("wb") as target:
                file = _copied(source, target, advance=advance)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise FailedError(f"`{path}` can't be written: {error.strerror}", hint=DISK_HINT) from error
    return file


def _copied(source: IO[bytes], target: IO[bytes] | None, *, advance: Advance) -> File:
    """Read `source` to its end, into `target` where there is one, and describe what it held."""
    digest, size_bytes = hashlib.sha256(), 0
    while block := source.read(_READ_BYTES):
        if target is not None:
            target.write(block)
        digest.update(block)
        size_bytes += len(block)
        advance(len(block))
    return File(size_bytes=size_bytes, sha256=digest.hexdigest())


def remove_strays(supplies: Supplies) -> None:
    """Remove the packages that the description does not have, such as those of an earlier run; raises FailedError."""
    for path in (path for name in PACKAGE_FOLDERS for path in supplies.path(name).glob("*")):
        if f"{path.parent.name}/{path.name}" not in supplies.description.packages:
            try:
                path.unlink()
            except OSError as error:
                raise FailedError(f"`{path}` can't be removed: {error.strerror}") from error
