"""What the commands beside the server print, and their exit codes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.__main__ import USAGE
from tests.runtime import tiny
from tests.runtime.conftest import Folders
from tests.runtime.server import Server, environment, free_port, run_command

BODY = '{"query": "é", "texts": ["cat"]}'


def probe(server: Server, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return run_command("probe", *arguments, stdin=stdin, hostname="127.0.0.1", http_port=str(server.port))


def test_a_probe_asks_for_health(server: Server) -> None:
    answered = probe(server)
    assert (answered.returncode, answered.stdout, answered.stderr) == (0, '{"status":"ok"}\n', "")


def test_a_probe_reaches_a_server_that_listens_everywhere(server: Server) -> None:
    assert run_command("probe", http_port=str(server.port)).returncode == 0


@pytest.mark.parametrize(("argument", "stdin"), [(BODY, ""), ("-", BODY)])
def test_a_probe_posts_a_body(server: Server, argument: str, stdin: str) -> None:
    answered = probe(server, "/rerank", "--json", argument, stdin=stdin)
    assert (answered.returncode, [item["index"] for item in json.loads(answered.stdout)]) == (0, [0])


def test_a_probe_fails_on_an_error_and_prints_it(server: Server) -> None:
    answered = probe(server, "/nowhere")
    message = "there is no `/nowhere` here"
    assert (answered.returncode, json.loads(answered.stdout)["message"]) == (1, message)


def test_a_probe_of_nothing_fails_in_one_line() -> None:
    port = free_port()
    answered = run_command("probe", http_port=str(port))
    assert (answered.returncode, answered.stdout, answered.stderr) == (
        1,
        "",
        f"error: `127.0.0.1:{port}/health`: [Errno 111] Connection refused\n",
    )


def test_a_probe_imports_nothing_heavy() -> None:
    heavy = ("numpy", "msgspec", "starlette", "uvicorn", "asyncio", "dataclasses", "argparse", "logging")
    script = f"import runtime.__main__, runtime.probe, sys; print(sorted(set(sys.modules) & set({heavy})))"
    # -S keeps away what a development environment imports by itself
    command = [sys.executable, "-S", "-c", script]
    output = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True).stdout
    assert output == "[]\n"


def test_a_self_test_reports_every_model(folders: Folders) -> None:
    tested = run_command("selftest", bundle=str(folders.bundle))
    report = json.loads(tested.stdout)
    assert (tested.returncode, tested.stderr, report["passed"]) == (0, "", True)
    assert [(model["name"], model["passed"], sorted(model["timings"])) for model in report["models"]] == [
        ("tiny", True, ["checks", "load"]),
        ("ranker", True, ["checks", "load"]),
    ]


def test_nothing_is_written(folders: Folders, tmp_path: Path) -> None:
    variables = {**environment(bundle=str(folders.bundle)), "HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "runtime", "selftest"]
    subprocess.run(command, env=variables, cwd=tmp_path, stdout=subprocess.DEVNULL, check=True)
    assert list(tmp_path.iterdir()) == []


def test_a_self_test_that_fails_ends_with_1_and_still_reports(folders: Folders, tmp_path: Path) -> None:
    bundle = tiny.write_bundle(tmp_path / "bundle.json", tiny.embedder_entry(folders.embedder, dimensions=[768]))
    tested = run_command("selftest", bundle=str(bundle))
    assert (tested.returncode, json.loads(tested.stdout)["passed"]) == (1, False)


def test_info_prints_the_bundle_versions_and_threads(folders: Folders) -> None:
    facts = json.loads(run_command("info", bundle=str(folders.bundle), intra_op_threads="3").stdout)
    assert facts["bundle"] == json.loads(folders.bundle.read_text())
    assert facts["threads"]["intra_op"] == 3
    assert {"python", "onnxruntime", "tokenizers"} <= set(facts["versions"])


@pytest.mark.parametrize("command", ["selftest", "info"])
def test_a_missing_bundle_is_one_line(command: str) -> None:
    failed = run_command(command, bundle="/nowhere.json")
    assert (failed.returncode, failed.stdout, failed.stderr) == (
        1,
        "",
        "error: `/nowhere.json`: No such file or directory\n",
    )


def test_settings_are_refused_all_at_once() -> None:
    failed = run_command("info", http_port="x", log_level="y")
    assert (failed.returncode, failed.stderr.splitlines()) == (
        2,
        [
            "error: `RUNTIME_HTTP_PORT`: `x` is not an integer from 1 to 65535",
            "error: `RUNTIME_LOG_LEVEL`: `y` is not one of critical, error, warning, info, debug",
        ],
    )


@pytest.mark.parametrize(
    "arguments",
    [["serv"], ["info", "x"], ["probe", "health"], ["probe", "/a", "/b"], ["probe", "--json"], ["--version"]],
)
def test_what_is_no_command_prints_the_usage(arguments: list[str]) -> None:
    failed = run_command(*arguments)
    assert (failed.returncode, failed.stdout, failed.stderr) == (2, "", USAGE)


def test_help_is_no_error() -> None:
    helped = run_command("--help")
    assert (helped.returncode, helped.stdout, helped.stderr) == (0, USAGE, "")
