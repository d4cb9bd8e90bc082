"""Completion as a person has it: the Tab key in real shells, with names from a manifest."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from builder import cli, completion
from tests.support import terminal

COMMANDS = Path(sys.executable).parent
MANIFEST = """
version: 1
models:
  embedder: {task: embedding, repo: "${NOT_SET}"}
  reranker: {task: reranker, path: nowhere}
images:
  retrieval: {models: [embedder, reranker]}
  weights: {models: [embedder], kind: models}
"""
# Once completion is set up, the program's name stands for a function that shows what it is given.
SHOW = """build-image() { echo "<$*>"; }"""
STARTS = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], 'eval "$(build-image completion bash)"'),
    "zsh": (["zsh", "-f", "-i"], 'autoload -U compinit; compinit -u -D; eval "$(build-image completion zsh)"'),
}
TYPED = [
    ("lock --upg\t", "lock --upgrade"),
    ("lock --upgrade re\t", "lock --upgrade reranker"),
    ("--image w\t", "--image weights"),
    ("render --output o --image r\t", "render --output o --image retrieval"),
    ("--models other.yaml push --image \t", "--models other.yaml push --image other"),
    ("lock --models other.yaml --upgrade \t", "lock --models other.yaml --upgrade mine"),
    ("doc\t", "doctor"),
    ("completion f\t", "completion fish"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "models.yaml").write_text(MANIFEST)
    (tmp_path / "other.yaml").write_text("models: {mine: {}}\nimages: {other: {models: [mine]}}\n")
    return tmp_path


def environment(folder: Path) -> dict[str, str]:
    return {"PATH": f"{COMMANDS}:{os.environ['PATH']}", "HOME": str(folder), "TERM": "dumb"}


def needs(program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")


@pytest.mark.parametrize("shell", STARTS)
def test_the_tab_key_completes_commands_flags_and_names(shell: str, folder: Path) -> None:
    needs(shell)
    command, start = STARTS[shell]
    with terminal.running(command, folder=folder, environment=environment(folder)) as person:
        person.type(f"{start}; {SHOW}; echo s''e''t\r")
        person.wait_for("set")
        for typed, completed in TYPED:
            person.type(f"build-image {typed}\r")
            person.wait_for(f"<{completed}>")


def candidates(folder: Path, line: str) -> list[str]:
    """Return what fish offers for a line, with what it says of each."""
    program = f"build-image completion fish | source; complete --do-complete '{line}'"
    ended = subprocess.run(
        ["fish", "--no-config", "-c", program],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        check=True,
    )
    return ended.stdout.splitlines()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("build-image lock --upgrade ", ["embedder\tembedding", "reranker\treranker"]),
        ("build-image --image ", ["retrieval\tembedder + reranker", "weights\tembedder"]),
        ("build-image --image weights --image ", ["retrieval\tembedder + reranker"]),
        ("build-image --models other.yaml render --weights ", ["other\tmine"]),
        ("build-image completion ", ["bash", "fish", "zsh"]),
    ],
)
def test_fish_offers_names_with_what_they_are(folder: Path, line: str, offered: list[str]) -> None:
    needs("fish")
    assert sorted(candidates(folder, line)) == offered


@pytest.mark.parametrize("manifest", ["models: [", "models: 1\nimages: 2\n", "\udcff", None])
def test_a_manifest_that_can_t_be_read_offers_nothing_and_says_nothing(tmp_path: Path, manifest: str | None) -> None:
    if manifest is not None:
        (tmp_path / "models.yaml").write_bytes(manifest.encode(errors="surrogateescape"))
    asked = {"_BUILD_IMAGE_COMPLETE": "bash_complete", "COMP_WORDS": "build-image --image ", "COMP_CWORD": "2"}
    ended = subprocess.run(
        ["build-image"],
        cwd=tmp_path,
        env={**environment(tmp_path), **asked},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout.strip(), ended.stderr) == (0, "", "")


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_every_script_is_one_of_its_shell(shell: completion.Shell, capsys: pytest.CaptureFixture[str]) -> None:
    needs(shell)
    assert cli.run(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert subprocess.run([shell, "-n"], input=script, text=True, check=False).returncode == 0


def test_another_shell_is_refused_with_those_that_are_known(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["completion", "powershell"]) == 2
    assert "'bash', 'zsh', 'fish'" in capsys.readouterr().err
