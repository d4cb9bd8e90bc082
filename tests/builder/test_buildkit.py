import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import cast

import pytest

from builder import wire
from builder.buildkit import BuildRequest, Cancellation, build
from builder.context import assemble
from builder.engine import Engine
from builder.errors import BuildFailedError, FailedError, InputError
from builder.grpc import CallError, Status
from builder.session import Session
from builder.solve import SOLVE, STATUS
from builder.stream import PlainStream
from builder.trace import Event, WarningEvent

NO_ENGINE = cast("Engine", None)  # any use of it fails the test


class ScriptedEngine:
    """An engine whose BuildKit answers each build with the next image or reason, over sessions that nobody calls."""

    def __init__(self, stack: ExitStack, *answers: str | CallError) -> None:
        self.stack = stack
        self.answers = list(answers)

    def open_session(self, _: Sequence[tuple[str, str]]) -> PlainStream:
        ours, theirs = socket.socketpair()
        self.stack.enter_context(theirs)
        return PlainStream(ours, timeout_s=20)

    def open_control(self) -> PlainStream:
        ours, theirs = socket.socketpair()
        served = PlainStream(theirs, timeout_s=20)
        self.stack.enter_context(Session(served, unary={SOLVE: self.solve}, streaming={STATUS: lambda _: None}))
        return PlainStream(ours, timeout_s=20)

    def solve(self, _: bytes) -> bytes:
        answer = self.answers.pop(0)
        if isinstance(answer, CallError):
            raise answer
        return wire.mapping(1, {"containerimage.digest": answer})

    def check_answers(self) -> None:
        """Answer."""


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as entered:
        yield entered


def failing(message: str) -> CallError:
    return CallError(Status.UNKNOWN, message)


def request(**secrets: bytes) -> BuildRequest:
    return BuildRequest(context=assemble({"Dockerfile": b"FROM scratch"}), shared_key="test", secrets=secrets)


def fail_after(cancellation: Cancellation) -> None:
    cancellation.cancel()
    raise FailedError("killed")


def test_a_secret_over_the_limit_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(InputError) as caught:
        build(NO_ENGINE, request(ca=bytes(512_001)), on_event=print)
    assert (caught.value.message, caught.value.hint) == (
        "secret `ca` has 512001 bytes, and BuildKit takes at most 512000",
        "for a bundle of certificates, keep only the authorities that your network needs",
    )


ORPHANED = ["no active sessions", f"no active session for {'a' * 32}: context deadline exceeded"]
BUILT = "sha256:built"


@pytest.mark.parametrize("reason", ORPHANED)
def test_a_build_whose_step_was_another_s_that_stopped_is_tried_again_and_tells(reason: str, stack: ExitStack) -> None:
    engine, events = ScriptedEngine(stack, failing(reason), BUILT), list[Event]()
    assert build(cast("Engine", engine), request(), on_event=events.append) == "sha256:built"
    told = f"a build that shared a step with this one was stopped ({reason}); building again"
    assert events == [WarningEvent(message=told)]


@pytest.mark.parametrize("reason", ORPHANED)
def test_a_build_is_tried_again_once(reason: str, stack: ExitStack) -> None:
    engine = ScriptedEngine(stack, failing(reason), failing(reason), BUILT)
    with pytest.raises(BuildFailedError) as caught:
        build(cast("Engine", engine), request(), on_event=lambda _: None)
    assert (caught.value.message, caught.value.hint, engine.answers) == (
        reason,
        "another build that shared a step with this one was stopped: run the command again",
        [BUILT],
    )


@pytest.mark.parametrize(
    "reason", ["process did not complete: exit code: 1", "no active sessions for sale: exit code: 1"]
)
def test_a_build_that_fails_by_itself_is_not_tried_again(reason: str, stack: ExitStack) -> None:
    engine = ScriptedEngine(stack, failing(reason), BUILT)
    with pytest.raises(BuildFailedError):
        build(cast("Engine", engine), request(), on_event=lambda _: None)
    assert engine.answers == [BUILT]


def test_a_request_shows_no_secret() -> None:
    assert "hunter2" not in repr(request(token=b"hunter2"))


def test_a_cancellation_calls_what_runs_under_it() -> None:
    cancellation, called = Cancellation(), list[str]()
    with cancellation.calling(lambda: called.append("first")), cancellation.calling(lambda: called.append("second")):
        cancellation.cancel()
    assert called == ["first", "second"]


def test_a_cancellation_calls_nothing_that_has_ended() -> None:
    cancellation, called = Cancellation(), list[str]()
    with cancellation.calling(lambda: called.append("ended")):
        pass
    cancellation.cancel()
    assert called == []


def test_nothing_starts_after_a_cancellation() -> None:
    cancellation = Cancellation()
    cancellation.cancel()
    with pytest.raises(KeyboardInterrupt), cancellation.calling(lambda: None):
        pytest.fail("the block ran")


def test_a_failure_caused_by_a_cancellation_is_an_interrupt() -> None:
    cancellation = Cancellation()
    with pytest.raises(KeyboardInterrupt), cancellation.calling(lambda: None):
        fail_after(cancellation)


def test_a_failure_without_a_cancellation_stays_itself() -> None:
    with pytest.raises(FailedError, match="killed"), Cancellation().calling(lambda: None):
        raise FailedError("killed")
