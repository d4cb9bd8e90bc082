import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from builder import report
from builder.engine import ImageDetails
from builder.errors import BuildFailedError, FailedError, InputError
from builder.pipeline import ImageResult
from builder.registry import Published
from builder.smoke import Check
from tests.builder import data

DETAILS = ImageDetails(
    id="sha256:" + "1" * 64,
    platform="linux/amd64",
    size_bytes=405_000_000,
    layers=("sha256:a", "sha256:b"),
    labels={},
    environment=(),
    digest="",
)
PASSED = ImageResult(
    plan=data.image(data.fetched(), name="good"),
    references=("example/good:1", "example/good:latest"),
    details=DETAILS,
    checks=(Check(name="starts", detail="ready after 0.9 s", duration_s=0.91234),),
    build_s=3.0,
    duration_s=4.25,
)
FAILED = ImageResult(
    plan=data.image(data.fetched(), name="bad"), duration_s=1.0, error=BuildFailedError("step failed", hint="do this")
)


def test_the_table_has_a_line_for_each_name_and_each_failure() -> None:
    assert report.table(report.make([PASSED, FAILED])).splitlines() == [
        "image  tag                  size    digest               time   result",
        "good   example/good:1       405 MB  sha256:111111111111  4.2 s  tagged",
        "good   example/good:latest  405 MB  sha256:111111111111  4.2 s  tagged",
        "bad    -                    -       -                    1.0 s  failed",
    ]


def test_the_document_has_everything_a_pipeline_asks_for() -> None:
    read = json.loads(report.text(report.make([PASSED, FAILED])))
    assert read["version"] == 1
    assert read["images"][0] == {
        "name": "good",
        "result": "tagged",
        "references": ["example/good:1", "example/good:latest"],
        "pushed": [],
        "id": DETAILS.id,
        "size_bytes": 405_000_000,
        "layers": ["sha256:a", "sha256:b"],
        "models": [
            {"name": "reranker", "source": "example/reranker", "revision": data.COMMIT, "size_bytes": 1000},
        ],
        "checks": [{"name": "starts", "detail": "ready after 0.9 s", "duration_s": 0.912}],
        "build_s": 3.0,
        "duration_s": 4.25,
        "exit_code": 0,
        "error": None,
    }
    assert read["images"][1]["result"] == "failed"
    assert read["images"][1]["error"] == {"message": "step failed", "hint": "do this"}


DIGEST = "sha256:" + "2" * 64
PUSHED = Published(reference="example/good:1", digest=DIGEST, size_bytes=120_000_000)


def test_a_pushed_name_is_told_with_the_digest_that_the_registry_has() -> None:
    made = report.make([replace(PASSED, references=("example/good:1",), pushed=(PUSHED,))])
    assert (made["images"][0]["result"], made["images"][0]["pushed"]) == (
        "pushed",
        [{"reference": "example/good:1", "digest": DIGEST, "size_bytes": 120_000_000}],
    )
    assert report.table(made).splitlines()[1] == ("good   example/good:1  405 MB  sha256:222222222222  4.2 s  pushed")


def test_of_an_image_that_was_pushed_in_part_each_name_says_whether_it_was() -> None:
    made = report.make([replace(PASSED, pushed=(PUSHED,), error=FailedError("refused"))])
    assert (made["images"][0]["result"], made["images"][0]["exit_code"]) == ("failed", 1)
    assert [line.split()[-1] for line in report.table(made).splitlines()[1:]] == ["pushed", "failed"]


def test_an_image_that_was_only_built_says_so() -> None:
    built = ImageResult(plan=data.image(data.fetched(), name="i"), details=DETAILS)
    assert report.table(report.make([built])).splitlines()[1].endswith("built")


def test_a_report_replaces_the_old_one_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "new" / "report.json"
    report.write("old", path)
    report.write("new", path)
    assert [(file.name, file.read_text()) for file in path.parent.iterdir()] == [("report.json", "new")]


def test_a_place_that_can_t_hold_a_report_is_refused_before_the_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "file" / "report.json"):
        with pytest.raises(InputError, match="no report can be written to"):
            report.check_writable(path)


def test_a_place_whose_folders_are_missing_is_fine(tmp_path: Path) -> None:
    report.check_writable(tmp_path / "a/b/report.json")


def test_a_report_to_what_is_no_file_is_written_through_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with ThreadPoolExecutor() as reader:
        content = reader.submit((tmp_path / "pipe").read_text)
        report.write("text", tmp_path / "pipe")
    assert (content.result(), (tmp_path / "pipe").is_fifo()) == ("text", True)


def test_a_link_to_a_report_stays_one(tmp_path: Path) -> None:
    (tmp_path / "link.json").symlink_to("report.json")
    report.write("text", tmp_path / "link.json")
    assert ((tmp_path / "link.json").is_symlink(), (tmp_path / "report.json").read_text()) == (True, "text")


def test_a_secret_with_characters_that_json_escapes_is_not_in_a_report() -> None:
    secret = 'pass"word'
    failed = replace(FAILED, error=BuildFailedError(f"cannot log in with {secret}"))
    written = report.text(report.make([failed]), redact=lambda text: text.replace(secret, "***"))
    assert json.loads(written)["images"][0]["error"]["message"] == "cannot log in with ***"
