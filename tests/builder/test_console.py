import io
import re

import pytest

from builder.console import Console, short_name, size
from builder.errors import BuildFailedError, InputError, Problem, ProblemsError, SmokeFailedError
from builder.marks import GitHubMarks, GitLabMarks, Marks
from builder.trace import Event, LogEvent, StepEvent, TransferEvent, WarningEvent


class Screen:
    """A console and what it has written."""

    def __init__(self, *, is_quiet: bool = False, marks: Marks | None = None) -> None:
        self.out, self.err = io.StringIO(), io.StringIO()
        self.console = Console(out=self.out, err=self.err, is_quiet=is_quiet, marks=marks)

    def show(self, *events: Event) -> str:
        for event in events:
            self.console.event("image", event)
        return self.err.getvalue()


def started(name: str = "[a 1/2] RUN x") -> StepEvent:
    return StepEvent(step="1", name=name, started_s=10.0)


def ended(name: str = "[a 1/2] RUN x", *, cached: bool = False, error: str = "") -> StepEvent:
    return StepEvent(step="1", name=name, started_s=10.0, completed_s=12.5, cached=cached, error=error)


def test_a_step_is_a_line_when_it_has_ended() -> None:
    assert Screen().show(started()) == ""
    assert Screen().show(started(), ended()) == "    2.5s image: [a 1/2] RUN x\n"


def test_a_cached_step_says_so() -> None:
    assert Screen().show(ended(cached=True)) == "  cached  image: [a 1/2] RUN x\n"


def test_a_failed_step_says_so() -> None:
    assert Screen().show(started(), ended(error="exit code 1")) == "  failed  image: [a 1/2] RUN x\n"


def test_a_step_that_ends_twice_is_told_once() -> None:
    assert Screen().show(started(), ended(), ended(cached=True)) == "    2.5s image: [a 1/2] RUN x\n"


def test_internal_steps_are_not_shown() -> None:
    assert Screen().show(ended("[internal] load build definition")) == ""


def test_the_bytes_that_a_step_moved_are_told() -> None:
    transfer = TransferEvent(
        step="1", action="downloading", name="layer", current_bytes=1_500_000, total_bytes=1_500_000
    )
    assert Screen().show(started(), transfer, ended()) == "    2.5s image: [a 1/2] RUN x 1.5 MB\n"


def test_the_live_lines_show_bytes_and_the_last_words_of_a_step() -> None:
    screen = Screen()
    transfer = TransferEvent(step="1", action="downloading", name="layer", current_bytes=500_000, total_bytes=2_000_000)
    screen.show(started(), transfer, LogEvent(step="1", line="unpacking"))
    (line,) = screen.console.running_lines()
    assert line.endswith("s image: [a 1/2] RUN x 500 kB of 2 MB  unpacking")


def test_a_lint_warning_is_shown() -> None:
    assert Screen().show(WarningEvent(message="LegacyKeyValueFormat")) == "warning: image: LegacyKeyValueFormat\n"


def test_quiet_leaves_warnings_and_errors() -> None:
    screen = Screen(is_quiet=True)
    screen.console.say("step")
    screen.console.warn("careful")
    screen.console.error(InputError("wrong"))
    assert screen.err.getvalue() == "warning: careful\nerror: wrong\n"


def test_results_go_to_stdout_and_everything_else_to_stderr() -> None:
    screen = Screen()
    screen.console.result("table")
    screen.console.say("step")
    assert (screen.out.getvalue(), screen.err.getvalue()) == ("table\n", "step\n")


def test_no_secret_passes_by_any_way() -> None:
    screen = Screen()
    screen.console.hide({"hf_secret", "hf_secret_longer", ""})
    screen.console.result("a hf_secret")
    screen.console.say("b hf_secret_longer")
    screen.console.error(BuildFailedError("c hf_secret", output=("d hf_secret",), hint="e hf_secret"))
    screen.show(started("[a] RUN echo hf_secret"), ended("[a] RUN echo hf_secret"))
    assert screen.out.getvalue() == "a ***\n"
    assert screen.err.getvalue() == (
        "b ***\nerror: c ***\n    | d ***\nhint: e ***\n    2.5s image: [a] RUN echo ***\n"
    )


def test_problems_are_an_error_and_a_hint_each() -> None:
    problems = [
        Problem(file="m.yaml", line=3, path="a.b", message="is wrong", hint="do c"),
        Problem(file="m.yaml", message="x"),
    ]
    screen = Screen()
    screen.console.error(ProblemsError(problems))
    assert screen.err.getvalue() == "error: m.yaml:3: `a.b`: is wrong\nhint: do c\nerror: m.yaml: x\n"


def test_a_smoke_failure_shows_the_container_s_last_lines() -> None:
    screen = Screen()
    screen.console.error(SmokeFailedError("starts: not ready", output=("one", "two"), hint="look"))
    assert screen.err.getvalue() == "error: starts: not ready\n    | one\n    | two\nhint: look\n"


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("[a 1/2] FROM debian", "[a 1/2] FROM debian"),
        ("[a 2/2] RUN --mount=type=secret,id=x --network=none echo hello", "[a 2/2] RUN echo hello"),
        ('[a 2/2] RUN --mount=type=bind ["sh", "/stages/network.sh", "sh", "/stages/x.sh", "1"]', "[a 2/2] RUN x.sh 1"),
        ("[a 2/2] ONBUILD RUN [ -d /etc ] && echo x", "[a 2/2] ONBUILD RUN [ -d /etc ] && echo x"),
        ("[r 3/3] COPY --link --from=a /out/ /", "[r 3/3] COPY --from=a /out/ /"),
    ],
)
def test_a_step_s_name_is_shortened(name: str, short: str) -> None:
    assert short_name(name) == short


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (1_230_000, "1.23 MB"), (4_560_000_000, "4.56 GB")]
)
def test_sizes_are_decimal(count: int, text: str) -> None:
    assert size(count) == text


def test_streams_that_the_parent_has_closed_take_everything() -> None:
    console = Console(out=None, err=None)
    console.result("result")
    console.error(InputError("wrong"))


def test_outside_of_a_pipeline_nothing_is_folded() -> None:
    screen = Screen()
    with screen.console.folded("image", is_alone=False):
        screen.console.say("step", image="image")
    assert screen.err.getvalue() == "step\n"


def test_an_image_that_is_made_alone_is_a_fold_that_grows() -> None:
    screen = Screen(marks=GitHubMarks())
    with screen.console.folded("image", is_alone=True):
        screen.show(started(), ended())
        assert screen.err.getvalue() == "::group::image\n    2.5s image: [a 1/2] RUN x\n"
    assert screen.err.getvalue().endswith("\n::endgroup::\n")


def test_of_images_that_are_made_together_each_comes_whole_at_its_end() -> None:
    screen = Screen(marks=GitHubMarks())
    with screen.console.folded("one", is_alone=False):
        with screen.console.folded("two", is_alone=False):
            screen.console.say("first", image="one")
            screen.console.say("second", image="two")
            screen.console.say("between")
        screen.console.say("third", image="one")
    assert re.sub(r"\d+\.\d s", "0.0 s", screen.err.getvalue()).splitlines() == [
        *("between", "::group::two: 0.0 s", "second", "::endgroup::"),
        *("::group::one: 0.0 s", "first", "third", "::endgroup::"),
    ]


def test_an_interrupted_image_shows_what_it_had_to_say() -> None:
    screen = Screen(marks=GitHubMarks())

    def interrupted() -> None:
        with screen.console.folded("image", is_alone=False):
            screen.console.say("step", image="image")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert screen.err.getvalue().splitlines()[1:] == ["step", "::endgroup::"]


def test_a_section_of_gitlab_ends_under_the_name_it_began_with() -> None:
    screen = Screen(marks=GitLabMarks())
    with screen.console.folded("image", is_alone=True):
        screen.console.say("step", image="image")
    written = re.fullmatch(
        r"\x1b\[0Ksection_start:\d+:(build-image-image-\d+)\r\x1b\[0Kimage\n"
        r"step\n\x1b\[0Ksection_end:\d+:(build-image-image-\d+)\r\x1b\[0K\n",
        screen.err.getvalue(),
    )
    assert written
    assert written[1] == written[2]


def test_quiet_folds_nothing() -> None:
    screen = Screen(is_quiet=True, marks=GitHubMarks())
    with screen.console.folded("image", is_alone=True):
        screen.console.say("step", image="image")
    assert screen.err.getvalue() == ""


def test_errors_are_annotations_with_the_last_lines_below_them() -> None:
    screen = Screen(marks=GitHubMarks())
    screen.console.error(SmokeFailedError("starts: no", output=("::error::x", "two"), hint="look"), image="image")
    screen.console.warn("careful")
    assert screen.err.getvalue().splitlines() == [
        "::error title=image::starts: no%0Ahint: look",
        "    | ::error::x",
        "    | two",
        "::warning::careful",
    ]


def test_problems_are_annotations_at_their_places() -> None:
    screen = Screen(marks=GitHubMarks())
    problems = [Problem(file="m.yaml", line=3, path="a.b", message="is wrong", hint="do c")]
    screen.console.error(ProblemsError(problems, hint="and d"))
    assert screen.err.getvalue() == "::error file=m.yaml,line=3::`a.b`: is wrong%0Ahint: do c\nhint: and d\n"


def test_no_secret_passes_because_an_annotation_spells_it_otherwise() -> None:
    screen = Screen(marks=GitHubMarks())
    screen.console.hide({"50%off"})
    screen.console.error(BuildFailedError("a 50%off", hint="b 50%off"), image="50%off")
    assert "50%" not in screen.err.getvalue()


def test_what_a_step_says_is_no_command_of_the_pipeline() -> None:
    screen = Screen(marks=GitHubMarks())
    screen.console.say("a\n::add-mask::b")
    screen.show(ended(name="[a 1/1] RUN echo ##[error]x"))
    assert screen.err.getvalue() == "a\n: :add-mask::b\n    2.5s image: [a 1/1] RUN echo ## [error]x\n"
