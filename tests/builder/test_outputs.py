import json
import re

from builder import outputs
from builder.report import Report
from tests.builder import reported

EVERYTHING = reported.report(*reported.ALL, error=KeyboardInterrupt())
PUSHED = reported.report(reported.RETRIEVAL)
PUSHED["images"][0]["pushed"] = [reported.PUSHED, reported.PUSHED | {"reference": "docker.io/a/b"}]
_VALUE = re.compile(r"(\w+)<<(\S+)\n(.*?)\n\2\n", re.DOTALL)


def values(report: Report) -> dict[str, str]:
    """Read step outputs as GitHub's runner does: a name, a delimiter, and everything until a line that is this."""
    text = outputs.of_github(report)
    assert _VALUE.sub("", text) == ""
    return {name: value for name, _, value in _VALUE.findall(text)}


def test_a_later_step_gets_every_image_that_it_may_use() -> None:
    told = values(EVERYTHING)
    assert told["result"] == "interrupted"
    assert told["references"].splitlines() == [
        "registry.example.com/search/retrieval:1",
        "registry.example.com/search/retrieval:latest",
        "weights:latest",
    ]
    assert told["ids"].splitlines() == [reported.DIGEST, "sha256:" + "2" * 64]
    assert told["digests"] == ""


def test_images_are_json_by_name_with_how_each_went() -> None:
    images = json.loads(values(EVERYTHING)["images"])
    assert {name: image["result"] for name, image in images.items()} == {
        "retrieval": "tagged",
        "broken": "failed",
        "weights": "tagged",
        "stopped": "interrupted",
        "waiting": "not started",
    }
    assert images["weights"] == {
        "result": "tagged",
        "references": ["weights:latest"],
        "id": "sha256:" + "2" * 64,
        "size_bytes": 181_600_000,
        "pushed": [],
    }


def test_what_was_pushed_is_told_by_its_digest() -> None:
    assert values(PUSHED)["digests"].splitlines() == [
        f"registry.example.com:5000/search/retrieval@{reported.DIGEST}",
        f"docker.io/a/b@{reported.DIGEST}",
    ]


def test_no_value_can_set_another() -> None:
    report = reported.report(reported.RETRIEVAL)
    report["images"][0]["references"] = ["a\nresult<<x\nsucceeded\nx\nevil=1"]
    assert set(values(report)) == {"result", "images", "references", "ids", "digests"}


def test_gitlab_gets_one_variable_an_image_and_none_of_those_that_failed() -> None:
    assert outputs.of_gitlab(EVERYTHING) == (
        "BUILD_IMAGE_RESULT=interrupted\n"
        "BUILD_IMAGE_RETRIEVAL=registry.example.com/search/retrieval:1\n"
        "BUILD_IMAGE_WEIGHTS=weights:latest\n"
    )


def test_gitlab_gets_the_digest_of_what_was_pushed() -> None:
    assert outputs.of_gitlab(PUSHED).splitlines()[1] == (
        f"BUILD_IMAGE_RETRIEVAL=registry.example.com:5000/search/retrieval@{reported.DIGEST}"
    )


def test_a_variable_is_a_line_whatever_is_in_it_and_names_do_not_meet() -> None:
    report = reported.report(reported.RETRIEVAL, reported.WEIGHTS)
    for image, name in zip(report["images"], ["a-b", "a.b"], strict=True):
        image |= {"name": name, "references": ["x\nEVIL=1"]}
    assert outputs.of_gitlab(report) == (
        "BUILD_IMAGE_RESULT=succeeded\nBUILD_IMAGE_A_B=x EVIL=1\nBUILD_IMAGE_A_B_2=x EVIL=1\n"
    )
