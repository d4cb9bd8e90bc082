"""Own local folders in Hub layout as a source of models: listing, digests and a cache of them; it changes no model."""

import contextlib
import hashlib
import json
import stat
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from builder import whole
from builder.errors import InputError
from builder.repository import RepositoryFile, large_file

_IGNORED = {".git", ".cache", ".DS_Store"}
_CACHE_FILE = "digests.json"
_CACHE_VERSION = 2
# A file can change twice within one tick of its clock. The coarsest clocks in use (FAT, some network file systems)
# tick every two seconds, so a younger file is hashed again each time.
_SETTLED_NS = 2 * 10**9


@dataclass(frozen=True, kw_only=True, slots=True)
class FolderRepository:
    """One model in a local folder; its revision is the digest of all that the folder holds."""

    source: str
    revision: str
    files: Mapping[str, RepositoryFile]
    directory: Path
    licence: str = ""
    gated: bool = False

    def read(self, path: str) -> bytes:
        """Return the content of a file."""
        return (self.directory / path).read_bytes()

    def open(self, path: str) -> BinaryIO:
        """Open a file."""
        return (self.directory / path).open("rb")


def open_folder(path: Path, *, name: str, cache_directory: Path) -> FolderRepository:
    """List and digest the folder `path`; digests of unchanged files come from `cache_directory`.

    Raises InputError when it is not a readable folder with files.
    """
    digests = _DigestCache.load(cache_directory / _CACHE_FILE)
    try:
        files = {file.relative_to(path).as_posix(): digests.describe(file) for file in sorted(walk(path))}
    except OSError as error:
        message = f"the model folder `{path}` can't be read: {error.strerror} (`{error.filename}`)"
        raise InputError(message, hint=f"check `models.{name}.path`") from error
    if not files:
        raise InputError(f"the model folder `{path}` has no files", hint=f"check `models.{name}.path`")
    digests.save()
    return FolderRepository(source=f"local/{name}", revision=_content_digest(files), files=files, directory=path)


def walk(directory: Path, *, below: frozenset[Path] = frozenset()) -> Iterator[Path]:
    """Yield the files in `directory`, links followed: a Hub cache's snapshot consists of links to its blobs.

    `below` are the real paths of its parents: a link back to one of them has no end.
    """
    real = directory.resolve()
    if real in below:
        return
    for path in directory.iterdir():
        if path.name in _IGNORED:
            continue
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            yield from walk(path, below=below | {real})
        elif stat.S_ISREG(mode):
            yield path


def _content_digest(files: Mapping[str, RepositoryFile]) -> str:
    """Return 40 hexadecimal digits, as a commit has, that change with any path or content."""
    digest = hashlib.sha256()
    for path, file in sorted(files.items()):
        digest.update(f"{path}\0{file.sha256}\n".encode(errors="surrogateescape"))  # names are bytes
    return digest.hexdigest()[:40]


@dataclass(kw_only=True, slots=True)
class _DigestCache:
    """The sha256 of each file that was hashed, valid as long as the file's size, times and inode stay.

    Archives and `cp -p` set the time of modification, so equal ones prove little; nobody sets that of change.
    """

    path: Path
    known: dict[str, list[Any]]
    is_changed: bool = field(default=False)

    @classmethod
    def load(cls, path: Path) -> "_DigestCache":
        """Read the cache; one that is absent or damaged is empty."""
        try:
            content = json.loads(path.read_bytes())
        except (OSError, ValueError):
            content = None
        match content:
            case {"version": int(version), "files": dict(files)} if version == _CACHE_VERSION:
                return cls(path=path, known={key: entry for key, entry in files.items() if _is_entry(entry)})
            case _:
                return cls(path=path, known={})

    def describe(self, file: Path) -> RepositoryFile:
        status = file.stat()
        key = str(file.absolute())
        state = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
        entry = self.known.get(key)
        if entry is None or entry[:-1] != state:
            entry = [*state, _sha256(file)]
            if time.time_ns() - status.st_mtime_ns > _SETTLED_NS:
                self.known[key] = entry
                self.is_changed = True
        return large_file(size_bytes=status.st_size, sha256=entry[-1])

    def save(self) -> None:
        """Write what was learned, without the files that are gone; a cache that can't be kept only costs time."""
        if self.is_changed:
            files = {key: entry for key, entry in self.known.items() if Path(key).exists()}
            with contextlib.suppress(OSError):
                self.path.parent.mkdir(parents=True, exist_ok=True)
                whole.write(self.path, json.dumps({"version": _CACHE_VERSION, "files": files}).encode())


def _is_entry(value: object) -> bool:
    match value:
        case [int(), int(), int(), int(), str()]:
            return True
        case _:
            return False


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
