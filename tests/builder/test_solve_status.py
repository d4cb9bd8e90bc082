"""Lines as buildx 0.13 writes them, with other texts."""

import base64
import json
from typing import Any

from builder.solve_status import StatusDecoder
from builder.trace import LogEvent, StepEvent, TransferEvent, WarningEvent

STEP = "sha256:" + "1" * 64


def line(**status: Any) -> str:
    return json.dumps(status)


def log(text: str) -> dict[str, Any]:
    return {"vertex": STEP, "stream": 1, "data": base64.b64encode(text.encode()).decode()}


def test_a_step_has_its_times_to_the_microsecond() -> None:
    vertex = {
        "digest": STEP,
        "name": "[1/2] RUN a",
        "started": "2026-11-23T23:00:00.000000999Z",
        "completed": "2026-11-23T23:00:01.5Z",
        "cached": True,
    }
    assert StatusDecoder().decode(line(vertexes=[vertex])) == [
        StepEvent(step=STEP, name="[1/2] RUN a", cached=True, started_s=1795474800.0, completed_s=1795474801.5)
    ]


def test_lines_come_before_the_end_of_their_step_and_pieces_are_joined() -> None:
    decoder = StatusDecoder()
    begun = {"digest": STEP, "name": "a", "started": "2026-11-23T23:00:00Z"}
    ended = {**begun, "completed": "2026-11-23T23:00:01Z", "error": "exit code: 1"}
    first = decoder.decode(line(vertexes=[begun], logs=[log("one\ntw")]))
    second = decoder.decode(line(vertexes=[ended], logs=[log("o")]))
    assert (first or [])[1:] == [LogEvent(step=STEP, line="one")]
    assert (second or [])[0] == LogEvent(step=STEP, line="two")
    assert isinstance((second or [])[1], StepEvent)


def test_bytes_that_move_and_warnings_are_told() -> None:
    moved = {"id": "sha256:layer", "vertex": STEP, "name": "extracting", "current": 3, "total": 7}
    short = base64.b64encode(b"LegacyKeyValueFormat").decode()
    detail = base64.b64encode(b"use KEY=value").decode()
    warned = {"short": short, "detail": [detail], "url": "https://docs.example.com"}
    assert StatusDecoder().decode(line(statuses=[moved], warnings=[warned])) == [
        TransferEvent(step=STEP, name="sha256:layer", action="extracting", current_bytes=3, total_bytes=7),
        WarningEvent(message="LegacyKeyValueFormat", detail="use KEY=value", url="https://docs.example.com"),
    ]


def test_a_status_may_stand_on_many_lines() -> None:
    decoder = StatusDecoder()
    lines = json.dumps({"logs": [log("one\n")]}, indent=2).splitlines(keepends=True)
    events = [decoder.decode(text) for text in [*lines, "ERROR: after it\n"]]
    assert events[-2:] == [[LogEvent(step=STEP, line="one")], None]
    assert events[:-2] == [[]] * (len(lines) - 1)


def test_what_is_no_status_is_left_to_others() -> None:
    decoder = StatusDecoder()
    assert [decoder.decode(text) for text in ("ERROR: no builder", "12", "")] == [None, None, None]
