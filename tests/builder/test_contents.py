from collections.abc import Collection

import pytest

from builder import contents
from builder.contents import Contents, Duplicate, Leak, Search
from builder.leaks import Finder
from tests.builder import data
from tests.builder.saved_image import SavedImage

TOKEN = "hf_" + "Ab3" * 11 + "x"
VALUE = "correct horse battery"
LARGE, OTHER = b"1" * 70_000, b"2" * 80_000
CONFIG = {"config": {"Env": [f"HF_TOKEN={TOKEN}"], "Labels": {"a": "b"}}, "history": [{"created_by": f"RUN {VALUE}"}]}


def survey(image: SavedImage, *, base: int = 0, verified: Collection[str] = ()) -> Contents:
    """Look for everything; `base` is how many of the layers are those that the image stands on."""
    finder, digests = Finder.of([VALUE]), image.digests[:base]
    search = Search(finder=finder, duplicates=True, base_layers=digests, verified=verified)
    return contents.survey(image, "i", search)


def test_secrets_are_named_by_kind_and_place_in_texts_and_layers() -> None:
    image = SavedImage(layers=[{"a": b"1"}, {"root/.netrc": VALUE.encode(), "root/t": TOKEN.encode()}], config=CONFIG)
    assert survey(image).leaks == (
        Leak(kind="a Hugging Face token", place="`config.Env[0]`"),
        Leak(kind="a secret that was given to the build", place="`history[0].created_by`"),
        Leak(kind="a secret that was given to the build", place="`/root/.netrc` of layer 2"),
        Leak(kind="a Hugging Face token", place="`/root/t` of layer 2"),
    )


def test_the_base_and_verified_files_are_searched_for_given_values_alone() -> None:
    both = f"{TOKEN} {VALUE}".encode()
    for compressed in (frozenset[int](), frozenset({0})):
        image = SavedImage(layers=[{"base": both}, {"model": both}], config={}, compressed=compressed)
        assert [str(leak) for leak in survey(image, base=1, verified={"/model"}).leaks] == [
            "a secret that was given to the build in `/base` of layer 1",
            "a secret that was given to the build in `/model` of layer 2",
        ]


def test_files_of_one_content_are_named_with_the_bytes_that_they_waste() -> None:
    image = SavedImage(
        layers=[{"base/a": OTHER, "base/b": OTHER, "base/c": LARGE}, {"a": LARGE}, {"b": LARGE, "c": b"3" * 65_000}],
        config={},
    )
    assert survey(image, base=1).duplicates == (Duplicate(paths=("/a", "/b", "/base/c"), wasted_bytes=140_000),)


def test_tiny_files_may_be_there_twice() -> None:
    image = SavedImage(layers=[{"a": b"1" * contents.TINY_BYTES}, {"b": b"1" * contents.TINY_BYTES}], config={})
    assert survey(image) == Contents(leaks=(), duplicates=())


def test_the_verified_files_are_those_of_the_models_snapshots() -> None:
    assert contents.verified_paths([data.fetched("a")]) == {
        f"/opt/hf-cache/hub/models--example--a/snapshots/{data.COMMIT}/{path}" for path in data.FILES
    }


def test_a_cancelled_search_ends_at_the_next_file() -> None:
    search = Search(finder=Finder.of([VALUE]), duplicates=True, is_cancelled=lambda: True)
    with pytest.raises(KeyboardInterrupt):
        contents.survey(SavedImage(layers=[{"a": b"1"}], config={}), "i", search)
