import io
import json
import os
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from builder import cli, report, reporting
from builder.console import Console
from builder.errors import BuildFailedError, FailedError, InputError, OutputClosedError
from builder.reporting import Reporting, Wanted
from builder.result import ImageResult
from tests.builder import reported

SECRET = "p@ss::word%"
MANIFEST = "version: 1\nmodels: {m: {task: reranker, path: model}}\nimages: {i: {models: [m]}}\n"


def publish(wanted: Wanted, *results: ImageResult, error: BaseException | None = None) -> str:
    """End a run with these results in this way, and return what was told of its reports."""
    err = io.StringIO()
    console = Console(out=io.StringIO(), err=err)
    console.hide({SECRET})
    run = reported.run(*results)
    with Reporting(run, wanted=wanted, console=console):
        if error is not None:
            raise error
        run.images = report.images(results)
    return err.getvalue()


@pytest.fixture
def wanted(tmp_path: Path) -> Wanted:
    return Wanted(
        report=tmp_path / "new/report.json",
        junit=tmp_path / "new/junit.xml",
        html=tmp_path / "new/page.html",
        dotenv=tmp_path / "new/build.env",
        summary=tmp_path / "summary.md",
        outputs=tmp_path / "outputs",
    )


def read(path: Path | None) -> str:
    assert path is not None
    return path.read_text()


def ended(wanted: Wanted) -> tuple[str, list[str], str, str]:
    """Say how the run ended, by each of its reports: JSON, JUnit, Markdown and variables."""
    told = json.loads(read(wanted.report))
    jsonschema.Draft202012Validator(json.loads(report.schema())).validate(told)
    root = ET.fromstring(read(wanted.junit))  # noqa: S314 - our own
    return (
        told["result"],
        [suite.attrib["name"] for suite in root],
        read(wanted.summary).splitlines()[0],
        read(wanted.dotenv).splitlines()[0],
    )


def test_every_report_that_is_asked_for_is_written(wanted: Wanted) -> None:
    assert publish(wanted, reported.RETRIEVAL, reported.BROKEN) == ""
    assert ended(wanted) == (
        "failed",
        ["retrieval", "broken"],
        "## build-image: failed",
        "BUILD_IMAGE_RESULT=failed",
    )
    assert read(wanted.html).startswith("<!doctype html>")
    assert read(wanted.outputs).startswith("result<<")


@pytest.mark.parametrize(
    ("error", "result", "suites"),
    [
        (InputError("no such model"), "failed", ["retrieval", "stopped", "build-image"]),
        (KeyboardInterrupt(), "interrupted", ["retrieval", "stopped", "build-image"]),
        (ZeroDivisionError("x"), "failed", ["retrieval", "stopped", "build-image"]),
    ],
)
def test_a_run_that_ends_early_writes_how_far_it_came(
    wanted: Wanted, error: BaseException, result: str, suites: list[str]
) -> None:
    with pytest.raises(type(error)):
        publish(wanted, reported.RETRIEVAL, reported.STOPPED, error=error)
    assert ended(wanted) == (result, suites, f"## build-image: {result}", f"BUILD_IMAGE_RESULT={result}")


def test_a_run_whose_result_nobody_reads_succeeded(wanted: Wanted) -> None:
    run = reported.run(reported.RETRIEVAL)
    console = Console(out=io.StringIO(), err=io.StringIO())

    def unread() -> None:
        with Reporting(run, wanted=wanted, console=console):
            run.images = report.images([reported.RETRIEVAL])
            raise OutputClosedError

    with pytest.raises(OutputClosedError):
        unread()
    assert ended(wanted)[0] == "succeeded"


def test_no_report_has_a_secret_in_any_spelling(wanted: Wanted) -> None:
    error = BuildFailedError(f"a {SECRET}", step=f"[a 1/1] RUN {SECRET}", output=(SECRET,), hint=SECRET)
    publish(wanted, replace(reported.BROKEN, error=error))
    texts = [path.read_text() for path in (*wanted.report.parent.iterdir(), wanted.summary, wanted.outputs)]  # type: ignore[union-attr] # the fixture has them all
    assert [text for text in texts if "p@ss" in text or "word%" in text] == []
    assert len(texts) == 6


def test_a_report_appears_whole_and_leaves_nothing_beside_it(wanted: Wanted) -> None:
    publish(wanted, reported.RETRIEVAL)
    assert sorted(path.name for path in Path(str(wanted.report)).parent.iterdir()) == [
        *("build.env", "junit.xml", "page.html", "report.json")
    ]


def test_the_files_of_the_ci_system_are_added_to(wanted: Wanted) -> None:
    assert wanted.summary is not None
    wanted.summary.write_text("before\n")
    publish(wanted, reported.RETRIEVAL)
    assert read(wanted.summary).startswith("before\n## build-image")


def test_a_file_of_the_ci_system_that_can_t_be_written_stops_no_report(wanted: Wanted, tmp_path: Path) -> None:
    told = publish(replace(wanted, summary=tmp_path), reported.RETRIEVAL)
    assert told == f"warning: `{tmp_path}`, which the CI system reads, can't be written: Is a directory\n"
    assert ended(replace(wanted, summary=wanted.report))[0] == "succeeded"


def test_a_report_that_can_t_be_written_stops_no_other_and_fails_the_run(wanted: Wanted) -> None:
    with pytest.raises(FailedError, match="the report `/dev/full` can't be written: No space left on device"):
        publish(replace(wanted, html=Path("/dev/full")), reported.RETRIEVAL)
    assert ended(wanted)[0] == "succeeded"


def test_a_report_that_can_t_be_written_hides_no_error(wanted: Wanted) -> None:
    with pytest.raises(InputError, match="no such model"):
        publish(replace(wanted, html=Path("/dev/full")), error=InputError("no such model"))


@pytest.mark.parametrize("flag", ["report", "html", "junit", "dotenv"])
def test_a_place_that_can_t_be_written_to_is_refused_before_the_run(flag: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        publish(Wanted(**{flag: tmp_path}))
    assert caught.value.hint == f"choose another --{flag}"


def test_two_reports_in_one_place_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--report and --html are both"):
        publish(Wanted(report=tmp_path / "x", html=tmp_path / "y/../x"))


def test_what_grew_is_compared_with_the_report_that_is_replaced(wanted: Wanted) -> None:
    assert wanted.report is not None
    report.write(report.text(reported.older()), wanted.report)
    publish(wanted, reported.RETRIEVAL)
    assert "464 MB then, 494 MB now: +30 MB" in read(wanted.html)


def test_what_grew_is_compared_with_the_report_that_is_named(wanted: Wanted, tmp_path: Path) -> None:
    report.write(report.text(reported.older()), tmp_path / "older.json")
    publish(replace(wanted, compare=tmp_path / "older.json"), reported.RETRIEVAL)
    assert "| +30 MB |" in read(wanted.summary)


OLD: list[Any] = [
    None,
    "text",
    [],
    {},
    {"version": 1, "images": [1]},
    {"version": 1, "images": [{"name": "a", "size_bytes": "b"}]},
    {"version": 1, "images": [{"name": "a", "size_bytes": 1, "history": [{}]}]},
    {"version": 99, "images": []},
]


@pytest.mark.parametrize("content", OLD, ids=str)
def test_what_is_no_report_is_not_compared_with(content: Any, wanted: Wanted, tmp_path: Path) -> None:
    (tmp_path / "older.json").write_text(json.dumps(content))
    with pytest.raises(InputError) as caught:
        publish(replace(wanted, compare=tmp_path / "older.json"))
    assert caught.value.message == f"`{tmp_path}/older.json` is no report that can be compared with"
    report.write(json.dumps(content), Path(str(wanted.report)))
    publish(wanted, reported.RETRIEVAL)  # one that is only replaced may be anything
    assert ended(wanted)[0] == "succeeded"


def test_more_variables_than_gitlab_takes_are_told(wanted: Wanted) -> None:
    results = [
        replace(reported.WEIGHTS, plan=replace(reported.WEIGHTS.plan, name=f"image-{number}")) for number in range(20)
    ]
    told = publish(wanted, *results)
    assert "has 21 variables in " in told
    assert told.endswith("GitLab takes 20 and 5120 unless it is told to\n")


def test_github_s_files_are_those_of_its_variables() -> None:
    assert reporting.wanted({}) == Wanted()
    environment = {"GITHUB_STEP_SUMMARY": "/a", "GITHUB_OUTPUT": "/b"}
    assert reporting.wanted(environment, html=Path("c")) == Wanted(
        summary=Path("/a"), outputs=Path("/b"), html=Path("c")
    )


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a folder with a broken manifest to work in, as a job of GitHub does."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nothing.sock")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "outputs"))
    (tmp_path / "models.yaml").write_text(MANIFEST)
    return tmp_path


def test_a_manifest_with_a_problem_is_told_in_every_report(nowhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["--report", "r.json", "--junit", "r.xml", "--html", "r.html", "--dotenv", "r.env"]) == 2
    assert capsys.readouterr().err == ("::error file=models.yaml,line=2::`models.m.path`: there is no folder `model`\n")
    told = json.loads((nowhere / "r.json").read_text())
    assert (told["exit_code"], told["images"], told["error"]["problems"]) == (
        2,
        [],
        [
            {
                "file": "models.yaml",
                "line": 2,
                "path": "models.m.path",
                "message": "there is no folder `model`",
                "hint": None,
            }
        ],
    )
    assert (nowhere / "summary.md").read_text() == (
        "## build-image: failed\n\n> **error:** `models.yaml:2` `models.m.path`: there is no folder \\`model\\`\n"
    )
    assert sorted(os.listdir(nowhere)) == [  # noqa: PTH208 - names alone
        *("models.yaml", "outputs", "r.env", "r.html", "r.json", "r.xml", "summary.md")
    ]


@pytest.mark.usefixtures("nowhere")
def test_the_schema_of_reports_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["schema", "--report"]) == 0
    assert capsys.readouterr().out == report.schema() + "\n"
