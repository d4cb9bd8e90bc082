import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from builder import sharing
from builder.buildkit import BuildRequest, build
from builder.context import assemble
from builder.engine import Engine
from builder.lock import LockedModel
from builder.trace import Event, TransferEvent
from tests.builder import data

pytestmark = pytest.mark.engine

WEIGHTS_BYTES = 3_000_000
DOCKERFILE = "FROM scratch\nCOPY --from=files-embedder / /{place}/\n"


@pytest.fixture
def model(tmp_path: Path) -> LockedModel:
    for name in ("config.json", "tokenizer.json", "onnx/model.onnx"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(os.urandom(WEIGHTS_BYTES if name == "onnx/model.onnx" else 100))
    return replace(data.local(tmp_path), name="embedder")


@contextmanager
def built(engine: Engine, inputs: dict[str, bytes], *, place: str) -> Iterator[tuple[str, int]]:
    """Build an image that has the model's files in a folder; yields it and how many bytes of them were sent for it."""
    events: list[Event] = []
    context = assemble({"Dockerfile": DOCKERFILE.format(place=place).encode()})
    request = BuildRequest(context=context, shared_key=uuid4().hex, network_mode="none", inputs=inputs)
    image = build(engine, request, on_event=events.append)
    try:
        yield image, sent_bytes(events)
    finally:
        engine.remove_image(image)


def sent_bytes(events: Iterable[Event]) -> int:
    name = "transferring files-embedder:"
    sent = {
        event.step: event.current_bytes for event in events if isinstance(event, TransferEvent) and event.name == name
    }
    return sum(sent.values())


def held(engine: Engine, image: str, path: str) -> bytes:
    with engine.archive(image, path) as stream:
        return stream.read()


def test_files_of_a_model_are_sent_once_for_two_images(engine: Engine, model: LockedModel, tmp_path: Path) -> None:
    weights = (tmp_path / "onnx/model.onnx").read_bytes()
    with (
        sharing.opened(engine, [model], place=tmp_path) as shared,
        built(engine, dict(shared), place="one") as (one, first_bytes),
        built(engine, dict(shared), place="other") as (other, second_bytes),
    ):
        assert (first_bytes > WEIGHTS_BYTES, second_bytes) == (True, 0)
        assert weights in held(engine, one, "/one/onnx/model.onnx")
        assert weights in held(engine, other, "/other/onnx/model.onnx")


def test_the_next_run_sends_only_what_has_changed(engine: Engine, model: LockedModel, tmp_path: Path) -> None:
    with sharing.opened(engine, [model], place=tmp_path) as shared, built(engine, dict(shared), place="one"):
        pass
    (tmp_path / "config.json").write_bytes(os.urandom(20_000))
    with (
        sharing.opened(engine, [model], place=tmp_path) as shared,
        built(engine, dict(shared), place="one") as (image, sent),
    ):
        assert 20_000 < sent < 21_000
        assert (tmp_path / "config.json").read_bytes() in held(engine, image, "/one/config.json")


def test_without_local_models_nothing_is_opened(engine: Engine, tmp_path: Path) -> None:
    with sharing.opened(engine, [], place=tmp_path) as shared:
        assert shared == {}
