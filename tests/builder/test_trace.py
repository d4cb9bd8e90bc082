import base64
import json
from pathlib import Path

from builder import wire
from builder.trace import (
    Event,
    FailedStep,
    LogEvent,
    StepEvent,
    StepTracker,
    TraceDecoder,
    TransferEvent,
    WarningEvent,
)

RECORDED = Path(__file__).parent / "data"


def timestamp(seconds: int, nanoseconds: int = 0) -> bytes:
    return wire.field(1, seconds) + wire.field(2, nanoseconds)


def vertex(digest: str, *, completed: bool = False, error: str = "") -> bytes:
    fields = wire.field(1, digest) + wire.field(3, f"[{digest}] RUN true") + wire.field(5, timestamp(10))
    fields += wire.field(6, timestamp(12, 500_000_000)) if completed else b""
    return wire.field(1, fields + wire.field(7, error))


def log(digest: str, content: bytes) -> bytes:
    return wire.field(3, wire.field(1, digest) + wire.field(3, 1) + wire.field(4, content))


def recorded(name: str) -> list[Event]:
    decoder = TraceDecoder()
    lines = (RECORDED / name).read_text().splitlines()
    messages = [json.loads(line) for line in lines]
    traces = [base64.b64decode(message["aux"]) for message in messages if message.get("id") == "moby.buildkit.trace"]
    return [event for trace in traces for event in decoder.decode(trace)]


def track(events: list[Event]) -> StepTracker:
    tracker = StepTracker()
    for event in events:
        tracker.observe(event)
    return tracker


def test_a_step_has_name_and_times() -> None:
    (event,) = TraceDecoder().decode(vertex("a", completed=True))
    assert event == StepEvent(step="a", name="[a] RUN true", started_s=10.0, completed_s=12.5)


def test_a_step_that_has_ended_has_a_duration() -> None:
    assert StepEvent(step="a", name="a", started_s=10.0, completed_s=12.5).duration_s == 2.5


def test_a_step_that_runs_has_no_duration() -> None:
    assert StepEvent(step="a", name="a", started_s=10.0).duration_s is None


def test_a_cached_step_says_so() -> None:
    (event,) = TraceDecoder().decode(wire.field(1, wire.field(1, "a") + wire.field(4, 1)))
    assert event == StepEvent(step="a", name="", cached=True)


def test_a_transfer_counts_bytes() -> None:
    status = wire.field(1, "transferring context:") + wire.field(2, "a") + wire.field(3, "transferring")
    status += wire.field(4, 512) + wire.field(5, 1024)
    assert TraceDecoder().decode(wire.field(2, status) + wire.field(2, status + wire.field(8, timestamp(1)))) == [
        TransferEvent(
            step="a", name="transferring context:", action="transferring", current_bytes=512, total_bytes=1024
        ),
        TransferEvent(
            step="a",
            name="transferring context:",
            action="transferring",
            current_bytes=512,
            total_bytes=1024,
            completed=True,
        ),
    ]


def test_lines_in_pieces_are_joined_per_step() -> None:
    decoder = TraceDecoder()
    first = decoder.decode(log("a", b"one\ntw") + log("b", b"other"))
    second = decoder.decode(log("a", b"o\nthree") + log("b", b" step\n"))
    assert [*first, *second] == [
        LogEvent(step="a", line="one"),
        LogEvent(step="a", line="two"),
        LogEvent(step="b", line="other step"),
    ]


def test_a_last_line_without_an_end_comes_before_the_steps_end() -> None:
    decoder = TraceDecoder()
    decoder.decode(log("a", b"last"))
    assert decoder.decode(vertex("a", completed=True)) == [
        LogEvent(step="a", line="last"),
        StepEvent(step="a", name="[a] RUN true", started_s=10.0, completed_s=12.5),
    ]


def test_of_a_progress_bar_the_last_state_is_kept() -> None:
    assert TraceDecoder().decode(log("a", b" 10%\r 50%\r100%\r\n")) == [LogEvent(step="a", line="100%")]


def test_bytes_that_are_no_text_are_replaced() -> None:
    assert TraceDecoder().decode(log("a", b"\xff\n")) == [LogEvent(step="a", line="\N{REPLACEMENT CHARACTER}")]


def test_a_warning_has_its_details_and_address() -> None:
    warning = wire.field(3, "short") + wire.field(4, "one") + wire.field(4, "two") + wire.field(5, "where")
    assert TraceDecoder().decode(wire.field(4, warning)) == [
        WarningEvent(message="short", detail="one\ntwo", url="where")
    ]


def test_the_step_that_failed_is_found_with_its_last_twenty_lines() -> None:
    decoder = TraceDecoder()
    lines = b"".join(b"line %d\n" % number for number in range(30))
    events = decoder.decode(log("a", lines) + log("b", b"not this\n"))
    events += decoder.decode(vertex("b", completed=True, error="context canceled"))
    events += decoder.decode(vertex("a", completed=True, error="exit code: 3"))
    assert track(events).failed() == FailedStep(
        name="[a] RUN true", error="exit code: 3", output=tuple(f"line {number}" for number in range(10, 30))
    )


def test_a_build_without_an_error_has_no_failed_step() -> None:
    assert track(TraceDecoder().decode(vertex("a", completed=True))).failed() is None


def test_a_recorded_build_has_its_steps_in_the_order_told() -> None:
    steps = track(recorded("build.jsonl")).steps.values()
    assert [(step.name, step.cached, step.completed_s is not None) for step in steps] == [
        ("[internal] load build definition from Dockerfile", False, True),
        ("[internal] load metadata for docker.io/library/debian:bookworm-slim", False, True),
        ("[internal] load .dockerignore", False, True),
        ("[4/4] RUN echo broken >&2; exit 3", False, True),
        ("[3/4] RUN printf 'one\\ntwo'; sleep 0.2; printf ' three\\nend'", False, True),
        ("[2/4] COPY data /data", False, True),
        ("[internal] load build context", False, True),
        ("[1/4] FROM docker.io/library/debian:bookworm-slim", True, True),
    ]


def test_a_recorded_build_has_the_lines_of_its_steps() -> None:
    assert [event.line for event in recorded("build.jsonl") if isinstance(event, LogEvent)] == [
        "one",
        "two three",
        "end",
        "broken",
    ]


def test_a_recorded_build_tells_the_bytes_of_its_context() -> None:
    transfers = [event for event in recorded("build.jsonl") if isinstance(event, TransferEvent)]
    assert max(event.current_bytes for event in transfers if event.name == "transferring context:") > 100_000


def test_a_recorded_failure_names_its_step() -> None:
    assert track(recorded("build.jsonl")).failed() == FailedStep(
        name="[4/4] RUN echo broken >&2; exit 3",
        error='process "/bin/sh -c echo broken >&2; exit 3" did not complete successfully: exit code: 3',
        output=("broken",),
    )
