"""The smoke test's verdict on images that are not servers, as a person reads it."""

from dataclasses import replace
from uuid import uuid4

import pytest

from builder import smoke
from builder.buildkit import BuildRequest, Cancellation, build
from builder.context import assemble
from builder.engine import Engine
from builder.errors import SmokeFailedError
from tests.builder import data

pytestmark = pytest.mark.engine

IMAGE = data.image(replace(data.fetched(), files={}))


def verdict(engine: Engine, entrypoint: str) -> SmokeFailedError:
    """Smoke-test an image that only runs `entrypoint`, a JSON list."""
    dockerfile = f"FROM debian:bookworm-slim\nLABEL test={uuid4().hex}\nENTRYPOINT {entrypoint}\n"
    context = assemble({"Dockerfile": dockerfile.encode()})
    image_id = build(engine, BuildRequest(context=context, shared_key="smoke"), on_event=lambda _: None)
    try:
        with pytest.raises(SmokeFailedError) as caught:
            smoke.run(engine, IMAGE, image_id=image_id, cancellation=Cancellation())
    finally:
        engine.remove_image(image_id)
    return caught.value


def test_a_server_that_ends_is_told_with_its_exit_code_and_last_words(engine: Engine) -> None:
    error = verdict(engine, '["sh", "-c", "echo first; echo the model is broken >&2; exit 3"]')
    assert error.message == "smoke test: starts: the container ended; it ended with exit code 3"
    assert sorted(error.output) == ["first", "the model is broken"]


def test_a_server_that_needs_too_much_memory_is_called_that(engine: Engine) -> None:
    error = verdict(engine, '["sh", "-c", "x=0123456789abcdef; while :; do x=$x$x; done"]')
    assert error.message.endswith("it was killed for using more memory than its limit (out of memory)")


def test_a_server_that_never_gets_ready_is_given_up_after_a_deadline(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smoke, "START_TIMEOUT_S", 1)
    error = verdict(engine, '["sleep", "60"]')
    assert error.message == "smoke test: starts: not ready after 1 s"
