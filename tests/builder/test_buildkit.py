from typing import cast

import pytest

from builder.buildkit import BuildRequest, Cancellation, build
from builder.context import assemble
from builder.engine import Engine
from builder.errors import FailedError, InputError

NO_ENGINE = cast("Engine", None)  # any use of it fails the test


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
