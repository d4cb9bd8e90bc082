import json

import pytest

from builder import finding
from builder.errors import BuildImageError, FailedError, InputError, Problem, ProblemsError, UnreachableError
from builder.finding import Finding

GOOD = Finding(check="engine", message="Docker Engine 28.5.1")
DOUBTFUL = Finding(check="disk", state="warning", message="little room", hint="free some")
AWAY = Finding.of("Hub", UnreachableError("nobody is there", hint="knock again"))
WRONG = Finding.of("certificates", InputError("models.yaml:2: `a`\nmodels.yaml:3: `b`"))


def test_what_helps_with_several_problems_is_told_once() -> None:
    problems = [
        Problem(file="m", message=text, hint=hint) for text, hint in (("a", "do x"), ("b", None), ("c", "do x"))
    ]
    assert Finding.of("manifest", ProblemsError(problems), otherwise="edit it").hint == "do x"
    assert Finding.of("manifest", ProblemsError(problems[1:2]), otherwise="edit it").hint == "edit it"


def test_each_finding_is_a_line_and_what_is_not_ok_has_its_hint_below() -> None:
    assert finding.text([GOOD, DOUBTFUL, WRONG, AWAY]).splitlines() == [
        "ok       engine        Docker Engine 28.5.1",
        "warning  disk          little room",
        "                       hint: free some",
        "problem  certificates  models.yaml:2: `a`",
        "                       models.yaml:3: `b`",
        "problem  Hub           nobody is there",
        "                       hint: knock again",
    ]


def test_the_json_has_all_of_it() -> None:
    assert json.loads(finding.document([GOOD, AWAY])) == {
        "version": 1,
        "result": "problem",
        "exit_code": 4,
        "findings": [
            {"check": "engine", "state": "ok", "message": "Docker Engine 28.5.1", "hint": None, "exit_code": 0},
            {"check": "Hub", "state": "problem", "message": "nobody is there", "hint": "knock again", "exit_code": 4},
        ],
    }


@pytest.mark.parametrize(("findings", "result"), [([GOOD], "ok"), ([DOUBTFUL, GOOD], "warning")])
def test_warnings_are_no_problem(findings: list[Finding], result: str) -> None:
    assert (finding.exit_code(findings), json.loads(finding.document(findings))["result"]) == (0, result)


@pytest.mark.parametrize(
    ("errors", "code"),
    [
        ([UnreachableError("a"), InputError("b"), FailedError("c")], 2),
        ([UnreachableError("a"), FailedError("c")], 1),
        ([UnreachableError("a")], 4),
    ],
)
def test_the_exit_code_is_that_of_what_only_you_can_change_first(errors: list[BuildImageError], code: int) -> None:
    assert finding.exit_code([GOOD, *(Finding.of("x", error) for error in errors)]) == code


def test_a_secret_is_taken_out_before_anything_is_escaped() -> None:
    shown = AWAY.shown(lambda text: text.replace("nobody", "***").replace("knock", "***"))
    assert (shown.message, shown.hint) == ("*** is there", "*** again")
