import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import replace

import junitparser
import pytest

from builder import junit
from builder.errors import BuildFailedError, InputError, UnreachableError
from builder.report import Report
from builder.result import ImageResult
from builder.smoke import Check
from tests.builder import reported

EVERYTHING = reported.report(*reported.ALL, error=KeyboardInterrupt())
BUILD_FAILED = replace(
    reported.STOPPED, is_finished=True, error=BuildFailedError("exit code: 1", output=("no space",), hint="free some")
)


def cases(report: Report, suite: str) -> list[tuple[str, list[tuple[str, str | None]]]]:
    """Read a suite as a consumer does: each case, and what is said of it with its kind."""
    read = junitparser.JUnitXml.fromstring(junit.document(report))
    (found,) = [held for held in read if held.name == suite]
    return [(case.name, [(type(result).__name__, result.message) for result in case.result]) for case in found]


def suites(report: Report) -> Iterator[ET.Element]:
    yield from ET.fromstring(junit.document(report)).iter("testsuite")  # noqa: S314 - our own


def test_an_image_is_a_suite_with_its_build_its_checks_and_its_tag() -> None:
    assert cases(EVERYTHING, "retrieval") == [
        ("build", []),
        ("starts", []),
        ("embedder embeds", []),
        ("selftest", []),
        ("writes nothing", []),
        ("tag", []),
    ]


def test_pushing_is_a_case_that_may_fail() -> None:
    refused = replace(reported.PUBLISHED, pushed=(), error=BuildFailedError("the registry refuses"))
    assert cases(reported.report(reported.PUBLISHED), "retrieval")[-2:] == [("tag", []), ("push", [])]
    assert cases(reported.report(refused), "retrieval")[-1] == ("push", [("Failure", "the registry refuses")])


def test_a_failed_check_has_its_reason_and_the_container_s_last_lines() -> None:
    assert cases(EVERYTHING, "broken") == [
        ("build", []),
        ("starts", []),
        ("embedder embeds", [("Failure", "a vector of <zeros>")]),
    ]
    failures = [found.text for suite in suites(EVERYTHING) for found in suite.iter("failure")]
    assert failures == [
        "first | line\n::error::second\n]]> line\n"
        '{"level": "info"}\nhint: the image has no tag; look closer with `docker run`'
    ]


def test_a_failed_build_skips_the_checks() -> None:
    assert cases(reported.report(BUILD_FAILED), "stopped") == [
        ("build", [("Failure", "exit code: 1")]),
        ("smoke test", [("Skipped", "not tested: failed")]),
    ]


def test_what_is_no_verdict_on_an_image_is_an_error() -> None:
    gone = replace(BUILD_FAILED, error=UnreachableError("the engine went away"))
    assert cases(reported.report(gone), "stopped")[0] == ("build", [("Error", "the engine went away")])


def test_an_interrupted_image_is_an_error_and_one_that_never_began_is_skipped() -> None:
    assert cases(EVERYTHING, "stopped")[0] == ("build", [("Error", "interrupted")])
    assert cases(EVERYTHING, "waiting") == [("smoke test", [("Skipped", "not tested: not started")])]


def test_a_run_that_fails_in_planning_is_a_suite_of_its_own() -> None:
    report = reported.report(error=InputError("there is no manifest", hint="write one"))
    assert cases(report, "build-image") == [("run", [("Error", "there is no manifest")])]


def test_a_check_of_an_image_that_was_only_built_is_a_case() -> None:
    built = replace(
        reported.RETRIEVAL,
        references=(),
        phases=reported.phases(("build", 2.0, 22.0), ("second build", 22.0, 42.0)),
        checks=(Check(name="reproducible", detail="the same in every file", duration_s=20.0),),
    )
    assert cases(reported.report(built), "retrieval") == [
        ("build", []),
        ("second build", []),
        ("reproducible", []),
        ("smoke test", [("Skipped", "not tested: built")]),
    ]


def test_an_image_that_a_gate_refuses_has_passed_its_checks() -> None:
    phases = (*reported.RETRIEVAL.phases[:2], *reported.phases(("gates", 24.0, 25.0)))
    refused = replace(reported.RETRIEVAL, references=(), phases=phases, error=BuildFailedError("too large"))
    assert cases(reported.report(refused), "retrieval")[-2:] == [
        ("writes nothing", []),
        ("gates", [("Failure", "too large")]),
    ]


def test_an_unchanged_image_has_the_checks_that_it_passed() -> None:
    report = reported.report(reported.RETRIEVAL)
    report["images"][0] |= {"result": "unchanged", "phases": [], "stages": []}
    assert cases(report, "retrieval")[:2] == [
        ("build", [("Skipped", "nothing has changed since it was built")]),
        ("starts", []),
    ]


def test_what_was_pushed_is_a_property() -> None:
    report = reported.report(reported.RETRIEVAL)
    report["images"][0]["pushed"] = [reported.PUSHED]
    (suite,) = suites(report)
    told = {held.get("name"): held.get("value") for held in suite.iter("property")}
    assert told == {
        "result": "tagged",
        "id": reported.DIGEST,
        "size_bytes": "494412000",
        "reference.1": "registry.example.com/search/retrieval:1",
        "reference.2": "registry.example.com/search/retrieval:latest",
        "pushed.1": f"registry.example.com:5000/search/retrieval:1@{reported.DIGEST}",
    }


@pytest.mark.parametrize("report", [EVERYTHING, reported.report(BUILD_FAILED), reported.report()])
def test_every_count_is_that_of_the_cases(report: Report) -> None:
    root = ET.fromstring(junit.document(report))  # noqa: S314 - our own
    for element in (root, *root.iter("testsuite")):
        held = list(element.iter("testcase"))
        assert int(element.attrib["tests"]) == len(held)
        for kind in ("failure", "error"):
            assert int(element.attrib[f"{kind}s"]) == sum(case.find(kind) is not None for case in held)


def test_elements_and_attributes_are_those_of_the_consumers_schema() -> None:
    allowed = {
        "testsuites": {"name", "time", "tests", "failures", "errors"},
        "testsuite": {"name", "tests", "failures", "errors", "skipped", "time", "timestamp"},
        "properties": set(),
        "property": {"name", "value"},
        "testcase": {"name", "classname", "time"},
        "failure": {"message", "type"},
        "error": {"message", "type"},
        "skipped": {"message"},
        "system-out": set(),
    }
    root = ET.fromstring(junit.document(EVERYTHING))  # noqa: S314 - our own
    assert [element.tag for element in root.iter() if set(element.attrib) - allowed[element.tag]] == []
    assert [suite[0].tag for suite in root][:-1] == ["properties"] * len(reported.ALL)  # before the cases


@pytest.mark.parametrize("text", ["\x00", "\x1b[1m", "\ud800", "\ufffe", "]]>", "<&>\"'", "\N{PILE OF POO}"])
def test_any_text_makes_a_document_that_can_be_read(text: str) -> None:
    broken: ImageResult = replace(BUILD_FAILED, error=BuildFailedError(text, output=(text,), hint=text))
    document = junit.document(reported.report(broken)).encode()
    assert len(list(ET.fromstring(document).iter("failure"))) == 1  # noqa: S314 - our own
