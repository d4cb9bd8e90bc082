"""Own a folder of files by their sha256: whole ones, and what has arrived of others; it asks no network.

A whole file is called `<sha256>`, any other `<sha256>.partial`. Neither is trusted. What leaves the store is hashed on
its way, and what follows a partial file's bytes continues a digest of what is there. So it does not matter who wrote a
file, nor how that ended: a killed program, a full disk and a power cut are alike.
"""

import fcntl
import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from .fetch_request import File

LOCK = "lock"
BLOCK_BYTES = 2**18


@dataclass(kw_only=True, slots=True)
class Partial:
    """What is there of a file, with its digest; `inherited_bytes` of it come from an earlier attempt."""

    stream: BinaryIO
    size_bytes: int = 0
    inherited_bytes: int = 0
    arrived_bytes: int = 0  # since it was opened, those that were thrown away included
    digest: Any = field(default_factory=hashlib.sha256)

    def append(self, block: bytes) -> None:
        """Add the bytes that follow."""
        self.stream.write(block)
        self.digest.update(block)
        self.size_bytes += len(block)
        self.arrived_bytes += len(block)

    def flush(self) -> None:
        """Put what has arrived where it outlives this program."""
        self.stream.flush()

    def restart(self) -> None:
        """Forget what is there."""
        self.stream.truncate(0)
        self.size_bytes, self.inherited_bytes, self.digest = 0, 0, hashlib.sha256()


@dataclass(frozen=True, kw_only=True, slots=True)
class Store:
    """The files in `directory`, which is made where it is not there; every method raises OSError."""

    directory: Path

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other programs out while the block runs: another build's, or one that outlived its own parent.

        Such a lock ends with the program that holds it, however that ends.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        with (self.directory / LOCK).open("w") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print("another download of this model is under way; waiting for it", flush=True)
                fcntl.flock(stream, fcntl.LOCK_EX)
            yield

    def give(self, file: File, *, target: Path | None) -> bool:
        """Tell whether the store has `file`, and copy it to `target` where that is wanted.

        A damaged one is removed, and what was copied of it is of no use.
        """
        kept = self.directory / file.sha256
        if not kept.is_file():
            return False
        if read(kept, target=target) == file.sha256:
            return True
        kept.unlink()
        return False

    @contextmanager
    def partial(self, file: File) -> Iterator[Partial]:
        """Open what is there of `file`, to add to it."""
        path = self._partial(file)
        with path.open("ab") as stream:
            size_bytes = stream.tell()
            if size_bytes > file.size_bytes:
                stream.truncate(0)
                size_bytes = 0
            with path.open("rb") as content:
                digest = hashlib.file_digest(content, "sha256")
            yield Partial(stream=stream, size_bytes=size_bytes, inherited_bytes=size_bytes, digest=digest)

    def finish(self, file: File) -> None:
        """Give a file that has arrived whole its name."""
        self._partial(file).replace(self.directory / file.sha256)

    def keep_only(self, files: Iterable[File]) -> None:
        """Remove everything but these, whole."""
        wanted = {LOCK, *(file.sha256 for file in files)}
        for path in self.directory.iterdir():
            if path.name not in wanted:
                path.unlink()

    def _partial(self, file: File) -> Path:
        return self.directory / f"{file.sha256}.partial"


def read(path: Path, *, target: Path | None) -> str:
    """Return the sha256 of a file, copied to `target` in the same go where that is wanted."""
    if target is None:
        with path.open("rb") as source:
            return hashlib.file_digest(source, "sha256").hexdigest()
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    block = memoryview(bytearray(BLOCK_BYTES))  # one for all: memory new to a process costs more than reading into it
    with path.open("rb", buffering=0) as source, target.open("wb") as sink:
        while count := source.readinto(block):
            digest.update(block[:count])
            sink.write(block[:count])
    return digest.hexdigest()
