from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO

import pytest

from builder import reproducibility
from builder.api import ImageDetails
from builder.errors import FailedError
from builder.reproducibility import File
from builder.saved import Member
from tests.builder.saved_image import Layer, SavedImage

CONFIG = {"config": {"Env": ["A=1"]}}


class Engine:
    """Holds images that are made in a test, by their ids."""

    def __init__(self, **images: SavedImage) -> None:
        self.images = images
        self.read: list[str] = []
        self.discarded: list[str] = []

    def inspect_image(self, reference: str) -> ImageDetails:
        layers = tuple(self.images[reference].digests)
        return ImageDetails(
            id=reference, platform="", size_bytes=0, layers=layers, labels={}, environment=(), digest=""
        )

    @contextmanager
    def saved_image(self, reference: str) -> Iterator[BinaryIO]:
        self.read.append(reference)
        with self.images[reference].saved_image(reference) as stream:
            yield stream

    def discard_image(self, image_id: str) -> None:
        self.discarded.append(image_id)


def image(*layers: Layer, config: Mapping[str, Any] = CONFIG) -> SavedImage:
    return SavedImage(layers=layers, config=config)


def member(**values: Any) -> Member:
    same = {"path": "/a", "kind": "-", "size_bytes": 1, "mode": 0o644, "owner": "0:0", "modified": 0, "target": ""}
    return Member(**{**same, **values})


def test_two_builds_that_are_one_image_are_not_read() -> None:
    engine = Engine(one=image({"a": b"1"}))
    assert (reproducibility.check(engine, "one", "one"), engine.read, engine.discarded) == (
        "both builds are one",
        [],
        [],
    )


def test_every_file_that_differs_is_named_and_no_other() -> None:
    engine = Engine(
        one=image({"etc/same": b"0"}, {"etc/a": b"1", "etc/b": b"2", "etc/c": b"3"}),
        two=image({"etc/same": b"0"}, {"etc/a": b"1", "etc/b": b"two", "etc/d": b"4"}),
    )
    with pytest.raises(FailedError) as caught:
        reproducibility.check(engine, "one", "two")
    assert caught.value.message.splitlines() == [
        "two builds of it differ:",
        "`/etc/b` of layer 2: bytes, 1 and 3 of them",
        "`/etc/c` of layer 2: only in the first build",
        "`/etc/d` of layer 2: only in the second build",
    ]
    assert engine.discarded == ["two"]


@pytest.mark.parametrize(
    ("other", "part"),
    [
        ({"modified": 1_704_067_200}, "mtime 1970-01-01T00:00:00Z and 2024-01-01T00:00:00Z"),
        ({"mode": 0o755}, "mode 644 and 755"),
        ({"owner": "0:12345"}, "owner 0:0 and 0:12345"),
        ({"kind": "l", "target": "b"}, "kind `-` and `l`, link to `` and `b`"),
    ],
)
def test_in_what_a_file_differs_is_told(other: Mapping[str, Any], part: str) -> None:
    files = [File(member=member(**values), sha256="") for values in ({}, other)]
    assert ", ".join(reproducibility.other_parts(*files)) == part


def test_what_describes_the_image_is_compared_too() -> None:
    engine = Engine(one=image({"a": b"1"}), two=image({"a": b"1"}, config={"config": {"Env": ["A=2"]}}))
    assert reproducibility.differences(engine, "one", "two") == ("`config.Env[0]`: `A=1` and `A=2`",)


def test_another_number_of_layers_is_told() -> None:
    engine = Engine(one=image({"a": b"1"}), two=image({"a": b"1"}, {"b": b"2"}))
    assert reproducibility.differences(engine, "one", "two") == ("1 layers and 2",)


def test_layers_with_the_same_files_in_another_order_are_told() -> None:
    engine = Engine(one=image({"a": b"1", "b": b"2"}), two=image({"b": b"2", "a": b"1"}))
    assert reproducibility.differences(engine, "one", "two") == ("layer 1: the same files, packed otherwise",)
