"""Own what is kept of one image's way through a run, phases, steps and checks, and how a report spells it."""

import math
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from builder.console import short_name
from builder.trace import Event, StepEvent, TransferEvent

if TYPE_CHECKING:
    from builder.smoke import Check

_STAGE = re.compile(r"\[(?:[\w/.-]+/[\w.-]+ )?([\w.-]+) +\d+/\d+\] ")  # a platform may stand before the stage
_INTERNAL = "[internal]"

Json: TypeAlias = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Phase:
    """One thing that is done with an image: build, smoke test, tag; times are seconds since 1970 on this machine."""

    name: str
    started_s: float
    completed_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One step of a build that has begun; times are seconds since 1970 on the engine's clock."""

    name: str
    stage: str
    started_s: float
    completed_s: float | None
    cached: bool
    moved_bytes: int
    error: str


class Recorder:
    """Keeps what one image goes through; one thread at a time tells it."""

    def __init__(self) -> None:
        self.phases: tuple[Phase, ...] = ()
        self.checks: tuple[Check, ...] = ()
        self._events: dict[str, StepEvent] = {}
        self._moved: dict[str, dict[str, int]] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Keep how long the block takes, also where it fails: its phase is then the last one."""
        begun = Phase(name=name, started_s=time.time(), completed_s=time.time())
        before = self.phases
        self.phases = (*before, begun)
        try:
            yield
        finally:
            self.phases = (*before, replace(begun, completed_s=time.time()))

    def check(self, check: "Check") -> None:
        """Keep a check, whether it passed or not."""
        self.checks = (*self.checks, check)

    def observe(self, event: Event) -> None:
        """Keep what the engine tells of a step; BuildKit tells the end of some twice, and the first is kept."""
        if isinstance(event, StepEvent):
            known = self._events.get(event.step)
            if known is None or known.completed_s is None:
                self._events[event.step] = event
        elif isinstance(event, TransferEvent):
            self._moved.setdefault(event.step, {})[event.name] = event.current_bytes

    @property
    def steps(self) -> tuple[Step, ...]:
        """Every step that has begun, in the order of its beginning, without those that are BuildKit's own."""
        steps = [self._step(event) for event in self._events.values() if not event.name.startswith(_INTERNAL)]
        return tuple(sorted((step for step in steps if step is not None), key=lambda step: step.started_s))

    def _step(self, event: StepEvent) -> Step | None:
        if event.started_s is None:
            return None
        stage = _STAGE.match(event.name)
        return Step(
            name=event.name,
            stage=stage[1] if stage else event.name,
            started_s=event.started_s,
            completed_s=event.completed_s,
            cached=event.cached,
            moved_bytes=sum(self._moved.get(event.step, {}).values()),
            error=event.error,
        )


def phases(held: Iterable[Phase]) -> list[Json]:
    """Return what a report says of phases."""
    return [_phase(phase) for phase in held]


def _phase(phase: Phase) -> Json:
    duration_s = round(max(0.0, phase.completed_s - phase.started_s), 3)
    return {"name": phase.name, "started_at": moment(phase.started_s), "duration_s": duration_s}


def stages(steps: Iterable[Step]) -> list[Json]:
    """Gather steps by their stage, in the order in which the stages began."""
    stages: dict[str, list[Step]] = {}
    for step in steps:
        stages.setdefault(step.stage, []).append(step)
    return [_stage(short_name(name), held) for name, held in stages.items()]


def _stage(name: str, steps: list[Step]) -> Json:
    ran = [step for step in steps if not step.cached] or steps
    spans = [(step.started_s, step.completed_s) for step in ran if step.completed_s is not None]
    return {
        "name": name,
        "started_at": moment(min(step.started_s for step in ran)),
        "duration_s": round(busy_s(spans), 3) if len(spans) == len(ran) else None,
        "cached": all(step.cached for step in steps),
        "moved_bytes": sum(step.moved_bytes for step in steps),
        "failed": any(step.error for step in steps),
        "steps": [_step(step) for step in steps],
    }


def busy_s(spans: Iterable[tuple[float, float]]) -> float:
    """Add up when at least one of `spans` went on: a stage has gaps, in which it waits for another."""
    total_s, until_s = 0.0, -math.inf
    for began_s, ended_s in sorted(spans):
        total_s += max(0.0, ended_s - max(began_s, until_s))
        until_s = max(until_s, ended_s)
    return total_s


def _step(step: "Step") -> Json:
    return {
        "name": short_name(step.name),
        "started_at": moment(step.started_s),
        "duration_s": None if step.completed_s is None else round(max(0.0, step.completed_s - step.started_s), 3),
        "cached": step.cached,
        "moved_bytes": step.moved_bytes,
        "error": step.error or None,
    }


def moment(seconds: float) -> str:
    """Write a time as RFC 3339 does, in UTC and with milliseconds."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
