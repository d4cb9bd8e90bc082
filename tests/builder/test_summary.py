from dataclasses import replace

import pytest

from builder import compare, summary
from builder.errors import BuildFailedError, Problem, ProblemsError
from builder.report import Report
from tests.builder import reported
from tests.conftest import Golden

EVERYTHING = reported.report(*reported.ALL, error=KeyboardInterrupt())


def markdown(report: Report, previous: Report | None = None) -> str:
    return summary.document(report, compare.growths(report, previous))


def test_the_summary_is_as_it_was(golden: Golden) -> None:
    golden.check(markdown(EVERYTHING, reported.older()), "summary.md")


def test_problems_are_told_with_their_places() -> None:
    problems = ProblemsError(
        [Problem(file="m.yaml", line=3, path="a.b", message="is <wrong>", hint="do c"), Problem(file="m`", message="x")]
    )
    assert markdown(reported.report(error=problems)) == (
        "## build-image: failed\n\n"
        "> **error:** `m.yaml:3` `a.b`: is &lt;wrong&gt;\n>\n"
        "> **hint:** do c\n>\n"
        "> **error:** m\\`: x\n"
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a | b", "a \\| b"),
        ("<img src=x onerror=alert(1)>", "&lt;img src=x onerror=alert(1)&gt;"),
        ("[link](https://evil)", "\\[link\\](https://evil)"),
        ("two\n## lines", "two \\#\\# lines"),
        ("@everyone", "&#64;everyone"),
        ("`code` *bold* \x1b[31m", "\\`code\\` \\*bold\\* \\[31m"),
    ],
)
def test_nothing_in_a_message_is_markdown(text: str, shown: str) -> None:
    broken = replace(reported.BROKEN, error=BuildFailedError(text), checks=())
    assert f"> **error:** {shown}\n" in markdown(reported.report(broken))


def test_no_line_of_a_log_ends_its_fence() -> None:
    broken = replace(reported.BROKEN, error=BuildFailedError("x", output=("```", "## outside", "````")))
    assert "\n`````text\n```\n## outside\n````\n`````\n" in markdown(reported.report(broken))


def test_what_is_too_long_for_github_is_cut_between_two_parts() -> None:
    broken = replace(reported.BROKEN, error=BuildFailedError("x", output=("long",) * 10))
    report = reported.report(broken)
    report["images"] *= 2_000
    text = markdown(report)
    assert len(text.encode()) < 1 << 20
    assert text.endswith("\n\nThe rest is too long.\n")
