import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from builder import report
from builder.errors import (
    BuildFailedError,
    FailedError,
    InputError,
    OutputClosedError,
    Problem,
    ProblemsError,
    UnreachableError,
)
from builder.registry import Published
from builder.result import ImageResult
from tests.builder import data, reported
from tests.builder.optimized import ACCURACY

SCHEMA = json.loads(report.schema())
FAILED = ImageResult(
    plan=data.image(data.fetched(), name="bad"), duration_s=1.0, error=BuildFailedError("step failed", hint="do this")
)
PROBLEMS = ProblemsError(
    [Problem(file="models.yaml", line=3, path="models.m.task", message="is wrong", hint="do c")], hint="and d"
)


def strict(schema: Any) -> Any:
    """Return the schema with no room for keys that it does not describe."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {"additionalProperties": False} if "properties" in schema else {}
    return {**{key: strict(value) for key, value in schema.items()}, **closed}


def check(made: report.Report) -> None:
    """Raise where a report is not as the schema says, or says what the schema does not."""
    checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
    jsonschema.Draft202012Validator(strict(SCHEMA), format_checker=checker).validate(made)


def test_the_table_has_a_line_for_each_name_and_each_failure() -> None:
    assert report.table(reported.report(reported.RETRIEVAL, FAILED)).splitlines() == [
        "image      tag                                           size    digest               time    result",
        "retrieval  registry.example.com/search/retrieval:1       494 MB  sha256:111111111111  22.1 s  tagged",
        "retrieval  registry.example.com/search/retrieval:latest  494 MB  sha256:111111111111  22.1 s  tagged",
        "bad        -                                             -       -                    1.0 s   failed",
    ]


def test_a_report_begins_with_what_the_run_was() -> None:
    made = reported.report(reported.RETRIEVAL)
    del made["images"]
    assert made == {
        "version": 1,
        "build_image": "1.2",
        "manifest": "models.yaml",
        "jobs": 2,
        "ci": {"name": "github", "run": "7", "branch": "main", "tag": "", "sha": "0" * 40, "change": ""},
        "started_at": "2026-11-18T11:06:40.000Z",
        "duration_s": 28.0,
        "result": "succeeded",
        "exit_code": 0,
        "error": None,
    }


DIGEST = "sha256:" + "2" * 64
FIRST = "registry.example.com/search/retrieval:1"
PUSHED = Published(reference=FIRST, digest=DIGEST, size_bytes=120_000_000)


def test_a_pushed_name_is_told_with_the_digest_that_the_registry_has() -> None:
    made = reported.report(replace(reported.RETRIEVAL, references=(FIRST,), pushed=(PUSHED,)))
    check(made)
    assert (made["images"][0]["result"], made["images"][0]["pushed"]) == (
        "pushed",
        [{"reference": FIRST, "digest": DIGEST, "size_bytes": 120_000_000}],
    )
    row = report.table(made).splitlines()[1]
    assert row == f"retrieval  {FIRST}  494 MB  sha256:222222222222  22.1 s  pushed"


def test_of_an_image_that_was_pushed_in_part_each_name_says_whether_it_was() -> None:
    made = reported.report(replace(reported.RETRIEVAL, pushed=(PUSHED,), error=FailedError("refused")))
    assert (made["images"][0]["result"], made["images"][0]["exit_code"]) == ("failed", 1)
    assert [line.split()[-1] for line in report.table(made).splitlines()[1:]] == ["pushed", "failed"]


def test_what_was_measured_of_optimised_graphs_is_told_by_the_model_s_name() -> None:
    made = reported.report(replace(reported.RETRIEVAL, accuracy=ACCURACY))
    check(made)
    assert [model["name"] for model in made["images"][0]["accuracy"]] == ["embedder", "reranker"]
    assert made["images"][0]["accuracy"][0]["graphs"] == ACCURACY["embedder"]["graphs"]


def test_an_image_has_everything_that_a_pipeline_asks_for() -> None:
    (image,) = reported.report(reported.RETRIEVAL)["images"]
    layers, history, stages = image.pop("layers"), image.pop("history"), image.pop("stages")
    checks, phases = image.pop("checks"), image.pop("phases")
    assert image == {
        "name": "retrieval",
        "kind": "server",
        "result": "tagged",
        "references": ["registry.example.com/search/retrieval:1", "registry.example.com/search/retrieval:latest"],
        "pushed": [],
        "id": reported.DIGEST,
        "platform": "linux/amd64",
        "size_bytes": 494_412_000,
        "models": [{"name": "reranker", "source": "example/reranker", "revision": data.COMMIT, "size_bytes": 1000}],
        "accuracy": [],
        "build_s": 20.0,
        "duration_s": 22.1,
        "exit_code": 0,
        "error": None,
    }
    assert checks[0] == {"name": "starts", "detail": "ready after 0.7 s", "duration_s": 0.712, "passed": True}
    assert phases[0] == {"name": "build", "started_at": "2026-11-18T11:06:42.000Z", "duration_s": 20.0}
    assert [layer["digest"] for layer in history] == layers
    assert history[3] == {
        "digest": layers[3],
        "name": "model-embedder",
        "size_bytes": reported.MODEL_BYTES,
        "created_by": "COPY /out/ / # buildkit",
    }
    assert [stage["name"] for stage in stages] == [
        *("python-deps", "model-embedder", "model-reranker", "assembled", "app", "golden", "exporting to image"),
    ]


def test_a_stage_is_its_steps_together() -> None:
    stage = reported.report(reported.RETRIEVAL)["images"][0]["stages"][0]
    assert stage == {
        "name": "python-deps",
        "started_at": "2026-11-18T11:06:42.300Z",
        "duration_s": 16.5,
        "cached": False,
        "moved_bytes": 0,
        "failed": False,
        "steps": [
            {
                "name": "[python-deps 1/2] FROM debian:bookworm-slim",
                "started_at": "2026-11-18T11:06:42.200Z",
                "duration_s": 0.1,
                "cached": True,
                "moved_bytes": 0,
                "error": None,
            },
            {
                "name": "[python-deps 2/2] RUN python-deps.sh 1",
                "started_at": "2026-11-18T11:06:42.300Z",
                "duration_s": 16.5,
                "cached": False,
                "moved_bytes": 0,
                "error": None,
            },
        ],
    }


def test_a_stage_that_was_stopped_has_no_duration() -> None:
    stages = reported.report(reported.STOPPED)["images"][0]["stages"]
    assert [(stage["name"], stage["cached"], stage["duration_s"]) for stage in stages] == [
        ("model-embedder", True, 0.0),
        ("python-deps", False, None),
    ]


@pytest.mark.parametrize(
    ("results", "error", "ended"),
    [
        ([reported.RETRIEVAL], None, ("succeeded", 0, ["tagged"])),
        ([reported.RETRIEVAL, reported.BROKEN], None, ("failed", 1, ["tagged", "failed"])),
        (
            [reported.BROKEN, replace(FAILED, error=UnreachableError("gone"))],
            None,
            ("failed", 4, ["failed", "failed"]),
        ),
        ([], PROBLEMS, ("failed", 2, [])),
        ([], UnreachableError("gone"), ("failed", 4, [])),
        ([], ZeroDivisionError("division by zero"), ("failed", 3, [])),
        (
            reported.ALL,
            KeyboardInterrupt(),
            ("interrupted", 130, ["tagged", "failed", "tagged", "interrupted", "not started"]),
        ),
        ([reported.WAITING], OutputClosedError(), ("interrupted", 141, ["not started"])),
        ([replace(reported.RETRIEVAL, references=())], None, ("succeeded", 0, ["built"])),
        ([reported.PUBLISHED], None, ("succeeded", 0, ["pushed"])),
        ([replace(reported.PUBLISHED, is_finished=False)], KeyboardInterrupt(), ("interrupted", 130, ["interrupted"])),
    ],
    ids=[
        "good",
        "one broken",
        "worst wins",
        "input",
        "unreachable",
        "bug",
        "interrupted",
        "closed",
        "built",
        "pushed",
        "in push",
    ],
)
def test_every_way_to_end_is_told_and_is_as_the_schema_says(
    results: list[ImageResult], error: BaseException | None, ended: tuple[str, int, list[str]]
) -> None:
    made = reported.report(*results, error=error)
    check(made)
    assert (made["result"], made["exit_code"], [image["result"] for image in made["images"]]) == ended


def test_problems_keep_their_places() -> None:
    assert reported.report(error=PROBLEMS)["error"] == {
        "message": "models.yaml:3: `models.m.task`: is wrong",
        "hint": "and d",
        "step": None,
        "output": [],
        "problems": [
            {"file": "models.yaml", "line": 3, "path": "models.m.task", "message": "is wrong", "hint": "do c"}
        ],
    }


def test_a_failed_step_is_told_with_its_last_lines() -> None:
    error = BuildFailedError(
        "exit code: 1", step="[a 2/2] RUN --network=none make", output=("\x1b[1;31mone\x1b[0m", "two")
    )
    (image,) = reported.report(replace(FAILED, error=error))["images"]
    assert (image["error"]["step"], image["error"]["output"]) == ("[a 2/2] RUN make", ["one", "two"])


def test_a_bug_is_called_one() -> None:
    made = reported.report(error=ZeroDivisionError("division by zero"))
    assert made["error"]["message"] == "this is a bug of build-image: ZeroDivisionError: division by zero"


def test_the_schema_is_one_and_leaves_room_for_other_keys() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    made = reported.report(reported.RETRIEVAL)
    made["images"][0] |= {"pushed": [reported.PUSHED], "more": 1}
    jsonschema.Draft202012Validator(SCHEMA).validate(made)


def test_what_was_pushed_is_described_by_the_schema() -> None:
    made = reported.report(reported.RETRIEVAL)
    made["images"][0]["pushed"] = [reported.PUSHED]
    check(made)


@pytest.mark.parametrize("change", [{"version": 2}, {"images": [{}]}, {"started_at": "today"}, {"exit_code": -1}])
def test_what_is_no_report_is_not_as_the_schema_says(change: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        check(reported.report() | change)


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


def test_a_report_to_the_output_is_read_through_a_pipe() -> None:
    reader, writer = os.pipe()
    report.write("text", Path(f"/dev/fd/{writer}"))
    os.close(writer)
    with open(reader) as pipe:  # noqa: PTH123 - of a descriptor
        assert pipe.read() == "text"


def test_a_link_to_a_report_stays_one(tmp_path: Path) -> None:
    (tmp_path / "link.json").symlink_to("report.json")
    report.write("text", tmp_path / "link.json")
    assert ((tmp_path / "link.json").is_symlink(), (tmp_path / "report.json").read_text()) == (True, "text")


def test_a_secret_with_characters_that_json_escapes_is_not_in_a_report() -> None:
    secret = 'pass"word'
    failed = replace(FAILED, error=BuildFailedError(f"cannot log in with {secret}"))
    made = report.redacted(reported.report(failed), lambda text: text.replace(secret, "***"))
    assert json.loads(report.text(made))["images"][0]["error"]["message"] == "cannot log in with ***"
