import pytest

from builder.record import Recorder, Step, busy_s
from builder.smoke import Check
from builder.trace import LogEvent, StepEvent, TransferEvent


def step(name: str, *, started_s: float = 1.0, completed_s: float | None = 2.0, cached: bool = False) -> StepEvent:
    return StepEvent(step=name, name=name, started_s=started_s, completed_s=completed_s, cached=cached)


def recorded(*events: StepEvent | TransferEvent | LogEvent) -> tuple[Step, ...]:
    recorder = Recorder()
    for event in events:
        recorder.observe(event)
    return recorder.steps


def test_a_step_is_kept_with_its_stage_and_the_bytes_it_moved() -> None:
    name = "[model-a 2/2] RUN x"
    moved = [
        TransferEvent(step=name, name=layer, action="downloading", current_bytes=count, total_bytes=9)
        for layer, count in (("one", 1), ("one", 5), ("two", 3))
    ]
    assert recorded(step(name, completed_s=None), *moved, LogEvent(step=name, line="hello"), step(name)) == (
        Step(name=name, stage="model-a", started_s=1.0, completed_s=2.0, cached=False, moved_bytes=8, error=""),
    )


def test_stages_are_read_of_any_spelling_and_other_steps_are_their_own() -> None:
    names = ["[a  2/10] RUN x", "[linux/amd64 b 1/1] RUN x", "exporting to image", "[auth] pull"]
    assert [kept.stage for kept in recorded(*map(step, names))] == ["a", "b", "exporting to image", "[auth] pull"]


def test_the_engine_s_own_steps_and_those_that_never_began_are_left_out() -> None:
    waiting = StepEvent(step="w", name="[a 1/1] RUN x")
    assert recorded(step("[internal] load build definition"), waiting) == ()


def test_of_a_step_that_ends_twice_the_first_end_is_kept() -> None:
    (kept,) = recorded(step("[a 1/1] RUN x"), step("[a 1/1] RUN x", completed_s=9.0, cached=True))
    assert (kept.completed_s, kept.cached) == (2.0, False)


def test_steps_are_in_the_order_of_their_beginning() -> None:
    kept = recorded(step("[b 1/1] RUN x", started_s=2.0), step("[a 1/1] RUN x", started_s=1.0))
    assert [one.stage for one in kept] == ["a", "b"]


def test_a_phase_that_fails_is_the_last_one() -> None:
    recorder = Recorder()
    with recorder.phase("build"):
        pass
    with pytest.raises(KeyboardInterrupt), recorder.phase("smoke test"):
        raise KeyboardInterrupt
    assert [phase.name for phase in recorder.phases] == ["build", "smoke test"]
    assert all(phase.completed_s >= phase.started_s for phase in recorder.phases)


def test_checks_are_kept_in_order() -> None:
    recorder, checks = Recorder(), [Check(name=name, detail="", duration_s=0.0) for name in ("one", "two")]
    for check in checks:
        recorder.check(check)
    assert recorder.checks == tuple(checks)


@pytest.mark.parametrize(
    ("spans", "seconds"),
    [([], 0), ([(0, 2), (5, 6)], 3), ([(0, 4), (1, 2), (3, 5)], 5), ([(3, 5), (0, 4)], 5), ([(1, 1)], 0)],
)
def test_time_is_busy_once_however_many_steps_go_on(spans: list[tuple[float, float]], seconds: float) -> None:
    assert busy_s(spans) == seconds
