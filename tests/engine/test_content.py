"""What is proven of an image before it gets a name, on a real engine."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from builder import contents, reproducibility
from builder.buildkit import BuildRequest, build
from builder.contents import Search
from builder.context import assemble
from builder.engine import Engine
from builder.leaks import Finder
from tests.engine.command import build_image, manifest

pytestmark = pytest.mark.engine

BASE = "debian:bookworm-slim"
TOKEN = "hf_" + "Ab3" * 11 + "x"
VALUE = uuid4().hex


@contextmanager
def built(engine: Engine, commands: str, *, no_cache: bool = False) -> Iterator[str]:
    """Build an image on the base for as long as the block runs."""
    context = assemble({"Dockerfile": f"FROM {BASE}\n{commands}".encode()})
    image = build(
        engine, BuildRequest(context=context, shared_key="content", no_cache=no_cache), on_event=lambda _: None
    )
    try:
        yield image
    finally:
        engine.remove_image(image)


def gated(folder: Path, name: str, **gates: Any) -> Path:
    """Write a manifest of one image with gates."""
    path = manifest(folder, name)
    path.write_text(json.dumps({**json.loads(path.read_text()), "gates": gates}))
    return path


def test_a_secret_is_found_in_a_layer_that_a_later_one_hides_and_in_every_text(engine: Engine) -> None:
    commands = (
        f"RUN printf %s {VALUE[:16]}{VALUE[16:]} >/root/key\nRUN rm /root/key && printf %s {TOKEN} >/etc/token\n"
        f"ENV NAME=https://user:{VALUE}@example.com\nLABEL a={VALUE}\n"
    )
    with built(engine, commands) as image:
        base = engine.inspect_image(BASE).layers
        search = Search(finder=Finder.of([VALUE]), duplicates=False, base_layers=base)
        leaks = contents.survey(engine, image, search).leaks
    places = {leak.place for leak in leaks}
    assert {"`config.Env[1]`", "`config.Labels.a`", "`/root/key` of layer 2", "`/etc/token` of layer 3"} <= places
    assert [leak.kind for leak in leaks if leak.place.startswith("`/")] == [
        "a secret that was given to the build",
        "a Hugging Face token",
    ]


def test_keys_that_a_library_of_the_base_tests_itself_with_are_its_own_affair(engine: Engine) -> None:
    base = engine.inspect_image(BASE).layers
    found = [
        contents.survey(engine, BASE, Search(finder=Finder.of([]), duplicates=False, base_layers=layers)).leaks
        for layers in (base, ())
    ]
    assert (found[0], [leak.kind for leak in found[1]]) == ((), ["a private key"])


def test_a_file_that_a_command_copies_is_found_twice(engine: Engine) -> None:
    with built(engine, "RUN head -c 100000 /dev/zero >/a\nRUN chmod 600 /a\nRUN cp /a /b\n") as image:
        base = engine.inspect_image(BASE).layers
        (found,) = contents.survey(engine, image, Search(finder=None, duplicates=True, base_layers=base)).duplicates
    assert (found.paths, found.wasted_bytes) == (("/a", "/a", "/b"), 200_000)


def test_a_command_that_is_not_reproducible_is_told_by_its_files(engine: Engine) -> None:
    commands = "RUN head -c 9 /dev/urandom >/etc/random && touch -d @0 /etc/random /etc\n"
    with built(engine, commands, no_cache=True) as first, built(engine, commands, no_cache=True) as second:
        assert reproducibility.differences(engine, first, second) == (
            "`/etc/random` of layer 2: bytes, 9 and 9 of them",
        )


def test_an_image_that_a_gate_refuses_gets_no_name(engine: Engine, folder: Path, name: str) -> None:
    report = folder / "report.json"
    path = gated(folder, name, max_size="100 MB", min_tokens_per_second=1, licences=["gemma", "cc-by-nc-4.0"])
    ended = build_image("--models", path, "--report", report)
    assert ended.code == 1
    assert f"error: {name}: gate `max_size`: it has " in ended.err
    assert "; allowed: 100 MB\nhint: the image has no tag; change it, or the key below `gates`" in ended.err
    (image,) = json.loads(report.read_text())["images"]
    assert [check["name"] for check in image["checks"]][-4:] == [
        "writes nothing",
        "gate licences",
        "gate min_tokens_per_second",
        "gate secrets",
    ]
    assert (image["result"], image["references"], engine.has_image(f"{name}:latest")) == ("failed", [], False)


def test_an_image_is_the_same_in_two_builds_without_a_cache(engine: Engine, folder: Path, name: str) -> None:
    report = folder / "report.json"
    ended = build_image("--models", manifest(folder, name), "--verify-reproducible", "--build-only", "--report", report)
    assert ended.code == 0, ended.err
    (image,) = json.loads(report.read_text())["images"]
    assert [(check["name"], check["detail"]) for check in image["checks"]] == [
        ("reproducible", f"both builds are {image['id'][:19]}")
    ]
    engine.remove_image(image["id"])
