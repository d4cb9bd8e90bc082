"""Own how a context reaches BuildKit: fsutil's diff copy, which sends only the files that the engine lacks."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import IntEnum
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Protocol
from urllib.parse import unquote_plus

from builder import wire
from builder.context import Context, Entry
from builder.grpc import CallError, Status

METHOD = "/moby.filesync.v1.FileSync/DiffCopy"
CHUNK_BYTES = 1 << 20  # a message of its own each; BuildKit takes 4 MB and more
GO_DIRECTORY_BIT = 1 << 31  # os.ModeDir in Go's os.FileMode


class PacketType(IntEnum):
    """Types of fsutil's packets."""

    STAT = 0
    REQUEST = 1
    DATA = 2
    FINISH = 3
    ERROR = 4


class MessageStream(Protocol):
    """What a streaming call offers to its handler."""

    metadata: dict[str, list[str]]

    def receive(self) -> bytes | None:
        """Wait for the next message, None at the end."""

    def send(self, message: bytes) -> None:
        """Send one message."""


def serve(context: Context, call: MessageStream) -> None:
    """Answer one diff copy: tell every entry asked about, then send the content of those that are requested."""
    if _values(call.metadata, "exclude-patterns"):
        raise CallError(Status.UNIMPLEMENTED, "a context holds what is needed and takes no .dockerignore")
    wanted = _values(call.metadata, "followpaths") + _values(call.metadata, "include-patterns")
    entries = select(context.entries, wanted)
    try:
        for entry in entries:
            call.send(_packet(PacketType.STAT, stat=stat(entry)))
        call.send(_packet(PacketType.STAT))
        _answer_requests(entries, call)
    except OSError as error:
        raise CallError(Status.UNKNOWN, f"cannot read `{error.filename}` for the build: {error.strerror}") from error


def serving(trees: Mapping[str, Context]) -> Callable[[MessageStream], None]:
    """Return the handler of `METHOD` that serves each of `trees` under its name."""

    def handle(call: MessageStream) -> None:
        name = _values(call.metadata, "dir-name")[0]
        if name not in trees:
            raise CallError(Status.NOT_FOUND, f"there is no `{name}` to send")
        serve(trees[name], call)

    return handle


def select(entries: Iterable[Entry], wanted: Sequence[str]) -> tuple[Entry, ...]:
    """Choose the entries that the paths or patterns of `wanted` name, hold or lie in; all where it is empty."""
    patterns = [PurePosixPath(pattern.lstrip("/")).parts for pattern in wanted]
    return tuple(
        entry
        for entry in entries
        if not patterns or any(_matches(PurePosixPath(entry.path).parts, pattern) for pattern in patterns)
    )


def stat(entry: Entry) -> bytes:
    """Encode fsutil's Stat of `entry`, owned by root."""
    mode = entry.mode | (GO_DIRECTORY_BIT if entry.source is None else 0)
    return b"".join(
        (
            wire.field(1, entry.path),
            wire.field(2, mode),
            wire.field(5, entry.size_bytes),
            wire.field(6, entry.modified_ns),
        )
    )


def _answer_requests(entries: Sequence[Entry], call: MessageStream) -> None:
    while (message := call.receive()) is not None:
        packet = wire.parse(message)
        match wire.number(packet, 1):
            case PacketType.REQUEST:
                _send_content(call, entries[wire.number(packet, 3)], identifier=wire.number(packet, 3))
            case PacketType.FINISH:
                call.send(_packet(PacketType.FINISH))
                return
            case PacketType.ERROR:
                raise CallError(Status.UNKNOWN, wire.text(packet, 4))


def _send_content(call: MessageStream, entry: Entry, *, identifier: int) -> None:
    for chunk in _chunks(entry.source or b""):
        call.send(_packet(PacketType.DATA, identifier=identifier, data=chunk))
    call.send(_packet(PacketType.DATA, identifier=identifier))


def _chunks(source: bytes | Path) -> Iterator[bytes]:
    if isinstance(source, Path):
        with source.open("rb", buffering=0) as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk
    else:
        for start in range(0, len(source), CHUNK_BYTES):
            yield source[start : start + CHUNK_BYTES]


def _packet(kind: PacketType, *, stat: bytes = b"", identifier: int = 0, data: bytes = b"") -> bytes:
    packet = wire.field(1, kind)
    if stat:
        packet += wire.field(2, stat)
    if identifier:
        packet += wire.field(3, identifier)
    if data:
        packet += wire.field(4, data)
    return packet


def _values(metadata: Mapping[str, Sequence[str]], key: str) -> list[str]:
    """Read a repeated option; one with letters beyond ASCII comes escaped, and says so in a second key."""
    values = list(metadata.get(key, ()))
    escaped = metadata.get(f"{key}-encoded", ("",))[0] == "1"
    return [unquote_plus(value) for value in values] if escaped else values


def _matches(path: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
    if "**" in pattern:
        return True  # asks for any depth: more than needed costs a transfer, less would fail the build
    return all(fnmatchcase(part, wanted) for part, wanted in zip(path, pattern, strict=False))
