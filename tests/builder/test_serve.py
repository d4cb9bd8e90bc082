"""`build-image serve` as a person runs it: a real server on loopback, from a cache that the stand-in Hub filled."""

import json
import signal
import sys
import tomllib
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from builder import cli, serve
from builder.cache import Cache
from builder.errors import InputError
from tests.builder import data
from tests.conftest import Golden
from tests.runtime.server import ROOT, free_port
from tests.support import project
from tests.support.lookalikes import WIDTH
from tests.support.project import Project

READY = "ready after"


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Project]:
    made = project.make(tmp_path)
    yield made
    made.hub.close()


@contextmanager
def served(made: Project, *arguments: str, **variables: str) -> Iterator[tuple[Any, list[str]]]:
    """Start the server and wait until it is ready; yields the process and the lines until then."""
    with made.start("serve", *arguments, **variables) as process:
        assert process.stderr is not None
        lines: list[str] = []
        try:
            for line in process.stderr:
                lines.append(line.rstrip())
                if READY in line:
                    break
            assert READY in lines[-1], lines
            yield process, lines
        finally:
            process.kill()


def embed(port: int) -> list[float]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/embeddings",
        data=json.dumps({"input": "hello"}).encode(),
        headers={"Content-Type": "application/json"},
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=20) as answer:
        (found,) = json.load(answer)["data"]
    return list(found["embedding"])


def test_the_help_is_as_it_was(golden: Golden, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["serve", "--help"]) == 0
    golden.check(capsys.readouterr().out, "serve-help.txt")


def test_an_empty_cache_is_filled_and_served_until_sigterm(made: Project) -> None:
    port = free_port()
    with made.hub, served(made, "--port", str(port)) as (process, lines):
        assert f"serving embedder, reranker at http://127.0.0.1:{port}" in lines
        assert sum(value**2 for value in embed(port)) == pytest.approx(1, abs=1e-4)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
        assert process.returncode == 0


def test_a_whole_cache_is_served_without_the_hub_until_ctrl_c(made: Project) -> None:
    with made.hub:
        made.run("cache")
    variables = {"RUNTIME_HTTP_PORT": str(free_port()), "HF_ALLOW_REMOTE_MODELS": "false"}
    with served(made, **variables) as (process, _):
        assert len(embed(int(variables["RUNTIME_HTTP_PORT"]))) == WIDTH
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
        assert process.returncode == 130


def test_what_the_cache_lacks_is_named_where_the_hub_may_not_be_asked(made: Project) -> None:
    with made.hub:
        made.run("lock")
    code, _, err = made.run("serve", HF_ALLOW_REMOTE_MODELS="false", HF_PRELOAD_TARGETS="reranker")
    assert (code, err.count(" is missing ("), err.count("\nhint: ")) == (2, 6, 1)


def test_the_bundle_in_the_cache_names_the_files_of_the_cache(tmp_path: Path) -> None:
    launch = serve.prepare([data.fetched()], Cache(transformers=tmp_path / "transformers"), environment={"A": "1"})
    path = Path(launch.environment["RUNTIME_BUNDLE"])
    (model,) = json.loads(path.read_text())["models"]
    assert model["path"] == f"{tmp_path}/hub/models--example--reranker/snapshots/{data.COMMIT}"
    assert path.parent.parent == tmp_path / ".build-image/bundles"
    assert [child.name for child in path.parent.iterdir()] == ["bundle.json"]


def test_the_server_stays_on_this_machine_and_off_the_hub(tmp_path: Path) -> None:
    launch = serve.prepare([data.fetched()], Cache(transformers=tmp_path / "transformers"), environment={"A": "1"})
    environment = {name: value for name, value in launch.environment.items() if name != "RUNTIME_BUNDLE"}
    assert (launch.command, launch.address) == ((sys.executable, "-P", "-m", "runtime"), "http://127.0.0.1:8080")
    assert environment == {
        "A": "1",
        "RUNTIME_HOSTNAME": "127.0.0.1",
        "RUNTIME_HTTP_PORT": "8080",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "ORT_DISABLE_TELEMETRY": "1",
    }


def test_the_server_s_own_settings_win_and_the_flag_wins_over_them(tmp_path: Path) -> None:
    environment = {"RUNTIME_HOSTNAME": "::1", "RUNTIME_HTTP_PORT": "9000"}
    cache = Cache(transformers=tmp_path / "transformers")
    addresses = [
        serve.prepare([data.fetched()], cache, environment=environment, port=port).address for port in (None, 9001)
    ]
    assert addresses == ["http://[::1]:9000", "http://[::1]:9001"]


def test_the_libraries_that_are_looked_for_are_those_of_the_server() -> None:
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    assert [requirement.partition(">")[0] for requirement in groups["runtime"]] == list(serve.LIBRARIES)


def test_a_library_that_is_missing_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "LIBRARIES", ("numpy", "not_a_library"))
    with pytest.raises(InputError) as caught:
        serve.require_libraries()
    command = f"{sys.executable} -m pip install --require-hashes -r {ROOT / 'runtime/requirements.txt'}"
    assert caught.value.message == "the server needs what is not installed here: not_a_library"
    assert caught.value.hint == f"run `{command}`"
