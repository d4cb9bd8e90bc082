import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from errno import ENOSPC
from pathlib import Path

import httpx2
import pytest
from huggingface_hub import constants

from templates.stages import fetch_model
from tests.support.hub_server import HubServer

PROGRAM = Path(fetch_model.__file__)
REPOSITORY = "example/model"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "hf_right"
HUB = f"the Hub at {constants.ENDPOINT}"
FILES = {"config.json": b"{}", "onnx/model.onnx": b"graph", "onnx/model.onnx_data": bytes(1_234_567)}


@dataclass(frozen=True, kw_only=True)
class Run:
    code: int
    output: str
    errors: str
    directory: Path


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What a build stage has: a folder to write to, and a Hub."""

    directory: Path
    server: HubServer

    def fetch(self, *files: str, repo: str = REPOSITORY, revision: str = COMMIT, token: str | None = TOKEN) -> Run:
        spec, secret = self.directory / "fetch.json", self.directory / "hf_token"
        spec.write_text(json.dumps({"repo": repo, "revision": revision, "files": files}))
        if token is not None:
            secret.write_text(token + "\n")
        environment = {"HF_ENDPOINT": self.server.endpoint, "HF_TOKEN_PATH": str(secret), "HOME": str(self.directory)}
        snapshot = self.directory / "out/snapshot"
        done = subprocess.run(
            [sys.executable, PROGRAM, spec, snapshot],
            env={"PATH": os.environ["PATH"], **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        return Run(code=done.returncode, output=done.stdout, errors=done.stderr, directory=snapshot)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    for name in (REPOSITORY, "example/gated"):
        for path, content in FILES.items():
            file = tmp_path / "hub" / name / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        (tmp_path / "hub" / name / "modeling.py").write_text("raise SystemExit")
    with HubServer(tmp_path / "hub", token=TOKEN, gated=["example/gated"]) as server:
        yield Stage(directory=tmp_path, server=server)


def test_exactly_the_files_asked_for_arrive_as_real_files(stage: Stage) -> None:
    run = stage.fetch(*FILES)

    found = {path.relative_to(run.directory).as_posix(): path for path in run.directory.rglob("*") if not path.is_dir()}
    assert run.code == 0
    assert {path: (file.is_symlink(), file.read_bytes()) for path, file in found.items()} == {
        path: (False, content) for path, content in FILES.items()
    }


def test_nothing_else_is_left_in_the_snapshot(stage: Stage) -> None:
    run = stage.fetch("config.json")
    assert list(run.directory.iterdir()) == [run.directory / "config.json"]


def test_each_file_is_one_line_with_its_size(stage: Stage) -> None:
    run = stage.fetch(*FILES)

    *lines, last = run.output.splitlines()
    assert lines == [
        f"fetching 3 files of {REPOSITORY} at {COMMIT} from {stage.server.endpoint}",
        "  config.json  2 B",
        "  onnx/model.onnx  5 B",
        "  onnx/model.onnx_data  1.23 MB",
    ]
    assert last.startswith("fetched 1.23 MB in ")


def test_the_token_reaches_the_hub_alone_and_is_not_printed(stage: Stage) -> None:
    run = stage.fetch("onnx/model.onnx")

    path = f"/{REPOSITORY}/resolve/{COMMIT}/onnx/model.onnx"
    content_path = f"/content-network/{REPOSITORY}/onnx/model.onnx"
    asked = [(request.method, request.path, request.authorized) for request in stage.server.requests]
    assert asked == [("HEAD", path, True), ("GET", content_path, False)]
    assert TOKEN not in run.output + run.errors


def test_a_public_model_needs_no_token(stage: Stage) -> None:
    stage.server.token = None
    run = stage.fetch("config.json", token=None)

    assert run.code == 0
    assert [request.authorized for request in stage.server.requests] == [False, False]


def failure(
    stage: Stage, *files: str, repo: str = REPOSITORY, revision: str = COMMIT, token: str | None = TOKEN
) -> str:
    """Fetch what can't be fetched and return the one line that says so."""
    run = stage.fetch(*files, repo=repo, revision=revision, token=token)
    (line,) = run.errors.splitlines()
    assert (run.code, TOKEN in line) == (1, False)
    return line


def test_an_unknown_repository_says_what_to_check(stage: Stage) -> None:
    line = failure(stage, "config.json", repo="example/absent")
    hub = f"the Hub at {stage.server.endpoint} has no repository `example/absent`"
    assert line == f"error: {hub} that this build may read (HTTP 404): check `repo` and HF_TOKEN"


def test_a_missing_token_says_what_to_check(stage: Stage) -> None:
    line = failure(stage, "config.json", token=None)
    hub = f"the Hub at {stage.server.endpoint} has no repository `{REPOSITORY}`"
    assert line == f"error: {hub} that this build may read (HTTP 401): check `repo` and HF_TOKEN"


def test_a_gated_repository_says_what_to_do(stage: Stage) -> None:
    assert failure(stage, "config.json", repo="example/gated") == (
        "error: `example/gated` is gated: accept its licence on its page, then pass a token of that account as HF_TOKEN"
    )


def test_a_file_that_is_gone_is_named(stage: Stage) -> None:
    assert failure(stage, "absent.json") == f"error: `{REPOSITORY}` has no file `absent.json` at `{COMMIT}`"


def test_a_revision_that_is_gone_is_named(stage: Stage) -> None:
    assert failure(stage, "config.json", revision="v1") == f"error: `{REPOSITORY}` has no revision `v1` any more"


def test_a_token_that_no_header_can_hold_is_not_printed(stage: Stage) -> None:
    line = failure(stage, "config.json", token=f"{TOKEN}\nsecond line")
    assert line == "error: the Hub token holds characters that can't be sent: check HF_TOKEN"


def test_a_server_error_is_told_by_its_status() -> None:
    assert fetch_model.explain_status(503, hub="the Hub", repo="o/n") == "the Hub answers HTTP 503 for `o/n`"


def test_a_rate_limit_says_what_to_do() -> None:
    text = "the Hub limits the rate of requests: try again later, or pass a token as HF_TOKEN"
    assert fetch_model.explain_status(429, hub="the Hub", repo="o/n") == text


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            OSError(ENOSPC, "No space left on device"),
            "no space left for `f` of `o/n`: free some on the disk of the Docker Engine",
        ),
        (
            httpx2.ConnectError("[Errno 111] Connection refused"),
            f"`f` of `o/n` can't be fetched from {HUB}: [Errno 111] Connection refused",
        ),
        (
            httpx2.ReadTimeout(""),
            f"`f` of `o/n` can't be fetched from {HUB}: ReadTimeout",
        ),
        (
            OSError("Consistency check failed:\nfile should be of size 2"),
            f"`f` of `o/n` can't be fetched from {HUB}: Consistency check failed: file should be of size 2",
        ),
    ],
)
def test_other_failures_are_one_line(error: BaseException, text: str) -> None:
    assert fetch_model.explain(error, repo="o/n", revision=COMMIT, path="f") == text


def test_credentials_in_an_address_are_not_printed() -> None:
    assert fetch_model.host("https://user:secret@mirror.example.com/hub") == "https://mirror.example.com/hub"


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (1234, "1.23 kB"), (1_234_521_088, "1.23 GB"), (5e12, "5e+03 GB")]
)
def test_sizes_are_written_as_people_read_them(size: float, text: str) -> None:
    assert fetch_model.readable(size) == text
