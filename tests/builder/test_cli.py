import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder import cli
from builder.errors import BuildFailedError, InputError, InternalError, UnreachableError
from tests.conftest import Golden
from tests.support import lookalikes

COMMAND = Path(sys.executable).with_name("build-image")
MANIFEST = "version: 1\nmodels: {m: {task: reranker, path: model}}\nimages: {i: {models: [m]}}\n"


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a folder to work in, and a Docker Engine that is not there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nothing.sock")
    return tmp_path


@pytest.fixture
def nobody() -> Iterator[int]:
    """Give the writing end of a pipe whose reader has gone."""
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["plan", "--help"],
        ["render", "--help"],
        ["push", "--help"],
        ["lock", "--help"],
        ["verify", "--help"],
        ["sbom", "--help"],
        ["schema", "--help"],
        ["doctor", "--help"],
        ["completion", "--help"],
    ],
)
def test_the_help_is_as_it_was(arguments: list[str], golden: Golden, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(arguments) == 0
    golden.check(capsys.readouterr().out, f"{'-'.join(arguments).replace('---', '-').strip('-')}.txt")


def test_each_class_of_error_has_its_exit_code() -> None:
    kinds = (BuildFailedError, InputError, InternalError, UnreachableError)
    assert [kind.exit_code for kind in kinds] == [1, 2, 3, 4]


def test_an_unknown_flag_is_the_user_s_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["--modles", "x"]) == 2
    assert capsys.readouterr().err == (
        "error: No such option '--modles'. Did you mean '--models'?\nhint: see `build-image --help`\n"
    )


@pytest.mark.usefixtures("nowhere")
def test_a_missing_manifest_ends_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["render", "--output", "out"]) == 2
    assert capsys.readouterr().err.startswith("error: there is no manifest at `models.yaml`\nhint: ")


def test_problems_of_the_manifest_end_with_2_before_the_engine_is_asked(
    nowhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (nowhere / "models.yaml").write_text(MANIFEST)
    assert cli.run([]) == 2
    assert capsys.readouterr().err == "error: models.yaml:2: `models.m.path`: there is no folder `model`\n"


@pytest.mark.parametrize("command", [[], ["lock"], ["render", "--output", "out"], ["cache"]])
def test_certificates_that_are_none_end_with_2_before_anything_starts(
    nowhere: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (nowhere / "models.yaml").write_text(MANIFEST)
    lookalikes.write_reranker(nowhere / "model")
    (nowhere / "ca.pem").touch()
    assert cli.run([*command, "--ca-bundle", "ca.pem"]) == 2
    assert capsys.readouterr().err == (
        "error: the certificate bundle `ca.pem` has no certificate in PEM\n"
        "hint: pass --ca-bundle FILE with a PEM file, or unset PIP_CERT, SSL_CERT_FILE, REQUESTS_CA_BUNDLE\n"
    )
    assert not (nowhere / "models.lock").exists()


def test_no_engine_ends_with_4_and_a_hint(nowhere: Path) -> None:
    (nowhere / "model").mkdir()
    (nowhere / "models.yaml").write_text(MANIFEST)
    lookalikes.write_reranker(nowhere / "model")
    ended = subprocess.run([COMMAND], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (4, "")
    assert ended.stderr.startswith("error: cannot connect to the Docker Engine")


def test_render_takes_the_flags_that_stand_before_it(nowhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (nowhere / "model").mkdir()
    lookalikes.write_reranker(nowhere / "model")
    (nowhere / "other.yaml").write_text(MANIFEST)
    assert cli.run(["--models", "other.yaml", "render", "--output", "out"]) == 0
    assert capsys.readouterr().out == "out/i\n"


def test_a_folder_with_something_in_it_is_not_written_over(nowhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (nowhere / "out").mkdir()
    (nowhere / "out/mine").write_text("precious")
    assert cli.run(["render", "--models", "models.yaml", "--output", "out"]) == 2
    assert (nowhere / "out/mine").read_text() == "precious"
    assert capsys.readouterr().err.startswith("error: ")


def test_a_folder_that_can_t_be_written_ends_with_1(nowhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (nowhere / "models.yaml").write_text(MANIFEST)
    lookalikes.write_reranker(nowhere / "model")
    (nowhere / "out").mkdir()
    (nowhere / "out/i").touch()
    assert cli.run(["render", "--output", "out"]) == 1
    last = capsys.readouterr().err.splitlines()[-2:]
    assert last == ["error: `out/i` can't be written: Not a directory", "hint: choose another --output"]


@pytest.mark.parametrize("command", [[], ["render", "--output", "out"], ["lock"]])
def test_no_command_shows_the_token(
    nowhere: Path, command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    (nowhere / "models.yaml").write_text(
        MANIFEST.replace("reranker", "'${HF_TOKEN}'").replace("path: model", "repo: a/b")
    )
    assert cli.run(command) == 2
    assert capsys.readouterr().err == (
        "error: models.yaml:2: `models.m.task`: must be `embedding`, `reranker` or `classifier`, not `***`\n"
    )


def test_a_bug_ends_with_3_and_leaves_a_file_to_report(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli.command, "main", lambda *_, **__: 1 / 0)
    assert cli.run([]) == 3
    error, hint = capsys.readouterr().err.splitlines()
    assert error == "error: this is a bug of build-image: ZeroDivisionError: division by zero"
    file = Path(hint.rpartition(" ")[2])
    assert "ZeroDivisionError" in file.read_text()
    file.unlink()


def test_an_interrupt_ends_with_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.command, "main", interrupted)
    assert cli.run([]) == 130
    assert capsys.readouterr().err == "interrupted\n"


PRINTING = [["schema"], ["--help"], ["--version"], ["lock", "--help"]]


@pytest.mark.parametrize("arguments", PRINTING, ids=" ".join)
def test_a_result_that_finds_no_space_ends_with_1(arguments: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run([COMMAND, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (1, "error: cannot write to stdout: No space left on device\n")


@pytest.mark.parametrize("arguments", PRINTING, ids=" ".join)
def test_a_result_that_nobody_reads_ends_the_program_quietly(arguments: list[str], nobody: int) -> None:
    ended = subprocess.run([COMMAND, *arguments], stdout=nobody, stderr=subprocess.PIPE, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (141, "")


def test_an_error_that_nobody_reads_ends_the_program_like_a_result(nobody: int) -> None:
    assert subprocess.run([COMMAND, "--modles"], stdout=nobody, stderr=nobody, check=False).returncode == 141


def test_an_error_that_finds_no_space_keeps_its_exit_code() -> None:
    with Path("/dev/full").open("w") as full:
        assert subprocess.run([COMMAND, "--modles"], stdout=full, stderr=full, check=False).returncode == 2


INTERRUPTED = """
import os, signal
from builder import cli

signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests themselves may run under nohup

def main(*_, **__):
    try:
        os.kill(os.getpid(), signal.SIGHUP)
    finally:
        os.kill(os.getpid(), signal.SIGINT)
        print("cleaned up")

cli.command.main = main
cli.main()
"""


def test_a_hang_up_is_an_interrupt_and_a_second_one_disturbs_no_cleaning_up() -> None:
    ended = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "cleaned up\n", "interrupted\n")


@pytest.mark.parametrize(("flag", "command"), [("--push", "render"), ("--push", "plan")])
def test_a_flag_of_the_build_is_refused_by_other_commands(
    flag: str, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run([flag, command]) == 2
    assert capsys.readouterr().err == f"error: {flag} builds images, and `{command}` does not\n"


def test_what_is_not_tested_can_t_be_pushed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["--push", "--build-only"]) == 2
    assert capsys.readouterr().err == "error: only what was tested is pushed\nhint: leave out --build-only or --push\n"


def test_a_plan_is_made_without_an_engine_and_writes_nothing(nowhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (nowhere / "models.yaml").write_text(MANIFEST)
    lookalikes.write_reranker(nowhere / "model")
    before = sorted(path.name for path in nowhere.iterdir())
    assert cli.run(["plan"]) == 0
    ended = capsys.readouterr()
    assert ended.out.splitlines()[1].split() == ["i", "i:latest", "150", "MB", "+", "base", "-"]
    assert ended.err == (
        "warning: what is there already is not known: cannot connect to the Docker Engine: No such file or directory\n"
        "warning: the lock lacks the base image's digest, which tags of `lock.digest` depend on\n"
    )
    assert sorted(path.name for path in nowhere.iterdir()) == before
