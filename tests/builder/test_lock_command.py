"""`build-image lock` as a person runs it, against the stand-in Hub and without an engine."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx
import pytest

from tests.support import lookalikes
from tests.support.hub_server import HubServer

COMMAND = str(Path(sys.executable).with_name("build-image"))
RERANKER = "jinaai/jina-reranker-v2-base-multilingual"
OTHER = "example/other-reranker"
NO_ENGINE = "warning: the base image is not locked: cannot connect to the Docker Engine: No such file or directory\n"


@dataclass(frozen=True, kw_only=True, slots=True)
class Project:
    """A folder with a manifest of one model on the stand-in Hub."""

    folder: Path
    hub: HubServer

    def write(self, **model: object) -> None:
        content = {
            "version": 1,
            "models": {"reranker": {"task": "reranker", "repo": RERANKER, **model}},
            "images": {"i": {"models": ["reranker"]}},
        }
        (self.folder / "models.yaml").write_text(json.dumps(content))

    def run(self, *arguments: str, **variables: str) -> tuple[int, str, str]:
        environment = {
            **os.environ,
            "HF_ENDPOINT": self.hub.endpoint,
            "DOCKER_HOST": f"unix://{self.folder}/nothing.sock",
            "XDG_CACHE_HOME": str(self.folder / "cache"),
            "NO_PROXY": "127.0.0.1,localhost",
            **variables,
        }
        command = [COMMAND, *arguments]
        ended = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)
        return ended.returncode, ended.stdout, ended.stderr


def make_project(folder: Path, *, certificate: Path | None = None) -> Project:
    lookalikes.write_reranker(folder / "hub" / RERANKER)
    made = Project(folder=folder, hub=HubServer(folder / "hub", certificate=certificate))
    made.write()
    return made


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    made = make_project(tmp_path)
    yield made
    made.hub.close()


def commit(project: Project) -> str:
    return str(json.loads((project.folder / "models.lock").read_text())["models"]["reranker"]["revision"])


def moving(project: Project) -> str:
    return f"warning: models.reranker.revision: `main` may move; the lock holds it at {commit(project)}\n"


def test_a_first_lock_tells_what_it_holds(project: Project) -> None:
    with project.hub:
        code, out, err = project.run("lock")
    assert (code, err) == (0, f"{NO_ENGINE}wrote models.lock\n{moving(project)}")
    assert out.startswith(f"reranker  {RERANKER}@{commit(project)}  ")


def test_a_second_lock_changes_nothing_and_needs_no_hub(project: Project) -> None:
    with project.hub:
        project.run("lock")
    text = (project.folder / "models.lock").read_text()
    code, _, err = project.run("lock")
    assert (code, err) == (0, NO_ENGINE + moving(project))
    assert (project.folder / "models.lock").read_text() == text


def test_a_check_passes_while_manifest_and_lock_agree(project: Project) -> None:
    with project.hub:
        project.run("lock")
    assert project.run("lock", "--check")[0] == 0


def test_another_manifest_is_told_by_key(project: Project) -> None:
    with project.hub:
        project.run("lock")
        project.write(max_length=77)
        text = (project.folder / "models.lock").read_text()
        code, _, err = project.run("lock", "--check")
    assert (code, (project.folder / "models.lock").read_text()) == (2, text)
    assert err == (
        f"{NO_ENGINE}"
        "error: models.lock: the manifest wants another lock: models.reranker: max_length asked for: nothing -> `77`\n"
        "error: models.lock: the manifest wants another lock: models.reranker: recipe.max_length: `1024` -> `77`\n"
        "hint: run `build-image lock --models models.yaml` and commit `models.lock`\n"
    )


def test_a_lock_of_an_older_release_is_written_again_at_its_commit(project: Project) -> None:
    path = project.folder / "models.lock"
    with project.hub:
        project.run("lock")
        text, before = path.read_text(), commit(project)
        path.write_text(text.replace('"version": 2', '"version": 1'))
        checked = project.run("lock", "--check")
        code, _, err = project.run("lock")
    assert checked[0] == 2
    assert checked[2] == (
        f"{NO_ENGINE}"
        "error: models.lock: the manifest wants another lock: "
        "models.reranker: decided anew, for an older release wrote the lock\n"
        "hint: run `build-image lock --models models.yaml` and commit `models.lock`\n"
    )
    assert (code, path.read_text(), commit(project)) == (0, text, before)
    assert err == (
        f"{NO_ENGINE}updated models.lock\n"
        f"  models.reranker: decided anew, for an older release wrote the lock\n{moving(project)}"
    )


def test_what_quantises_dynamically_is_told(project: Project) -> None:
    folder = project.folder / "hub" / RERANKER / "onnx"
    model = onnx.load(folder / "model.onnx")
    model.graph.node.append(onnx.helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "scale", "zero"]))
    (folder / "model_quantized.onnx").write_bytes(model.SerializeToString())
    project.write(dtype="q8")
    with project.hub:
        code, _, err = project.run("lock")
    assert code == 0
    assert err.endswith(
        "warning: models.reranker: `onnx/model_quantized.onnx` quantises what it computes by the range of a whole run: "
        "each text runs alone, or its answer would depend on others (`batching: true` allows that)\n"
    )


@pytest.fixture
def variable(project: Project) -> Iterator[Project]:
    """A project whose model is chosen by a variable, locked without it, and a Hub that has another model too."""
    project.write(repo="${HF_RERANKER_MODEL_ID:-" + RERANKER + "}")
    shutil.copytree(project.folder / "hub" / RERANKER, project.folder / "hub" / OTHER)
    with project.hub:
        project.run("lock")
        yield project


def test_a_variable_that_changed_changes_the_lock(variable: Project) -> None:
    before = commit(variable)
    code, out, err = variable.run("render", "--output", "out", HF_RERANKER_MODEL_ID=OTHER)
    assert (code, out) == (0, "out/i\n")
    assert err == (
        "updated models.lock\n"
        f"  models.reranker: repo asked for: `{RERANKER}` -> `{OTHER}`\n"
        f"  models.reranker: source: `{RERANKER}` -> `{OTHER}`\n{moving(variable)}"
    )
    assert f"# reranker: {OTHER} at {before}\n" in (variable.folder / "out/i/Dockerfile").read_text()


def test_a_variable_that_changed_is_refused_by_what_it_changes(variable: Project) -> None:
    text = (variable.folder / "models.lock").read_text()
    code, out, err = variable.run("lock", "--check", HF_RERANKER_MODEL_ID=OTHER)
    assert (code, out, (variable.folder / "models.lock").read_text()) == (2, "", text)
    wants = "error: models.lock: the manifest wants another lock: models.reranker: "
    assert err == (
        f"{NO_ENGINE}"
        f"{wants}repo asked for: `{RERANKER}` -> `{OTHER}`\n"
        f"{wants}source: `{RERANKER}` -> `{OTHER}`\n"
        "hint: run `build-image lock --models models.yaml` and commit `models.lock`\n"
    )


@pytest.mark.parametrize(
    ("name", "value"), [("HF_RERANKER_MODEL_ID", "example/absent"), ("HF_ALLOW_REMOTE_MODELS", "false")]
)
def test_what_a_variable_changes_is_told_where_the_hub_does_not_help(variable: Project, name: str, value: str) -> None:
    variables = {"HF_RERANKER_MODEL_ID": OTHER, name: value}
    code, out, err = variable.run("lock", "--check", **variables)
    change = f"repo asked for: `{RERANKER}` -> `{variables['HF_RERANKER_MODEL_ID']}`"
    assert (code, out) == (2, "")
    assert err == (
        f"error: models.lock: the manifest wants another lock: models.reranker: {change}\n"
        "hint: run `build-image lock --models models.yaml` and commit `models.lock`\n"
    )


def test_a_lock_that_is_missing_fails_the_check(project: Project) -> None:
    with project.hub:
        code, _, err = project.run("lock", "--check")
    assert code == 2
    assert "models.reranker: added" in err
    assert not (project.folder / "models.lock").exists()


def test_an_upgrade_tells_what_changed(project: Project) -> None:
    with project.hub:
        project.run("lock")
        before = commit(project)
        (project.folder / "hub" / RERANKER / "README.md").write_text("another card\n")
        code, _, err = project.run("lock", "--upgrade", "reranker")
    assert (code, commit(project) == before) == (0, False)
    assert f"updated models.lock\n  models.reranker: revision: `{before}` -> `{commit(project)}`\n" in err
    assert "  models.reranker: ~ README.md (" in err


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_a_hub_behind_a_private_authority_is_asked_with_its_certificates(tmp_path: Path, certificate: Path) -> None:
    private = make_project(tmp_path, certificate=certificate)
    with private.hub:
        strange = private.run("lock")
        trusted = private.run("lock", "--ca-bundle", str(certificate))
    assert (strange[0], trusted[0]) == (4, 0)
    assert "CERTIFICATE_VERIFY_FAILED" in strange[2]
