import os
import subprocess
from pathlib import Path

import pytest

from builder import git
from builder.errors import InputError
from builder.git import Git, Origin


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with one commit, and no configuration but its own."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    ask(tmp_path, "init", "--quiet", "--initial-branch", "main")
    ask(tmp_path, "commit", "--quiet", "--allow-empty", "--message", "first")
    return tmp_path


def ask(directory: Path, *arguments: str) -> str:
    author = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    command = ["git", "-C", str(directory), *author, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_a_checkout_tells_its_commit_branch_and_tag(checkout: Path) -> None:
    ask(checkout, "tag", "v1")
    sha = ask(checkout, "rev-parse", "HEAD")
    assert git.read(checkout) == Git(sha=sha, short_sha=sha[:7], branch="main", tag="v1", dirty=False)


def test_a_new_file_makes_it_dirty(checkout: Path) -> None:
    (checkout / "new").touch()
    state = git.read(checkout)
    assert state is not None
    assert state.dirty


def test_a_folder_outside_of_git_has_nothing_to_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git.read(tmp_path) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_checkout_of_another_user_is_an_error_with_the_command_that_helps(checkout: Path) -> None:
    os.chown(checkout, 12345, 12345)
    with pytest.raises(InputError, match="the checkout belongs to another user") as caught:
        git.read(checkout)
    assert caught.value.hint == f"git config --global --add safe.directory {checkout}"


def test_the_last_commit_that_changed_a_file_is_told_and_not_that_of_another(checkout: Path) -> None:
    (checkout / "models.yaml").write_text("version: 1\n")
    ask(checkout, "add", ".")
    ask(checkout, "commit", "--quiet", "--message", "models")
    revision, created = ask(checkout, "log", "-1", "--format=%H %ct").split()
    ask(checkout, "commit", "--quiet", "--allow-empty", "--message", "something else")
    ask(checkout, "remote", "add", "origin", "https://user:secret@example.com/team/models.git")
    assert git.origin(checkout, [checkout / "models.yaml"]) == Origin(
        source="https://example.com/team/models", revision=revision, created=int(created)
    )


@pytest.mark.parametrize("name", ["models.yaml", "new.yaml"])
def test_of_what_is_not_committed_as_it_is_no_commit_is_told(name: str, checkout: Path) -> None:
    (checkout / "models.yaml").write_text("version: 1\n")
    ask(checkout, "add", ".")
    ask(checkout, "commit", "--quiet", "--message", "models")
    (checkout / name).write_text("version: 2\n")
    assert git.origin(checkout, [checkout / "models.yaml", checkout / name]) == Origin()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_where_git_refuses_to_answer_nothing_is_told(checkout: Path) -> None:
    os.chown(checkout, 12345, 12345)
    assert git.origin(checkout, [checkout]) == Origin()


@pytest.mark.parametrize(
    ("remote", "address"),
    [
        ("git@example.com:team/models.git", "https://example.com/team/models"),
        ("ssh://git@example.com:2222/team/models", "https://example.com/team/models"),
        ("https://token@example.com:8443/team/models.git", "https://example.com:8443/team/models"),
        ("http://example.com/models", "http://example.com/models"),
        ("/srv/models.git", ""),
        ("file:///srv/models.git", ""),
        ("../models", ""),
        ("", ""),
    ],
)
def test_a_remote_is_told_by_its_web_address_without_a_login(remote: str, address: str) -> None:
    assert git.address(remote) == address
