"""Own what every source of a model's files offers, a listing and bytes; it reaches neither network nor disk."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol

from builder.errors import InputError


@dataclass(frozen=True, kw_only=True, slots=True)
class RepositoryFile:
    """One file of a listing.

    `blob_id` is its git object id. A large file has a `sha256` as well, and then `blob_id` is that of the Git LFS
    pointer which stands for it in git; without one, `blob_id` is the digest of the content.
    """

    size_bytes: int
    blob_id: str
    sha256: str | None = None


class Repository(Protocol):
    """The files of one model at one exact revision."""

    @property
    def source(self) -> str:
        """The organisation/name that the files are baked under."""

    @property
    def revision(self) -> str:
        """The commit, 40 hexadecimal digits."""

    @property
    def licence(self) -> str:
        """The licence by its listing, empty where that names none; see `card.licence`."""

    @property
    def gated(self) -> bool:
        """Whether it is given only to accounts that accepted its licence."""

    @property
    def files(self) -> Mapping[str, RepositoryFile]:
        """Every file by its path, with forward slashes."""

    def read(self, path: str) -> bytes:
        """Return the content of a small file that `files` lists."""

    def open(self, path: str) -> BinaryIO:
        """Open a file that `files` lists; it can be large, and seeking in it is cheap."""


def large_file(*, size_bytes: int, sha256: str) -> RepositoryFile:
    """Describe a file as the Hub lists it once it is stored with Git LFS (version 1 of its pointer)."""
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size_bytes}\n".encode()
    return RepositoryFile(size_bytes=size_bytes, blob_id=git_blob_id(pointer), sha256=sha256)


def git_blob_id(content: bytes) -> str:
    """Return the id under which git stores `content`."""
    header = b"blob %d\0" % len(content)
    return hashlib.sha1(header + content, usedforsecurity=False).hexdigest()


def read_json(repository: Repository, path: str) -> Any:  # noqa: ANN401 - a stranger's JSON
    """Parse a JSON file; None when the repository has no such file, InputError when it is not JSON."""
    if path not in repository.files:
        return None
    try:
        return json.loads(repository.read(path))
    except ValueError as error:
        raise InputError(f"`{path}` of `{repository.source}` is not JSON: {error}") from error


def read_json_object(repository: Repository, path: str) -> Mapping[str, Any]:
    """Parse a JSON file that holds an object; empty when the repository has no such file."""
    content = read_json(repository, path)
    if not isinstance(content, dict | None):
        raise InputError(f"`{path}` of `{repository.source}` is not a JSON object")
    return content or {}
