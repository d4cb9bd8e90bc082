from contextlib import AbstractContextManager

import pytest

from builder import wire
from builder.channel import Channel
from builder.grpc import Call, CallError, Status
from builder.session import Unary
from builder.solve import SOLVE, STATUS, Solve, SolveRequest
from tests.builder.calls import connected

REQUEST = SolveRequest(
    session_id="s1", attributes={"target": "runtime", "no-cache": ""}, inputs={"files-a": b"definition"}
)


class Control:
    """BuildKit's Control service: it keeps what it is asked, and answers what it is told to."""

    def __init__(self, solve: Unary) -> None:
        self.solve = solve
        self.asked: list[bytes] = []
        self.status_of: list[str] = []

    def solved(self, message: bytes) -> bytes:
        self.asked.append(message)
        return self.solve(message)

    def status(self, call: Call) -> None:
        self.status_of.append(wire.text(wire.parse(call.receive() or b""), 1))
        for status in (b"one", b"two"):
            call.send(status)

    def connected(self) -> AbstractContextManager[Channel]:
        return connected({SOLVE: self.solved}, {STATUS: self.status})


def image(_: bytes) -> bytes:
    return wire.mapping(1, {"containerimage.config.digest": "sha256:config", "containerimage.digest": "sha256:image"})


def fail(_: bytes) -> bytes:
    raise CallError(Status.UNKNOWN, "process did not complete: exit code: 1")


def test_a_build_is_asked_for_as_the_frontend_takes_it() -> None:
    asked = wire.parse(REQUEST.encoded("r1"))
    assert {key: wire.text(asked, key) for key in (1, 3, 5, 6)} == {1: "r1", 3: "moby", 5: "s1", 6: "dockerfile.v0"}
    assert wire.texts(asked, 7) == {"target": "runtime", "no-cache": "", "context:files-a": "input:files-a"}
    assert (wire.texts(asked, 10), 9 in asked) == ({"files-a": "definition"}, False)


def test_the_host_s_network_is_an_entitlement_of_its_own() -> None:
    asked = SolveRequest(session_id="s1", attributes={}, uses_host_network=True)
    assert wire.contents(wire.parse(asked.encoded("r1")), 9) == [b"network.host"]


def test_progress_is_that_of_the_build_and_its_image_is_the_engine_s() -> None:
    control = Control(image)
    with control.connected() as channel:
        solve = Solve(channel, REQUEST)
        assert (list(solve.progress()), solve.image_id()) == ([b"one", b"two"], "sha256:image")
    assert control.status_of == [wire.text(wire.parse(asked), 1) for asked in control.asked]


def test_a_build_that_fails_says_so_after_its_progress() -> None:
    with Control(fail).connected() as channel:
        solve = Solve(channel, REQUEST)
        assert list(solve.progress()) == [b"one", b"two"]
        with pytest.raises(CallError, match="exit code: 1"):
            solve.image_id()


def test_a_result_without_an_image_has_no_id() -> None:
    with Control(lambda _: b"").connected() as channel:
        assert Solve(channel, REQUEST).image_id() == ""
