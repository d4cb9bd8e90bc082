"""`build-image plan` as a person runs it, against the stand-in Hub and without an engine."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import project as projects
from tests.support.checkout import ROOT
from tests.support.project import Project

WITHOUT_ENGINE = [
    "warning: what is there already is not known: cannot connect to the Docker Engine: No such file or directory",
    "warning: the lock lacks the base image's digest, which tags of `lock.digest` depend on",
]


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """The default manifest, unmodified, in a git checkout."""
    made = projects.make(tmp_path)
    shutil.copy(ROOT / "models.yaml", tmp_path / "models.yaml")
    git = ["git", "-C", str(tmp_path), "-c", "user.name=test", "-c", "user.email=test@example.com"]
    for command in (["init", "--quiet"], ["add", "models.yaml"], ["commit", "--quiet", "--message", "models"]):
        subprocess.run([*git, *command], check=True)
    with made.hub:
        yield made


def test_the_licences_of_the_default_models_are_shown(project: Project) -> None:
    code, out, err = project.run("plan")
    assert (code, err.splitlines()) == (0, WITHOUT_ENGINE)
    rows = [line.split() for line in out.splitlines()]
    assert [(row[0], row[-1]) for row in rows if row and row[0] in {"embeddinggemma-300m", "jina-reranker-v2"}] == [
        ("embeddinggemma-300m", "gemma"),
        ("jina-reranker-v2", "cc-by-nc-4.0"),
    ]


def test_nothing_is_written_and_what_would_be_locked_is_told(project: Project) -> None:
    _, out, _ = project.run("plan", "--format", "json")
    assert json.loads(out)["lock_changes"] == ["models.embeddinggemma-300m: added", "models.jina-reranker-v2: added"]
    assert not (project.folder / "models.lock").exists()


def test_what_is_locked_is_planned_without_the_hub(project: Project) -> None:
    assert project.run("lock")[0] == 0
    asked = len(project.hub.requests)
    code, out, _ = project.run("plan", "--format", "json")
    read = json.loads(out)
    locked = project.lock()
    assert (code, read["lock_changes"], len(project.hub.requests)) == (0, [], asked)
    assert [(model["name"], model["revision"]) for model in read["models"]] == [
        (name, locked[name]["revision"]) for name in ("embeddinggemma-300m", "jina-reranker-v2")
    ]
    sizes = [file["size_bytes"] for model in locked.values() for file in model["files"].values()]
    assert read["fetch"]["parts"]["models"] == sum(sizes)


def test_a_hub_that_is_away_is_told_where_the_lock_lacks_a_model(project: Project) -> None:
    code, out, err = project.run("plan", HF_ENDPOINT="http://127.0.0.1:9")
    assert (code, out, err.startswith("error: ")) == (4, "", True)
