"""Own the geometry of a run's timeline: what went on when, in per cent of its width; pure, and it writes no markup."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from builder.console import size
from builder.record import busy_s

Report = Mapping[str, Any]
Kind = Literal["planning", "waiting", "build", "test", "tag", "push", "other", "ran", "cached", "failed", "stopped"]

_PHASES: Mapping[str, Kind] = {
    "build": "build",
    "second build": "build",
    "smoke test": "test",
    "gates": "test",
    "attest": "tag",
    "tag": "tag",
    "push": "push",
}
_MOST_TICKS = 6
_LEAST_WIDTH = 0.4  # per cent, so that what took no time is seen
_CLOCKS_DIFFER_S = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """One span of a row; `left` and `width` are per cent of the timeline."""

    kind: Kind
    left: float
    width: float
    title: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One line of the timeline, and the same in words; seconds are from the run's beginning."""

    name: str
    began_s: float | None
    took_s: float | None
    said: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Lane:
    """The rows of an image: itself with its phases, then its stages."""

    image: Row
    stages: tuple[Row, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Tick:
    """A place on the axis."""

    left: float
    label: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Timeline:
    """A run from its beginning to its end; `planning` is what came before the first image."""

    ticks: tuple[Tick, ...]
    planning: Row | None
    lanes: tuple[Lane, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Span:
    name: str
    began_s: float
    ended_s: float
    kind: Kind


class _Scale:
    """Puts seconds on the width of the timeline."""

    def __init__(self, total_s: float) -> None:
        self.total_s = max(total_s, 1e-3)

    def bar(self, span: _Span) -> Bar:
        left = min(max(0.0, span.began_s / self.total_s * 100), 100 - _LEAST_WIDTH)
        width = max(_LEAST_WIDTH, (span.ended_s - span.began_s) / self.total_s * 100)
        took = "cached" if span.kind == "cached" else duration(span.ended_s - span.began_s)
        return Bar(
            kind=span.kind, left=round(left, 3), width=round(min(width, 100 - left), 3), title=f"{span.name}: {took}"
        )


def make(report: Report) -> Timeline | None:
    """Lay out a report; None where no image was begun."""
    origin = _seconds(report["started_at"])
    phases = {image["name"]: _phases(image, origin) for image in report["images"] if image["phases"]}
    if not phases:
        return None
    first_s = min(spans[0].began_s for spans in phases.values())
    scale = _Scale(max(report["duration_s"], *(spans[-1].ended_s for spans in phases.values())))
    steps = {image["name"]: _Steps(image, phases[image["name"]], origin) for image in _begun(report)}
    lanes = [
        Lane(
            image=_image_row(image, phases[image["name"]], first_s=first_s, scale=scale),
            stages=tuple(_stage_rows(image, steps, scale)),
        )
        for image in _begun(report)
    ]
    return Timeline(ticks=ticks(scale.total_s), planning=_planning(first_s, scale), lanes=tuple(lanes))


def _begun(report: Report) -> list[Report]:
    return [image for image in report["images"] if image["phases"]]


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


def _phases(image: Report, origin: float) -> list[_Span]:
    spans = []
    for phase in image["phases"]:
        began_s = _seconds(phase["started_at"]) - origin
        kind = _PHASES.get(phase["name"], "other")
        spans.append(_Span(name=phase["name"], began_s=began_s, ended_s=began_s + phase["duration_s"], kind=kind))
    if image["result"] in {"failed", "interrupted"}:
        last = spans[-1]
        kind = "failed" if image["result"] == "failed" else "stopped"
        spans[-1] = _Span(name=last.name, began_s=last.began_s, ended_s=last.ended_s, kind=kind)
    return spans


def _planning(first_s: float, scale: _Scale) -> Row:
    span = _Span(name="planning", began_s=0.0, ended_s=first_s, kind="planning")
    said = "manifest, lock and plan"
    return Row(name="planning", began_s=0.0, took_s=first_s, said=said, bars=(scale.bar(span),))


def _image_row(image: Report, phases: Sequence[_Span], *, first_s: float, scale: _Scale) -> Row:
    waited_s = phases[0].began_s - first_s
    waiting = _Span(name="waiting for its turn", began_s=first_s, ended_s=phases[0].began_s, kind="waiting")
    said = [f"{phase.name} {duration(phase.ended_s - phase.began_s)}" for phase in phases]
    has_waited = waited_s >= 0.1
    if has_waited:
        said.insert(0, f"waited {duration(waited_s)} for its turn")
    spans = [waiting, *phases] if has_waited else phases
    return Row(
        name=image["name"],
        began_s=phases[0].began_s,
        took_s=phases[-1].ended_s - phases[0].began_s,
        said=", ".join(said),
        bars=tuple(scale.bar(span) for span in spans),
    )


class _Steps:
    """The steps of one image by their stages, put on this machine's clock."""

    def __init__(self, image: Report, phases: Sequence[_Span], origin: float) -> None:
        build = phases[0]
        began = [_seconds(step["started_at"]) - origin for stage in image["stages"] for step in stage["steps"]]
        ended = [
            _seconds(step["started_at"]) - origin + step["duration_s"]
            for stage in image["stages"]
            for step in stage["steps"]
            if step["duration_s"] is not None
        ]
        self._shift_s = 0.0
        if began and (
            min(began) < build.began_s - _CLOCKS_DIFFER_S or max(began + ended) > build.ended_s + _CLOCKS_DIFFER_S
        ):
            self._shift_s = build.began_s - min(began)  # the engine is another machine, with a clock of its own
        self._origin, self._end_s = origin, build.ended_s
        self.stages = {stage["name"]: [self._span(step) for step in stage["steps"]] for stage in image["stages"]}

    def _span(self, step: Report) -> _Span:
        began_s = _seconds(step["started_at"]) - self._origin + self._shift_s
        ended_s = self._end_s if step["duration_s"] is None else began_s + step["duration_s"]
        return _Span(name=step["name"], began_s=began_s, ended_s=max(began_s, ended_s), kind=_kind(step))


def _kind(step: Report) -> Kind:
    if step["error"]:
        return "stopped" if step["error"].endswith("canceled") else "failed"
    if step["cached"]:
        return "cached"
    return "stopped" if step["duration_s"] is None else "ran"


def _stage_rows(image: Report, steps: Mapping[str, _Steps], scale: _Scale) -> Iterator[Row]:
    """Yield a row for each stage that ran, and one for all that came from the cache whole."""
    cached = [stage for stage in image["stages"] if stage["cached"]]
    for stage in image["stages"]:
        if not stage["cached"]:
            yield _stage_row(image["name"], stage, steps, scale)
    if cached:
        spans = [span for stage in cached for span in steps[image["name"]].stages[stage["name"]]]
        names = ", ".join(stage["name"] for stage in cached)
        count = f"{len(cached)} stages" if len(cached) > 1 else "1 stage"
        bars = tuple(scale.bar(span) for span in spans)
        yield Row(name=f"{count} cached", began_s=None, took_s=None, said=names, bars=bars)


def _stage_row(image: str, stage: Report, steps: Mapping[str, _Steps], scale: _Scale) -> Row:
    spans = steps[image].stages[stage["name"]]
    ran = [span for span in spans if span.kind != "cached"]
    moved = [size(stage["moved_bytes"])] if stage["moved_bytes"] else []
    cached = [f"{len(spans) - len(ran)} of {len(spans)} steps cached"] if len(ran) < len(spans) else []
    failed = ["failed"] if any(span.kind == "failed" for span in spans) else []
    others = _sharers(image, ran, steps)
    shared = [f"shared with {', '.join(others)}"] if others else []
    return Row(
        name=stage["name"],
        began_s=min(span.began_s for span in ran or spans),
        took_s=busy_s((span.began_s, span.ended_s) for span in ran or spans),
        said=", ".join([*failed, *moved, *cached, *shared]),
        bars=tuple(scale.bar(span) for span in spans),
    )


def _sharers(image: str, spans: Sequence[_Span], steps: Mapping[str, _Steps]) -> list[str]:
    """Name the images that tell of one of these steps too: BuildKit does it once, and each build has its times."""
    told = {(span.name, span.began_s, span.ended_s) for span in spans if span.ended_s > span.began_s}
    return [
        other
        for other, held in steps.items()
        if other != image
        and any((span.name, span.began_s, span.ended_s) in told for stage in held.stages.values() for span in stage)
    ]


def ticks(total_s: float) -> tuple[Tick, ...]:
    """Choose round places on an axis of `total_s` seconds, at most six apart from its beginning."""
    unit = 10.0 ** math.floor(math.log10(total_s / _MOST_TICKS))
    step = next(unit * factor for factor in (1, 2, 5, 10) if total_s / (unit * factor) <= _MOST_TICKS)
    places = [index * step for index in range(int(total_s / step) + 1)]
    return tuple(Tick(left=round(place / total_s * 100, 3), label=f"{place:g} s") for place in places)


def duration(seconds: float) -> str:
    """Write how long something took: `0.4 s`, `2 min 5 s`."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"
