"""A rendered stack on a Swarm of one node: two replicas are replaced under load, and no request fails.

The load comes from a service of the stack's own network, by the addresses of the tasks: where a kernel has no IPVS,
there is nothing behind a service's one address. The Swarm is that of an engine of its own, in a network of its own.
"""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from builder.engine import Engine
from tests.engine import docker_command
from tests.engine.command import build_image, manifest
from tests.support import private_engine as private_engines

pytestmark = [pytest.mark.engine, docker_command.needs("stack", "config", "--help")]

STACK = "search"
LIMIT_S = 150
_POLL_S = 0.5

# Asks every server for work and for its model, on connections that it keeps, and prints all outcomes so far.
LOAD = """
import http.client, itertools, json, socket, time
outcomes, connections, address = {}, {}, None
def ask(address, method, path, body=None):
    connection = connections.setdefault(address, http.client.HTTPConnection(address, 8080, timeout=20))
    connection.request(method, path, body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    return response.status, json.loads(response.read())
for turn in itertools.count():
    try:
        found = sorted({entry[4][0] for entry in socket.getaddrinfo("tasks.%s", 8080, socket.AF_INET)})
        address = found[turn %% len(found)]
        status, _ = ask(address, "POST", "/v1/embeddings", json.dumps({"input": "the cat sits " * 20}))
        outcome = f"{status} {ask(address, 'GET', '/info?model=embedder')[1]['model_sha']}"
    except Exception as error:
        outcome = repr(error)
        connections.pop(address, None)
    outcomes[outcome] = outcomes.get(outcome, 0) + 1
    if turn %% 20 == 0:
        print(json.dumps(outcomes), flush=True)
    time.sleep(0.02)
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Swarm:
    """A Swarm of one node, whose engine has images of two releases: the model's revisions are their values."""

    address: str
    releases: dict[str, str]
    files: Path
    service: str

    def docker(self, *arguments: str) -> str:
        ended = subprocess.run(
            ["docker", *arguments],
            env={**os.environ, "DOCKER_HOST": self.address},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def deploy(self, release: str) -> None:
        files = [f"--compose-file={self.files / release / 'stack.yaml'}", f"--compose-file={self.files / 'load.yaml'}"]
        self.docker("stack", "deploy", "--detach", "--resolve-image=never", *files, STACK)

    def inspect(self) -> dict[str, Any]:
        (found,) = json.loads(self.docker("service", "inspect", f"{STACK}_{self.service}"))
        return dict(found)

    def replicas(self) -> str:
        names = ("--filter", f"name={STACK}_{self.service}")
        return self.docker("service", "ls", *names, "--format", "{{.Replicas}}").strip()

    def outcomes(self) -> dict[str, int]:
        lines = self.docker("service", "logs", "--raw", f"{STACK}_load").splitlines()
        return dict(json.loads(lines[-1])) if lines else {}


def wait_until(condition: Callable[[], bool], *, what: Callable[[], object]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(_POLL_S)
    pytest.fail(f"still not so after {LIMIT_S} s: {what()}")


def release(folder: Path, name: str, tag: str, *, text: str, output: Path) -> str:
    """Build an image whose embedder has a README with `text`, render its stack, and return the embedder's revision."""
    (folder / "embedder/README.md").write_text(text)
    path = manifest(folder, name)
    content = json.loads(path.read_text())
    content["images"][name]["tags"] = [tag]
    path.write_text(json.dumps(content))
    report = output / f"{tag}.json"
    ended = build_image("--models", path, "--report", report)
    assert ended.code == 0, ended.err
    rendered = build_image("render", "--models", path, "--format", "stack", "--cpus", "1", "--output", output / tag)
    assert rendered.code == 0, rendered.err
    models = json.loads(report.read_text())["images"][0]["models"]
    return str(next(model["revision"] for model in models if model["name"] == "embedder"))


@pytest.fixture
def swarm(
    engine: Engine, folder: Path, name: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Swarm]:
    if not private_engines.can_run():
        pytest.skip("an engine of its own needs root and dockerd")
    releases = {tag: release(folder, name, tag, text=f"release {tag}", output=tmp_path) for tag in ("one", "two")}
    load = {"image": f"{name}:one", "entrypoint": ["python3", "-c", LOAD % name], "healthcheck": {"disable": True}}
    (tmp_path / "load.yaml").write_text(yaml.safe_dump({"version": "3.9", "services": {"load": load}}))
    place = tmp_path_factory.mktemp("swarm")  # a short name: the engine's sockets lie in it
    with private_engines.running(place, options=["--storage-driver=overlay2"]) as started:
        made = Swarm(address=started.address, releases=releases, files=tmp_path, service=name)
        _copy(name, started.address)
        made.docker("swarm", "init", "--advertise-addr=127.0.0.1", "--listen-addr=127.0.0.1")
        yield made
        made.docker("swarm", "leave", "--force")
    for tag in releases:
        engine.remove_image(f"{name}:{tag}")


def _copy(name: str, address: str) -> None:
    """Copy both releases from the machine's engine to another."""
    with subprocess.Popen(["docker", "save", f"{name}:one", f"{name}:two"], stdout=subprocess.PIPE) as saved:
        subprocess.run(["docker", "--host", address, "load"], stdin=saved.stdout, check=True, capture_output=True)


def test_replicas_are_replaced_under_load_and_no_request_fails(swarm: Swarm) -> None:
    one, two = (f"200 {swarm.releases[tag]}" for tag in ("one", "two"))
    swarm.deploy("one")
    wait_until(lambda: swarm.replicas() == "2/2", what=lambda: swarm.docker("stack", "ps", "--no-trunc", STACK))
    wait_until(lambda: swarm.outcomes().get(one, 0) > 20, what=swarm.outcomes)
    before = swarm.outcomes()

    swarm.deploy("two")
    wait_until(
        lambda: swarm.inspect().get("UpdateStatus", {}).get("State") == "completed",
        what=lambda: swarm.docker("stack", "ps", "--no-trunc", STACK),
    )
    wait_until(lambda: swarm.outcomes().get(two, 0) > 20, what=swarm.outcomes)

    since = {outcome: count - before.get(outcome, 0) for outcome, count in swarm.outcomes().items()}
    assert {outcome for outcome, count in since.items() if count} == {one, two}
