"""The GitHub Action and the GitLab component as their runners run them, on a real engine."""

import json
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from pathlib import Path
from uuid import uuid4

import pytest

from builder.engine import Engine
from tests.engine import registry as registries
from tests.engine.registry import PASSWORD, USER, Registry
from tests.support import lookalikes, pipelines

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This checkout as a repository of its own, whose path has a space in it."""
    return pipelines.make_repository(pipelines.copy_checkout(tmp_path_factory.mktemp("an action") / "build-image"))


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with registries.running(tmp_path_factory.mktemp("registry")) as started:
        yield started


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    lookalikes.write_reranker(folder / "ml" / "model")
    return folder


@pytest.fixture
def repository(engine: Engine, registry: Registry) -> Iterator[str]:
    """A name for an image of weights, which is removed afterwards."""
    name = f"{registry.host}/pipelines-{uuid4().hex[:12]}"
    yield name
    engine.remove_image(f"{name}:latest")


def write(folder: Path, repository: str) -> Path:
    """Write a manifest of an image of weights; JSON is YAML."""
    models = {"m": {"task": "reranker", "path": "model"}}
    images = {"weights": {"models": ["m"], "kind": "models", "repository": repository}}
    path = folder / "some models.yaml"
    path.write_text(json.dumps({"version": 1, "models": models, "images": images}))
    return path


def environment(workspace: Path, **more: str) -> Mapping[str, str]:
    return {
        **pipelines.outside_of_pipelines(workspace.parent),
        "REGISTRY_USER": USER,
        "REGISTRY_PASSWORD": PASSWORD,
        **more,
    }


def test_the_action_builds_tests_pushes_and_hands_on_its_outputs(
    engine: Engine, checkout: Path, workspace: Path, repository: str
) -> None:
    write(workspace / "ml", repository)
    ended = pipelines.run_action(
        checkout,
        workspace,
        environment=environment(workspace),
        working_directory="ml",
        models="some models.yaml",
        image="weights",
        push="true",
        locked="false",
        args="--report 'a report.json'",
    )
    assert ended.code == 0, ended.said
    image_id = engine.inspect_image(f"{repository}:latest").id
    digest = json.loads((workspace / "ml/a report.json").read_text())["images"][0]["pushed"][0]["digest"]
    assert {name: value for name, value in ended.outputs.items() if name != "images"} == {
        "result": "succeeded",
        "references": f"{repository}:latest",
        "ids": image_id,
        "digests": f"{repository}@{digest}",
    }
    assert json.loads(ended.outputs["images"])["weights"]["result"] == "pushed"
    assert PASSWORD not in ended.said


def test_the_action_refuses_what_is_not_locked_and_tells_the_result(
    checkout: Path, workspace: Path, repository: str
) -> None:
    write(workspace / "ml", repository)
    ended = pipelines.run_action(
        checkout, workspace, environment=environment(workspace), working_directory="ml", models="some models.yaml"
    )
    assert (ended.code, ended.outputs["result"]) == (2, "failed")
    assert "the manifest wants another lock: models.m: added" in ended.said


def test_an_input_is_never_a_program(checkout: Path, workspace: Path) -> None:
    touched = workspace / "touched"
    injection = f"\"; touch {touched}; $(touch {touched}) `touch {touched}` '\n touch {touched}\n"
    inputs = dict.fromkeys(("models", "image", "jobs"), injection)
    ended = pipelines.run_action(checkout, workspace, environment=environment(workspace), **inputs)
    assert (ended.code, touched.exists()) == (2, False)


def test_the_component_s_job_builds_and_leaves_the_reports_that_it_names(
    engine: Engine, checkout: Path, workspace: Path, repository: str
) -> None:
    write(workspace / "ml", repository)
    _, jobs = pipelines.component(
        source=f"file://{checkout}",
        models="ml/some models.yaml",
        locked=False,
        push=True,
        services=[],
        docker_host=engine.address,
        job="images",
    )
    job = jobs["images"]
    code, said = pipelines.run_job(job, workspace, environment=environment(workspace))
    assert code == 0, said
    named = job["artifacts"]["reports"]
    (case, *_) = ET.parse(workspace / named["junit"]).iter("testcase")  # noqa: S314 - of our own making
    assert (case.find("failure"), "section_start:" in said) == (None, True)
    result, image = (workspace / named["dotenv"]).read_text().splitlines()
    assert (result, image.startswith(f"BUILD_IMAGE_WEIGHTS={repository}@sha256:")) == (
        "BUILD_IMAGE_RESULT=succeeded",
        True,
    )


def test_an_input_of_the_component_is_never_a_program(checkout: Path, workspace: Path, engine: Engine) -> None:
    touched = workspace / "touched"
    injection = f'"; touch {touched}; $(touch {touched})'
    inputs = {"models": injection, "image": injection, "args": f"--report '{injection}'"}
    _, jobs = pipelines.component(source=f"file://{checkout}", docker_host=engine.address, **inputs)
    code, _ = pipelines.run_job(jobs["build-image"], workspace, environment=environment(workspace))
    assert (code, touched.exists()) == (2, False)
