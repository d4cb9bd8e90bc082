from dataclasses import replace
from itertools import pairwise

import pytest

from builder import timeline
from builder.result import ImageResult
from builder.timeline import Lane, Row, Timeline
from tests.builder import reported


def laid_out(*results: ImageResult, shift_s: float = 0.0) -> Timeline:
    """Lay out a run, of which the engine's clock is `shift_s` ahead."""
    shifted = [
        replace(
            result,
            steps=tuple(
                replace(
                    step,
                    started_s=step.started_s + shift_s,
                    completed_s=None if step.completed_s is None else step.completed_s + shift_s,
                )
                for step in result.steps
            ),
        )
        for result in results
    ]
    made = timeline.make(reported.report(*shifted))
    assert made is not None
    return made


def lane(made: Timeline, name: str) -> Lane:
    return next(lane for lane in made.lanes if lane.image.name == name)


def stages(made: Lane) -> dict[str, Row]:
    return {row.name: row for row in made.stages}


def seconds(row: Row, total_s: float = 28.0) -> list[tuple[str, float, float]]:
    """Return the kind, beginning and end of each bar of a row, as the run had them."""
    return [
        (bar.kind, round(bar.left * total_s / 100, 1), round((bar.left + bar.width) * total_s / 100, 1))
        for bar in row.bars
    ]


EVERYTHING = laid_out(*reported.ALL)


def test_a_run_in_which_no_image_began_has_no_timeline() -> None:
    assert timeline.make(reported.report()) is None
    assert timeline.make(reported.report(reported.WAITING)) is None


def test_what_came_before_the_images_is_planning() -> None:
    assert EVERYTHING.planning is not None
    assert seconds(EVERYTHING.planning) == [("planning", 0.0, 2.0)]


def test_an_image_has_its_phases_in_their_places() -> None:
    row = lane(EVERYTHING, "retrieval").image
    assert seconds(row) == [("build", 2.0, 22.0), ("test", 22.0, 24.0), ("tag", 24.0, 24.1)]
    assert row.said == "build 20.0 s, smoke test 2.0 s, tag 0.1 s"


def test_pushing_is_a_phase_like_the_others() -> None:
    row = lane(laid_out(reported.PUBLISHED), "retrieval").image
    assert seconds(row)[-1] == ("push", 24.1, 27.1)
    assert row.said.endswith("tag 0.1 s, push 3.0 s")


def test_an_image_that_waited_for_its_turn_says_so() -> None:
    row = lane(EVERYTHING, "weights").image
    assert seconds(row)[0] == ("waiting", 2.0, 23.1)
    assert row.said == "waited 21.1 s for its turn, build 0.8 s, smoke test 1.1 s, tag 0.1 s"
    assert row.bars[0].title == "waiting for its turn: 21.1 s"


def test_the_last_phase_of_an_image_that_did_not_end_well_is_where_it_ended() -> None:
    assert [bar.kind for bar in lane(EVERYTHING, "broken").image.bars] == ["build", "failed"]
    assert [bar.kind for bar in lane(EVERYTHING, "stopped").image.bars] == ["waiting", "stopped"]


def test_stages_that_ran_have_a_row_each_with_every_step_in_it() -> None:
    rows = stages(lane(EVERYTHING, "retrieval"))
    assert list(rows) == [
        *("python-deps", "model-embedder", "model-reranker", "assembled", "app", "golden", "exporting to image")
    ]
    assert seconds(rows["assembled"]) == [("ran", 2.3, 11.3), ("ran", 18.8, 19.4)]
    assert seconds(rows["python-deps"]) == [("cached", 2.2, 2.3), ("ran", 2.3, 18.8)]
    assert rows["model-embedder"].said == "90.8 MB"
    assert (rows["python-deps"].began_s, rows["python-deps"].took_s) == pytest.approx((2.3, 16.5))


def test_stages_that_came_from_the_cache_share_a_row() -> None:
    rows = stages(lane(EVERYTHING, "weights"))
    assert list(rows) == ["exporting to image", "2 stages cached"]
    assert rows["2 stages cached"].said == "model-embedder, model-reranker"
    assert {bar.kind for bar in rows["2 stages cached"].bars} == {"cached"}


def test_a_step_of_two_images_with_the_same_times_was_shared() -> None:
    rows = stages(lane(EVERYTHING, "retrieval"))
    assert rows["python-deps"].said == "1 of 2 steps cached, shared with broken"
    assert rows["app"].said == ""  # of one name and beginning, but not of one end


def test_a_stage_took_as_long_as_its_steps_did() -> None:
    assert stages(lane(EVERYTHING, "retrieval"))["assembled"].took_s == pytest.approx(9.6)


def test_a_step_that_was_stopped_reaches_to_the_end_of_the_build() -> None:
    rows = stages(lane(EVERYTHING, "stopped"))
    assert seconds(rows["python-deps"]) == [("stopped", 24.4, 27.0)]


@pytest.mark.parametrize(("error", "kind"), [("exit code: 1", "failed"), ("context canceled", "stopped")])
def test_a_step_that_failed_is_told_from_one_that_was_cancelled(error: str, kind: str) -> None:
    (first, *_) = reported.BROKEN.steps
    made = laid_out(replace(reported.BROKEN, steps=(replace(first, error=error),)))
    assert [bar.kind for bar in lane(made, "broken").stages[0].bars] == [kind]


@pytest.mark.parametrize("shift_s", [-3600.0, 3600.0, 30.0])
def test_an_engine_with_another_clock_has_its_steps_within_the_build(shift_s: float) -> None:
    here, there = laid_out(reported.RETRIEVAL), laid_out(reported.RETRIEVAL, shift_s=shift_s)
    widths = [[bar.width for row in lane(made, "retrieval").stages for bar in row.bars] for made in (here, there)]
    assert widths[0] == pytest.approx(widths[1])
    assert seconds(lane(there, "retrieval").stages[0])[0] == ("cached", 2.0, 2.1)


def test_no_bar_leaves_the_timeline_and_none_is_too_narrow_to_be_seen() -> None:
    bars = [bar for held in EVERYTHING.lanes for row in (held.image, *held.stages) for bar in row.bars]
    assert [bar for bar in bars if bar.left < 0 or bar.left + bar.width > 100.001 or bar.width < 0.399] == []


@pytest.mark.parametrize("total_s", [0.001, 0.7, 1, 6, 7, 28, 59, 60, 61, 300, 5_000])
def test_ticks_are_few_round_and_evenly_apart(total_s: float) -> None:
    ticks = timeline.ticks(total_s)
    assert 3 <= len(ticks) <= 7
    assert ticks[0].left == 0
    assert {round(second.left - first.left, 1) for first, second in pairwise(ticks)} == {round(ticks[1].left, 1)}


def test_ticks_say_the_seconds() -> None:
    assert [tick.label for tick in timeline.ticks(28)] == ["0 s", "5 s", "10 s", "15 s", "20 s", "25 s"]


@pytest.mark.parametrize(
    ("seconds_", "text"), [(0, "0.0 s"), (99.94, "99.9 s"), (100, "1 min 40 s"), (3600, "60 min 0 s")]
)
def test_a_duration_is_seconds_or_minutes(seconds_: float, text: str) -> None:
    assert timeline.duration(seconds_) == text
