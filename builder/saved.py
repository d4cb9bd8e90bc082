"""Own the reading of a saved image in one pass: the texts that describe it, and every file of every layer.

What is looked for in them is not known here. The tar is that of `docker save`, whose layers come in any order, each
compressed or not, and whose own list of them may come last.
"""

import gzip
import json
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol

from builder.errors import FailedError

MANIFEST = "manifest.json"
_GZIP = b"\x1f\x8b"
_ZSTANDARD = b"\x28\xb5"  # of a base image alone, which Python 3.11 can't read
_BLOCK_BYTES = 512
_READ_BYTES = 1 << 20
_TEXT_LIMIT_BYTES = 1 << 24  # what describes an image is a few kilobytes; a larger JSON document is no such thing


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """A file, folder or link of a layer; `kind` is a letter as `ls -l` has it, with `h` for a hard link."""

    path: str
    kind: str
    size_bytes: int
    mode: int
    owner: str
    modified: int
    target: str


class Readable(Protocol):
    """What can be read from its beginning to its end."""

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes, at most `size`; none at the end."""


class Visitor(Protocol):
    """What is told of everything in an image."""

    def text(self, place: str, value: str, /) -> None:
        """Take one text of those that describe the image: of its history, labels, environment and the rest."""

    def member(self, layer: str, member: Member, content: Readable | None, /) -> None:
        """Take one member of a layer; `content` is that of a file and can be read now."""


def read(stream: BinaryIO, visitor: Visitor) -> tuple[str, ...]:
    """Show a saved image to `visitor`, and return the names of its layers from the lowest; raises FailedError."""
    layers: tuple[str, ...] = ()
    try:
        with tarfile.open(fileobj=stream, mode="r|", bufsize=_READ_BYTES) as outer:
            for blob in outer:
                content = outer.extractfile(blob) if blob.isfile() else None
                if content is None or blob.size < 2:
                    continue
                head = content.read(2)
                if head[:1] in {b"{", b"["}:
                    document = _document(head + content.read(_TEXT_LIMIT_BYTES))
                    layers = _layers(document) if blob.name == MANIFEST else layers
                    for place, value in _texts(document, _title(document, blob.name)):
                        visitor.text(place, value)
                elif head == _GZIP or (blob.size >= _BLOCK_BYTES and head != _ZSTANDARD):
                    _read_layer(blob.name, _Rest(head, content), visitor)
    except (tarfile.ReadError, zlib.error, EOFError, OSError) as error:
        raise FailedError(f"the image's layers can't be read: {error}") from error
    return layers


class _Rest:
    """A stream of which the first bytes were read already."""

    def __init__(self, head: bytes, content: Readable) -> None:
        self._head = head
        self._content = content

    def read(self, size: int = -1) -> bytes:
        head, self._head = self._head, b""
        return head + self._content.read(size - len(head) if size >= 0 else -1)

    @property
    def is_compressed(self) -> bool:
        return self._head == _GZIP


def _read_layer(name: str, content: _Rest, visitor: Visitor) -> None:
    stream: Any = gzip.GzipFile(fileobj=content, mode="rb") if content.is_compressed else content  # type: ignore[call-overload] # needs `read` alone
    with tarfile.open(fileobj=stream, mode="r|", bufsize=_READ_BYTES) as layer:
        for found in layer:
            visitor.member(name, _member(found), layer.extractfile(found) if found.isfile() else None)


def _member(found: tarfile.TarInfo) -> Member:
    kinds = {tarfile.DIRTYPE: "d", tarfile.SYMTYPE: "l", tarfile.LNKTYPE: "h"}
    return Member(
        path="/" + found.name.removeprefix("./").strip("/"),
        kind="-" if found.isfile() else kinds.get(found.type, "?"),
        size_bytes=found.size if found.isfile() else 0,
        mode=found.mode,
        owner=f"{found.uid}:{found.gid}",
        modified=int(found.mtime),
        target=found.linkname,
    )


def _document(text: bytes) -> Any:  # noqa: ANN401 - JSON
    try:
        return json.loads(text)
    except ValueError:
        return None  # what is no JSON describes nothing


def _layers(document: Any) -> tuple[str, ...]:  # noqa: ANN401 - JSON
    """Read the names of the layers; a saved image has one entry."""
    return tuple(document[0]["Layers"])


def _title(document: Any, name: str) -> str:  # noqa: ANN401 - JSON
    return "" if isinstance(document, dict) and "rootfs" in document else name


def _texts(document: Any, place: str) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - JSON
    """Yield every text of a document with its place in it, keys among them."""
    if isinstance(document, dict):
        for key, value in document.items():
            yield place, key
            yield from _texts(value, f"{place}.{key}" if place else key)
    elif isinstance(document, list):
        for index, value in enumerate(document):
            yield from _texts(value, f"{place}[{index}]")
    elif isinstance(document, str):
        yield place, document
