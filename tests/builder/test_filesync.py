import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from builder import context, filesync, wire
from builder.context import SOURCE_DATE_EPOCH, Context, Entry, assemble
from builder.filesync import PacketType
from builder.grpc import CallError


class Receiver:
    """The engine's side of one diff copy: what it asks, and every packet it got."""

    def __init__(self, *asks: bytes, **metadata: Sequence[str]) -> None:
        self._asks = list(asks)
        self.metadata = {name.replace("_", "-"): list(values) for name, values in metadata.items()}
        self.packets: list[dict[int, list[int | bytes]]] = []

    def receive(self) -> bytes | None:
        return self._asks.pop(0) if self._asks else None

    def send(self, message: bytes) -> None:
        self.packets.append(wire.parse(message))

    def paths(self) -> list[str]:
        return [wire.text(wire.parse(stat), 1) for packet in self.packets for stat in wire.contents(packet, 2)]

    def data(self) -> list[tuple[int, bytes]]:
        return [
            (wire.number(packet, 3), b"".join(wire.contents(packet, 4)))
            for packet in self.packets
            if wire.number(packet, 1) == PacketType.DATA
        ]


def ask(kind: PacketType, *, identifier: int = 0, data: bytes = b"") -> bytes:
    return wire.field(1, kind) + wire.field(3, identifier) + wire.field(4, data)


FINISH = ask(PacketType.FINISH)
CONTEXT = assemble({"Dockerfile": b"FROM scratch", "a-b": b"", "a/deep/file": b"one", "a/other": b"two", "z": b"end"})


def test_every_entry_is_told_parents_first_and_ended_with_an_empty_stat() -> None:
    receiver = Receiver(FINISH)
    filesync.serve(CONTEXT, receiver)
    assert receiver.paths() == ["Dockerfile", "a", "a/deep", "a/deep/file", "a/other", "a-b", "z"]
    assert receiver.packets[len(receiver.paths()) :] == [{1: [PacketType.STAT]}, {1: [PacketType.FINISH]}]


def test_a_stat_has_gos_mode_bits_and_the_fixed_time() -> None:
    directory, file = assemble({"a/file": b"1234"}).entries
    nanoseconds = SOURCE_DATE_EPOCH * 10**9
    assert [wire.parse(filesync.stat(entry)) for entry in (directory, file)] == [
        {1: [b"a"], 2: [1 << 31 | 0o755], 5: [0], 6: [nanoseconds]},
        {1: [b"a/file"], 2: [0o644], 5: [4], 6: [nanoseconds + context.fingerprint(b"1234")]},
    ]


def test_a_requested_file_is_sent_by_the_number_of_its_stat() -> None:
    receiver = Receiver(ask(PacketType.REQUEST, identifier=3), FINISH)
    filesync.serve(CONTEXT, receiver)
    assert receiver.data() == [(3, b"one"), (3, b"")]


def test_an_empty_file_is_only_its_end() -> None:
    receiver = Receiver(ask(PacketType.REQUEST, identifier=5), FINISH)
    filesync.serve(CONTEXT, receiver)
    assert receiver.data() == [(5, b"")]


def test_a_large_local_file_is_sent_in_pieces(tmp_path: Path) -> None:
    content = os.urandom(filesync.CHUNK_BYTES * 2 + 1)
    (tmp_path / "weights").write_bytes(content)
    receiver = Receiver(ask(PacketType.REQUEST, identifier=0), FINISH)
    filesync.serve(assemble({"weights": tmp_path / "weights"}), receiver)
    assert [len(data) for _, data in receiver.data()] == [filesync.CHUNK_BYTES, filesync.CHUNK_BYTES, 1, 0]
    assert b"".join(data for _, data in receiver.data()) == content


@pytest.mark.parametrize(
    ("wanted", "paths"),
    [
        ([], ["Dockerfile", "a", "a/deep", "a/deep/file", "a/other", "a-b", "z"]),
        (["Dockerfile", "Dockerfile.dockerignore"], ["Dockerfile"]),
        (["a/deep"], ["a", "a/deep", "a/deep/file"]),
        (["/a/o*"], ["a", "a/other"]),
        (["."], ["Dockerfile", "a", "a/deep", "a/deep/file", "a/other", "a-b", "z"]),
        (["**/other"], ["Dockerfile", "a", "a/deep", "a/deep/file", "a/other", "a-b", "z"]),
        ([".dockerignore"], []),
    ],
)
def test_only_what_the_engine_follows_is_told(wanted: list[str], paths: list[str]) -> None:
    assert [entry.path for entry in filesync.select(CONTEXT.entries, wanted)] == paths


def test_numbers_count_only_the_entries_told() -> None:
    receiver = Receiver(ask(PacketType.REQUEST, identifier=0), FINISH, followpaths=["z"])
    filesync.serve(CONTEXT, receiver)
    assert receiver.data() == [(0, b"end"), (0, b"")]


def test_a_tree_is_served_by_its_name() -> None:
    receiver = Receiver(FINISH, dir_name=["other"])
    filesync.serving({"context": CONTEXT, "other": assemble({"weights": b"x"})})(receiver)
    assert receiver.paths() == ["weights"]


def test_a_name_that_is_not_served_is_refused() -> None:
    with pytest.raises(CallError, match="there is no `files-absent` to send"):
        filesync.serving({"context": CONTEXT})(Receiver(FINISH, dir_name=["files-absent"]))


def test_a_path_beyond_ascii_comes_escaped() -> None:
    receiver = Receiver(FINISH, followpaths=["mod%C3%A8le+1"], followpaths_encoded=["1"])
    filesync.serve(assemble({"modèle 1": b"x", "z": b""}), receiver)
    assert receiver.paths() == ["modèle 1"]


def test_equal_bytes_have_equal_fingerprints() -> None:
    assert context.fingerprint(b"same") == context.fingerprint(b"same")


def test_other_bytes_of_equal_size_have_another_fingerprint() -> None:
    assert context.fingerprint(b"same") != context.fingerprint(b"some")


def test_a_fingerprint_stays_within_the_second() -> None:
    assert all(0 <= context.fingerprint(bytes([value])) < 10**9 for value in range(256))


def test_a_local_file_replaced_with_the_same_size_and_time_has_another_fingerprint(tmp_path: Path) -> None:
    kept, other = tmp_path / "kept", tmp_path / "other"
    for path, content in ((kept, b"same"), (other, b"some")):
        path.write_bytes(content)
        os.utime(path, (1, 1))
    before = context.fingerprint(kept)
    other.replace(kept)
    assert context.fingerprint(kept) != before


def test_a_file_that_has_gone_is_named(tmp_path: Path) -> None:
    gone = Context((Entry(path="weights", source=tmp_path / "gone"),))
    with pytest.raises(CallError, match="cannot read `.*/gone` for the build: No such file or directory"):
        filesync.serve(gone, Receiver(FINISH))


def test_exclusions_are_refused() -> None:
    with pytest.raises(CallError, match=r"takes no \.dockerignore"):
        filesync.serve(CONTEXT, Receiver(FINISH, exclude_patterns=["*.md"]))


def test_the_engines_own_error_ends_the_copy() -> None:
    with pytest.raises(CallError, match="disk is full"):
        filesync.serve(CONTEXT, Receiver(ask(PacketType.ERROR, data=b"disk is full")))
