"""Own the decoding of BuildKit's progress: protobuf traces to events, events to the state of every step; no output."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from builder import wire
from builder.wire import Fields

KEPT_LINES = 20
CANCELLED = "context canceled"


@dataclass(frozen=True, kw_only=True, slots=True)
class StepEvent:
    """What is known now of one step; times are seconds since 1970 on the engine's clock."""

    step: str
    name: str
    cached: bool = False
    started_s: float | None = None
    completed_s: float | None = None
    error: str = ""

    @property
    def duration_s(self) -> float | None:
        """Seconds from start to completion, None while it runs or waits."""
        if self.started_s is None or self.completed_s is None:
            return None
        return self.completed_s - self.started_s


@dataclass(frozen=True, kw_only=True, slots=True)
class TransferEvent:
    """How far one transfer of a step has come: `name` is what, `action` how; a total of 0 is not known."""

    step: str
    name: str
    action: str
    current_bytes: int
    total_bytes: int
    completed: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class LogEvent:
    """One line that a step wrote."""

    step: str
    line: str


@dataclass(frozen=True, kw_only=True, slots=True)
class WarningEvent:
    """A warning: a Dockerfile lint rule of the engine, or something that this program tells."""

    message: str
    detail: str = ""
    url: str = ""


Event: TypeAlias = StepEvent | TransferEvent | LogEvent | WarningEvent


class Sorter:
    """Put what one status tells in the order in which it happened; lines that come in pieces are joined per step."""

    def __init__(self) -> None:
        self._unfinished: dict[str, bytes] = {}

    def events(
        self,
        *,
        steps: Sequence[StepEvent],
        transfers: Iterable[TransferEvent],
        logs: Iterable[tuple[str, bytes]],
        warnings: Iterable[WarningEvent],
    ) -> list[Event]:
        """Return the events; `logs` are pieces of what steps wrote, each with its step."""
        events: list[Event] = [*transfers]
        for step, written in logs:
            events += self._lines(step, written)
        events += warnings
        # A step's end comes after its last lines, its beginning before its first.
        begun = [step for step in steps if step.completed_s is None]
        ended = [step for step in steps if step.completed_s is not None]
        rests = [event for step in ended for event in self._flush(step.step)]
        return [*begun, *events, *rests, *ended]

    def _lines(self, step: str, written: bytes) -> Iterator[LogEvent]:
        *lines, rest = (self._unfinished.pop(step, b"") + written).split(b"\n")
        if rest:
            self._unfinished[step] = rest
        for line in lines:
            yield LogEvent(step=step, line=_readable(line))

    def _flush(self, step: str) -> Iterator[LogEvent]:
        if rest := self._unfinished.pop(step, b""):
            yield LogEvent(step=step, line=_readable(rest))


class TraceDecoder:
    """Decode the StatusResponse messages of one build."""

    def __init__(self) -> None:
        self._sorter = Sorter()

    def decode(self, status: bytes) -> list[Event]:
        """Decode one StatusResponse; raise ValueError where it is malformed."""
        response = wire.parse(status)
        logs = map(wire.parse, wire.contents(response, 3))
        return self._sorter.events(
            steps=[_step(wire.parse(vertex)) for vertex in wire.contents(response, 1)],
            transfers=[_transfer(wire.parse(transfer)) for transfer in wire.contents(response, 2)],
            logs=[(wire.text(log, 1), b"".join(wire.contents(log, 4))) for log in logs],
            warnings=[_warning(wire.parse(warning)) for warning in wire.contents(response, 4)],
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class FailedStep:
    """The step that a build failed at, with the last lines it wrote."""

    name: str
    error: str
    output: tuple[str, ...]


class StepTracker:
    """Fold events into the newest state of every step, in the order in which the steps were first told."""

    def __init__(self) -> None:
        self.steps: dict[str, StepEvent] = {}
        self._lines: dict[str, deque[str]] = {}

    def observe(self, event: Event) -> None:
        """Take one event."""
        if isinstance(event, StepEvent):
            self.steps[event.step] = event
        elif isinstance(event, LogEvent):
            self._lines.setdefault(event.step, deque(maxlen=KEPT_LINES)).append(event.line)

    def failed(self) -> FailedStep | None:
        """Find the step that failed of itself, not the ones cancelled because of it."""
        for step in self.steps.values():
            if step.error and not step.error.endswith(CANCELLED):
                return FailedStep(name=step.name, error=step.error, output=tuple(self._lines.get(step.step, ())))
        return None


def _step(vertex: Fields) -> StepEvent:
    return StepEvent(
        step=wire.text(vertex, 1),
        name=wire.text(vertex, 3),
        cached=bool(wire.number(vertex, 4)),
        started_s=_seconds(vertex, 5),
        completed_s=_seconds(vertex, 6),
        error=wire.text(vertex, 7),
    )


def _transfer(status: Fields) -> TransferEvent:
    return TransferEvent(
        step=wire.text(status, 2),
        name=wire.text(status, 1),
        action=wire.text(status, 3),
        current_bytes=wire.number(status, 4),
        total_bytes=wire.number(status, 5),
        completed=8 in status,
    )


def _warning(warning: Fields) -> WarningEvent:
    detail = b"\n".join(wire.contents(warning, 4)).decode(errors="replace")
    return WarningEvent(message=wire.text(warning, 3), detail=detail, url=wire.text(warning, 5))


def _seconds(fields: Fields, key: int) -> float | None:
    """Read a protobuf Timestamp."""
    if key not in fields:
        return None
    timestamp = wire.parse(b"".join(wire.contents(fields, key)))
    return wire.number(timestamp, 1) + wire.number(timestamp, 2) / 1e9


def _readable(line: bytes) -> str:
    """Decode a line; of one that a progress bar has overwritten, the last state."""
    return line.decode(errors="replace").rstrip("\r").rpartition("\r")[2]
