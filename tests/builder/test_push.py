"""Pushes by what an engine tells of them; `tests/engine/test_push.py` has them with a real one."""

from collections.abc import Mapping
from typing import Any

import pytest

from builder import push
from builder.api import Credentials
from builder.errors import FailedError, UnreachableError
from builder.messages import JsonStream
from builder.push import Pushed
from builder.trace import Event, LogEvent, StepEvent, TransferEvent
from tests.builder.messages import streaming

NAME = "127.0.0.1:5000/search/retrieval:1"
DIGEST = "sha256:" + "d" * 64
DONE: dict[str, Any] = {"status": f"1: digest: {DIGEST} size: 1234"}
LAYERS: list[dict[str, Any]] = [
    {"status": "The push refers to repository [127.0.0.1:5000/search/retrieval]"},
    {"status": "Preparing", "progressDetail": {}, "id": "aaa"},
    {"status": "Layer already exists", "progressDetail": {}, "id": "bbb"},
    {"status": "Mounted from search/weights", "progressDetail": {}, "id": "ccc"},
    {"status": "Pushing", "progressDetail": {"current": 512, "total": 1000}, "id": "aaa"},
    {"status": "Pushing", "progressDetail": {"current": 1100, "total": 1000}, "id": "aaa"},
    {"status": "Pushed", "progressDetail": {}, "id": "aaa"},
]


class Engine:
    """An engine whose pushes go as they are told to, one after the other."""

    def __init__(self, *attempts: list[dict[str, Any]]) -> None:
        self.attempts = list(attempts)

    def push_stream(self, reference: str, login: Credentials, /) -> JsonStream:
        assert (reference, login) == (NAME, Credentials(username="me", secret="word"))
        return streaming(self.attempts.pop(0))


def failing(message: str, *before: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [*map(dict, before), {"errorDetail": {"message": message}, "error": message}]


def pushed(engine: Engine) -> tuple[Pushed, list[Event], list[tuple[str, float]], list[float]]:
    """Push, and return how it went with its events, what was told of further tries, and the waits before them."""
    events: list[Event] = []
    told: list[tuple[str, float]] = []
    waits: list[float] = []
    outcome = push.push(
        engine,
        NAME,
        login=Credentials(username="me", secret="word"),
        on_event=events.append,
        on_retry=lambda error, pause_s: told.append((error, pause_s)),
        wait=waits.append,
    )
    return outcome, events, told, waits


def test_a_push_gives_the_digest_and_what_became_of_the_layers() -> None:
    outcome, *_ = pushed(Engine([*LAYERS, DONE]))
    assert outcome == Pushed(digest=DIGEST, sent_layers=1, kept_layers=2)


def test_a_push_gives_the_digest_with_either_image_store() -> None:
    layer = {"status": "Pushed", "progressDetail": {}, "id": "43c1347f2501"}
    aux = {"progressDetail": {}, "aux": {"Tag": "1", "Digest": DIGEST, "Size": 1234}}  # the classic one tells it twice
    for messages in ([layer, DONE], [layer, DONE, aux]):
        outcome, *_ = pushed(Engine(messages))
        assert outcome == Pushed(digest=DIGEST, sent_layers=1, kept_layers=0)


def test_a_push_is_told_as_one_step_with_the_bytes_of_each_layer() -> None:
    _, events, *_ = pushed(Engine([*LAYERS, DONE]))
    begun, *transfers, ended = events
    assert isinstance(begun, StepEvent)
    assert isinstance(ended, StepEvent)
    assert (begun.name, begun.completed_s, ended.completed_s is None, ended.error) == (
        "pushing 1",
        None,
        False,
        "",
    )
    assert transfers == [
        TransferEvent(step=begun.step, name="aaa", action="pushing", current_bytes=512, total_bytes=1000),
        TransferEvent(step=begun.step, name="aaa", action="pushing", current_bytes=1100, total_bytes=1100),
    ]


def test_what_passes_is_tried_again() -> None:
    error = "received unexpected HTTP status: 500 Internal Server Error"
    outcome, _, told, waits = pushed(Engine(failing(error), failing(error), [DONE]))
    assert (outcome.digest, told, waits) == (DIGEST, [(error, 1.0), (error, 2.0)], [1.0, 2.0])


def test_what_goes_on_is_a_registry_that_is_unreachable() -> None:
    error = "Get http://127.0.0.1:5000/v2/: dial tcp 127.0.0.1:5000: connect: connection refused"
    with pytest.raises(UnreachableError) as caught:
        pushed(Engine(*[failing(error)] * 4))
    assert caught.value.message == f"cannot push `{NAME}`: {error}"


def test_what_the_engine_tries_again_itself_is_told() -> None:
    retrying = {"status": "Retrying in 5 seconds", "progressDetail": {}, "id": "aaa"}
    _, events, *_ = pushed(Engine([retrying, DONE]))
    assert [event.line for event in events if isinstance(event, LogEvent)] == ["aaa: Retrying in 5 seconds"]


def test_what_the_engine_has_tried_again_itself_is_not_tried_again_here() -> None:
    retrying = {"status": "Retrying in 1 second", "progressDetail": {}, "id": "aaa"}
    engine = Engine(failing("unexpected EOF", retrying), [DONE])
    with pytest.raises(UnreachableError):
        pushed(engine)
    assert len(engine.attempts) == 1


@pytest.mark.parametrize(
    ("error", "word"),
    [
        ("denied: requested access to the resource is denied", "your login"),
        ("unauthorized: authentication required", "your login"),
        ("x509: certificate signed by unknown authority", "certificates"),
        ("http: server gave HTTP response to HTTPS client", "insecure-registries"),
        ("blob upload invalid", "None"),
    ],
)
def test_a_refusal_is_told_at_once_with_what_helps(error: str, word: str) -> None:
    engine = Engine(failing(error, *LAYERS), [DONE])
    with pytest.raises(FailedError) as caught:
        pushed(engine)
    assert (caught.value.message, word in str(caught.value.hint), len(engine.attempts)) == (
        f"cannot push `{NAME}`: {error}",
        True,
        1,
    )


def test_a_push_that_ends_without_a_digest_failed() -> None:
    with pytest.raises(FailedError, match="the engine ended the push without a digest"):
        pushed(Engine(LAYERS))


@pytest.mark.parametrize(
    ("login", "written"),
    [
        (Credentials(username="me", secret="word"), {"username": "me", "password": "word"}),
        (Credentials(secret="token"), {"identitytoken": "token"}),
        (Credentials(), {}),
    ],
)
def test_a_login_is_written_as_the_engine_reads_it(login: Credentials, written: dict[str, str]) -> None:
    assert login.as_json() == written
