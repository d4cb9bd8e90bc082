"""The hook of this repository, by the real pre-commit in a repository of somebody who uses it."""

import json
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support import lookalikes, pipelines
from tests.support.checkout import ROOT
from tests.support.project import COMMAND

MANIFEST: dict[str, Any] = {
    "version": 1,
    "models": {"m": {"task": "reranker", "path": "model"}},
    "images": {"i": {"models": ["m"], "kind": "models"}},
}


@pytest.fixture(scope="module")
def hooks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This checkout as a repository of hooks."""
    return pipelines.make_repository(pipelines.copy_checkout(tmp_path_factory.mktemp("hooks") / "build-image"))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pre-commit keeps what it has installed."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with a manifest that is locked."""
    folder = tmp_path / "theirs"
    lookalikes.write_reranker(folder / "model")
    (folder / "models.yaml").write_text(json.dumps(MANIFEST))
    return pipelines.make_repository(folder)


def environment(home: Path) -> Mapping[str, str]:
    return {**pipelines.outside_of_pipelines(home), "DOCKER_HOST": f"unix://{home}/nothing.sock"}


def run(hooks: Path, repository: Path, home: Path, files: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    """Run the hook on some files of a repository, or on all, as its configuration has it."""
    commit = pipelines.git(hooks, "rev-parse", "HEAD").strip()
    configured = {"repos": [{"repo": str(hooks), "rev": commit, "hooks": [{"id": "build-image-lock"}]}]}
    (repository / ".pre-commit-config.yaml").write_text(json.dumps(configured))
    pipelines.git(repository, "add", ".pre-commit-config.yaml")
    return started(repository, home, "run", "--verbose", *(["--files", *files] if files else ["--all-files"]))


def started(repository: Path, home: Path, *command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [pipelines.program("pre-commit"), *command],
        cwd=repository,
        env=environment(home),
        capture_output=True,
        text=True,
        check=False,
    )


def lock(repository: Path, home: Path) -> None:
    subprocess.run([COMMAND, "lock"], cwd=repository, env=environment(home), check=True)
    pipelines.git(repository, "add", "--all")


def test_the_hook_passes_while_manifest_and_lock_agree_and_fails_where_they_do_not(
    hooks: Path, repository: Path, home: Path
) -> None:
    ended = started(repository, home, "try-repo", hooks, "build-image-lock", "--all-files")
    assert (ended.returncode, "the manifest wants another lock: models.m: added" in ended.stdout) == (1, True)

    lock(repository, home)
    ended = run(hooks, repository, home)
    assert (ended.returncode, "build-image lock --check" in ended.stdout, "Passed" in ended.stdout) == (0, True, True)

    changed = {**MANIFEST, "models": {"m": {**MANIFEST["models"]["m"], "max_length": 77}}}
    (repository / "models.yaml").write_text(json.dumps(changed))
    ended = run(hooks, repository, home)
    assert (ended.returncode, "models.m: max_length asked for: nothing -> `77`" in ended.stdout) == (1, True)
    assert (
        pipelines.git(repository, "status", "--short") == "A  .pre-commit-config.yaml\nA  models.lock\n M models.yaml\n"
    )


def test_a_commit_of_other_files_alone_does_not_run_the_hook(hooks: Path, repository: Path, home: Path) -> None:
    (repository / "notes.txt").write_text("nothing about models")
    pipelines.git(repository, "add", "notes.txt")
    ended = run(hooks, repository, home, files=["notes.txt"])
    assert (ended.returncode, "(no files to check)Skipped" in ended.stdout) == (0, True)


def test_the_hook_is_installed_with_the_locked_versions(hooks: Path, repository: Path, home: Path) -> None:
    run(hooks, repository, home, files=["models.yaml"])
    (python,) = (home / "cache/pre-commit").glob("repo*/py_env-*/bin/python")
    listed = json.loads(subprocess.check_output([python, "-m", "pip", "list", "--format", "json"], text=True))
    installed = {package["name"].lower().replace("_", "-"): package["version"] for package in listed}
    locked = dict(re.findall(r"^([\w-]+)==(\S+)", (ROOT / "requirements/builder.txt").read_text(), re.MULTILINE))
    wrong = {name: installed.get(name) for name, version in locked.items() if installed.get(name, version) != version}
    assert (wrong, len(set(locked) & set(installed)) > 10) == ({}, True)
