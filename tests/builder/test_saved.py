import io

import pytest

from builder import saved
from builder.errors import FailedError
from builder.saved import Member, Readable
from tests.builder.saved_image import SavedImage

CONFIG = {"config": {"Env": ["A=1"], "Labels": {"key": "value"}}, "history": [{"created_by": "RUN true"}]}


class Everything:
    """Keeps what it is shown."""

    def __init__(self) -> None:
        self.texts: list[tuple[str, str]] = []
        self.files: list[tuple[str, str, bytes]] = []

    def text(self, place: str, value: str) -> None:
        self.texts.append((place, value))

    def member(self, layer: str, member: Member, content: Readable | None) -> None:
        self.files.append((layer, member.path, content.read() if content else b""))


@pytest.mark.parametrize("compressed", [frozenset[int](), frozenset({0}), frozenset({0, 1})])
def test_every_file_is_shown_with_its_layer_whatever_its_compression(compressed: frozenset[int]) -> None:
    image = SavedImage(layers=[{"etc/a": b"1" * 2000}, {"etc/b": b"2"}], config=CONFIG, compressed=compressed)
    seen = Everything()
    with image.saved_image("i") as stream:
        layers = saved.read(stream, seen)
    names = [f"blobs/sha256/{digest.removeprefix('sha256:')}" for digest in image.digests]
    assert layers == tuple(names)
    assert sorted(seen.files, key=lambda file: file[1]) == [
        (names[0], "/etc/a", b"1" * 2000),
        (names[1], "/etc/b", b"2"),
    ]


def test_every_text_of_the_configuration_is_shown_with_its_place() -> None:
    seen = Everything()
    with SavedImage(layers=[], config=CONFIG).saved_image("i") as stream:
        saved.read(stream, seen)
    assert [found for found in seen.texts if not found[0].startswith("manifest.json")] == [
        ("", "rootfs"),
        ("", "config"),
        ("config", "Env"),
        ("config.Env[0]", "A=1"),
        ("config", "Labels"),
        ("config.Labels", "key"),
        ("config.Labels.key", "value"),
        ("", "history"),
        ("history[0]", "created_by"),
        ("history[0].created_by", "RUN true"),
    ]


def test_an_image_that_is_cut_short_is_an_error_of_ours() -> None:
    image = SavedImage(layers=[{"a": b"1" * 5000}], config=CONFIG)
    with image.saved_image("i") as stream:
        cut = io.BytesIO(stream.read()[:3000])
    with pytest.raises(FailedError, match="the image's layers can't be read: "):
        saved.read(cut, Everything())
