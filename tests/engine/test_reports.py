"""The reports of real runs: two images at a time of which one is broken, and a run that is interrupted."""

import json
import signal
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import jsonschema
import pytest

from builder import report as reports
from builder.engine import Engine
from tests.engine.command import COMMAND, Ended, build_image
from tests.runtime.page.browser import running_browser

pytestmark = pytest.mark.engine

FILES = {"report": "report.json", "html": "report.html", "junit": "junit.xml", "dotenv": "build.env"}
SERVER_LAYERS = ["runtime-packages", "python-deps", "model-embedder", "model-reranker", "app", "golden", "sbom"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """A run in GitHub's way, and the folder with everything that it left behind."""

    ended: Ended
    folder: Path
    report: dict[str, Any]

    def image(self, part: str) -> dict[str, Any]:
        """Return what the report says of an image, by a part of its name."""
        (found,) = [image for image in self.report["images"] if part in image["name"]]
        return dict(found)


def manifest(folder: Path, place: Path, name: str) -> Path:
    """Write a manifest of a good image, of one that fails its smoke test and of one that is weights alone."""
    embedder = {"task": "embedding", "path": str(folder / "embedder")}
    content = {
        "version": 1,
        "models": {
            "embedder": embedder,
            "reranker": {"task": "reranker", "path": str(folder / "reranker")},
            "wrong": {**embedder, "output": "last_hidden_state", "pooling": "cls", "normalize": True},
        },
        "images": {
            f"{name}-search": {"models": ["embedder", "reranker"]},
            f"{name}-broken": {"models": ["wrong"]},
            f"{name}-weights": {"models": ["embedder", "reranker"], "kind": "models"},
        },
    }
    path = place / "models.yaml"
    path.write_text(json.dumps(content))
    return path


@pytest.fixture(scope="module")
def made(engine: Engine, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    place, name = tmp_path_factory.mktemp("reports"), f"build-image-test-{uuid4().hex[:12]}"
    flags = [f"--{flag}={place / file}" for flag, file in FILES.items()]
    github = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": f"{place}/summary", "GITHUB_OUTPUT": f"{place}/outputs"}
    ended = build_image("--models", manifest(folder, place, name), "-j", "2", *flags, environment=github)
    report = json.loads((place / FILES["report"]).read_text())
    yield Made(ended=ended, folder=place, report=report)
    for image in report["images"]:
        for reference in image["references"] or [image["id"]]:
            engine.remove_image(reference)


def test_the_report_is_as_its_schema_says(made: Made) -> None:
    jsonschema.Draft202012Validator(json.loads(reports.schema())).validate(made.report)
    assert (made.ended.code, made.report["exit_code"], made.report["result"]) == (1, 1, "failed")
    assert [image["result"] for image in made.report["images"]] == ["tagged", "failed", "tagged"]


def test_every_layer_has_its_size_and_what_made_it(engine: Engine, made: Made) -> None:
    image = made.image("search")
    assert [layer["digest"] for layer in image["history"]] == list(engine.inspect_image(image["id"]).layers)
    assert [layer["name"] for layer in image["history"]][-7:] == SERVER_LAYERS
    models = {layer["name"]: layer["size_bytes"] for layer in image["history"]}
    for model in image["models"]:
        assert models[f"model-{model['name']}"] >= model["size_bytes"]
    assert [layer["name"] for layer in made.image("weights")["history"]] == SERVER_LAYERS[2:4]


def test_every_stage_is_there_with_its_times(made: Made) -> None:
    image = made.image("search")
    stages = {stage["name"]: stage for stage in image["stages"]}
    assert set(SERVER_LAYERS[1:]) | {"assembled", "runtime", "exporting to image"} <= set(stages)
    assert [step for stage in stages.values() for step in stage["steps"] if step["duration_s"] is None] == []
    assert [phase["name"] for phase in image["phases"]] == ["build", "smoke test", "gates", "attest", "tag"]


def test_the_failed_check_is_told_with_the_container_s_words(made: Made) -> None:
    image = made.image("broken")
    assert [(check["name"], check["passed"]) for check in image["checks"]] == [
        ("starts", True),
        ("wrong embeds", False),
    ]
    root = ET.parse(made.folder / FILES["junit"]).getroot()  # noqa: S314 - our own
    (failure,) = root.iter("failure")
    assert failure.attrib["message"] == "a vector of zeros"
    assert '"message": "loaded wrong' in str(failure.text)
    assert {name: root.attrib[name] for name in ("failures", "errors")} == {"failures": "1", "errors": "0"}


def test_each_image_is_one_fold_and_the_failure_stands_outside(made: Made) -> None:
    lines = made.ended.err.splitlines()
    marks = [line.split(":")[2] for line in lines if line.startswith(("::group::", "::endgroup::"))]
    assert marks == ["group", "endgroup"] * 3
    for image in made.report["images"]:
        begins = next(i for i, line in enumerate(lines) if line.startswith(f"::group::{image['name']}: "))
        ends = lines.index("::endgroup::", begins)
        others = {other["name"] for other in made.report["images"]} - {image["name"]}
        assert [line for line in lines[begins:ends] if any(f" {other}: " in line for other in others)] == []
        assert lines[ends - 1].count(image["name"]) == 1
    (error,) = [index for index, line in enumerate(lines) if line.startswith("::error ")]
    assert lines[error].startswith(f"::error title={made.image('broken')['name']}::smoke test: wrong embeds: ")
    assert lines[error - 1] == "::endgroup::"


def test_later_steps_and_jobs_get_what_was_tagged(made: Made) -> None:
    names = [f"{made.image(part)['name']}:latest" for part in ("search", "weights")]
    assert "\n".join(names) in (made.folder / "outputs").read_text()
    variables = dict(line.split("=", 1) for line in (made.folder / FILES["dotenv"]).read_text().splitlines())
    assert (variables.pop("BUILD_IMAGE_RESULT"), [*variables.values()]) == ("failed", names)
    assert (made.folder / "summary").read_text().startswith("## build-image: failed\n")


def test_the_page_of_a_real_run_is_shown(made: Made) -> None:
    with running_browser() as browser:
        page = browser.new_page()
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.goto((made.folder / FILES["html"]).as_uri())
        headings = page.get_by_role("heading", level=2).all_inner_texts()
        bars = page.locator(".timeline tr.image rect").count()
    names = [f"{image['name']} {image['result']}" for image in made.report["images"]]
    assert ([" ".join(text.split()) for text in headings], said) == (["Images", "Timeline", *names], [])
    assert bars >= 8  # of each image its phases


def test_an_interrupted_run_says_how_far_it_came(engine: Engine, folder: Path, tmp_path: Path) -> None:
    name = f"build-image-test-{uuid4().hex[:12]}"
    flags = [f"--{flag}={tmp_path / flag}" for flag in ("report", "html", "junit")]
    command = [COMMAND, "--models", str(manifest(folder, tmp_path, name)), "--no-cache", *flags]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert any("bake-model.sh" in line for line in process.stderr)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    report = json.loads((tmp_path / "report").read_text())
    jsonschema.Draft202012Validator(json.loads(reports.schema())).validate(report)
    assert (process.returncode, report["exit_code"], report["result"]) == (130, 130, "interrupted")
    assert [image["result"] for image in report["images"]] == ["interrupted", "not started", "not started"]
    stages = {stage["name"]: stage["duration_s"] for stage in report["images"][0]["stages"]}
    assert stages["python-deps"] is None  # which still downloaded
    assert stages["model-embedder"] is not None or stages["model-reranker"] is not None
    assert (tmp_path / "html").read_text().endswith("</html>\n")
    assert not engine.has_image(f"{name}-search:latest")
