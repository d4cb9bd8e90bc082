"""Own the JUnit XML of a report: a suite for each image, a case for the build and for each check; pure.

The elements, their order and their attributes are those that the consumers' common schema (Jenkins, `junit-10.xsd`)
knows.
"""

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Report = Mapping[str, Any]
Outcome = Literal["passed", "failure", "error", "skipped"]

_NOT_IN_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_UNKNOWN_STAGE = "run"
_FAILED = 1  # the exit code of what was tried and failed; any other is no verdict on the image


@dataclass(frozen=True, kw_only=True, slots=True)
class _Case:
    name: str
    duration_s: float = 0.0
    outcome: Outcome = "passed"
    message: str = ""
    output: str = ""


def document(report: Report) -> str:
    """Return the report as JUnit XML."""
    suites = [_suite(image, report) for image in report["images"]]
    if report["error"] is not None:
        run = _Case(
            name=_UNKNOWN_STAGE, outcome="error", message=report["error"]["message"], output=_output(report["error"])
        )
        suites.append(_element("build-image", [run], report["started_at"], report["duration_s"], {}))
    root = ET.Element("testsuites", name="build-image", time=_seconds(report["duration_s"]))
    for count in ("tests", "failures", "errors"):
        root.set(count, str(sum(int(suite.get(count, "0")) for suite in suites)))
    root.extend(suites)
    ET.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _suite(image: Report, report: Report) -> ET.Element:
    started_at = image["phases"][0]["started_at"] if image["phases"] else report["started_at"]
    properties = {
        "result": image["result"],
        "id": image["id"] or "",
        "size_bytes": str(image["size_bytes"] or ""),
        **{f"reference.{index}": name for index, name in enumerate(image["references"], 1)},
        **{f"pushed.{index}": _pushed(push) for index, push in enumerate(image.get("pushed", ()), 1)},
    }
    return _element(image["name"], list(_cases(image)), started_at, image["duration_s"], properties)


def _pushed(push: Report) -> str:
    return f"{push['reference']}@{push['digest']}"


def _cases(image: Report) -> Iterator[_Case]:
    """Yield the build, every check, and what else was done or would have been; the last thing done is what failed."""
    if image["result"] == "unchanged":
        yield _Case(name="build", outcome="skipped", message="nothing has changed since it was built")
        yield from (_check(check, image) for check in image["checks"])
        return
    phases = {phase["name"]: phase["duration_s"] for phase in image["phases"]}
    last = list(phases)[-1] if phases else ""
    for name, duration_s in phases.items():
        has_ended_it = name == last and image["result"] in {"failed", "interrupted"}
        checks = image["checks"] if name == "smoke test" else []
        yield from (_check(check, image) for check in checks)
        if has_ended_it and all(check["passed"] for check in checks):
            yield _ending(image, name, duration_s)
        elif name != "smoke test":
            yield _Case(name=name, duration_s=duration_s)
    if "smoke test" not in phases:
        yield from (_check(check, image) for check in image["checks"])
        yield _Case(name="smoke test", outcome="skipped", message=f"not tested: {image['result']}")


def _check(check: Report, image: Report) -> _Case:
    if check["passed"]:
        return _Case(name=check["name"], duration_s=check["duration_s"], output=check["detail"])
    output = _output(image["error"]) if image["error"] else ""
    return _Case(
        name=check["name"],
        duration_s=check["duration_s"],
        outcome="failure",
        message=check["detail"],
        output=output,
    )


def _ending(image: Report, phase: str, duration_s: float) -> _Case:
    error = image["error"]
    if error is None:
        return _Case(name=phase, duration_s=duration_s, outcome="error", message="interrupted")
    return _Case(
        name=phase,
        duration_s=duration_s,
        outcome="failure" if image["exit_code"] == _FAILED else "error",
        message=error["message"],
        output=_output(error),
    )


def _output(error: Report) -> str:
    hint = [f"hint: {error['hint']}"] if error["hint"] else []
    return "\n".join([*error["output"], *hint])


def _element(name: str, cases: list[_Case], started_at: str, duration_s: float, told: Mapping[str, str]) -> ET.Element:
    counts = {kind: str(sum(case.outcome == kind for case in cases)) for kind in ("failure", "error", "skipped")}
    suite = ET.Element(
        "testsuite",
        name=name,
        tests=str(len(cases)),
        failures=counts["failure"],
        errors=counts["error"],
        skipped=counts["skipped"],
        time=_seconds(duration_s),
        timestamp=started_at.partition(".")[0],
    )
    if told:
        properties = ET.SubElement(suite, "properties")
        for key, value in told.items():
            ET.SubElement(properties, "property", name=key, value=_clean(value))
    suite.extend(_case(case, name) for case in cases)
    return suite


def _case(case: _Case, suite: str) -> ET.Element:
    made = ET.Element("testcase", name=case.name, classname=f"build-image.{suite}", time=_seconds(case.duration_s))
    if case.outcome == "passed":
        if case.output:
            ET.SubElement(made, "system-out").text = _clean(case.output)
        return made
    outcome = ET.SubElement(made, case.outcome, message=_clean(case.message))
    if case.outcome != "skipped":
        outcome.set("type", case.outcome)
        outcome.text = _clean(case.output) or None
    return made


def _clean(text: str) -> str:
    """Replace what no XML may hold: a log has escape characters."""
    return _NOT_IN_XML.sub("\N{REPLACEMENT CHARACTER}", text)


def _seconds(duration_s: float) -> str:
    return f"{duration_s:.3f}"
