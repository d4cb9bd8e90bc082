"""An engine that is killed, or stopped, in every phase of a run: what is told, what it has afterwards, what goes on."""

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from builder.engine import Engine
from tests.engine.command import COMMAND, Ended
from tests.support import engine_relay, lookalikes
from tests.support import private_engine as private_engines
from tests.support.private_engine import PrivateEngine

pytestmark = pytest.mark.engine

BASE = "debian:bookworm-slim"
NAMES = ("restarts:1", "restarts:latest")
WEIGHTS_BYTES = 80_000_000
TIMEOUT_S = 60


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """A folder with a manifest of an image of weights, and one for the files of a private engine."""

    folder: Path
    root: Path
    options: list[str] = field(default_factory=lambda: ["--storage-driver=overlay2"])

    def run(self, address: str) -> Ended:
        """Run the command to its end."""
        return end(self.start(address))

    def start(self, address: str) -> "subprocess.Popen[str]":
        """Start the command against the engine at `address`."""
        return subprocess.Popen(
            [COMMAND, "--models", str(self.folder / "models.yaml")],
            env={**os.environ, "DOCKER_HOST": address, "XDG_CACHE_HOME": str(self.folder / "memory")},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def held(self, address: str) -> tuple[list[bool], int]:
        """Tell which of the image's names the engine has, and how many containers."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DOCKER_HOST", address)
            with Engine.connect() as engine:
                return [engine.has_image(name) for name in NAMES], len(engine.containers())


def end(process: "subprocess.Popen[str]") -> Ended:
    out, err = process.communicate(timeout=TIMEOUT_S)
    return Ended(code=process.returncode, out=out, err=err)


def read_until(text: str, process: "subprocess.Popen[str]") -> None:
    assert process.stderr is not None
    assert any(text in line for line in process.stderr), f"the run ended without `{text}`"


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Place:
    if not private_engines.can_run():
        pytest.skip("a private engine needs root and dockerd")
    lookalikes.write_embedding_model(tmp_path / "embedder")
    with (tmp_path / "embedder/onnx/model.onnx_data").open("ab") as weights:
        weights.write(os.urandom(WEIGHTS_BYTES))  # so that making the layer takes a while
    content = {
        "version": 1,
        "models": {"embedder": {"task": "embedding", "path": "embedder"}},
        "images": {"restarts": {"models": ["embedder"], "kind": "models", "tags": ["1", "latest"]}},
    }
    (tmp_path / "models.yaml").write_text(json.dumps(content))
    return Place(folder=tmp_path, root=tmp_path_factory.mktemp("engine"))


@pytest.fixture
def started(engine: Engine, place: Place) -> Iterator[PrivateEngine]:
    """A private engine with the base image."""
    with private_engines.running(place.root, options=place.options) as running:
        running.take(engine, BASE)
        yield running


HELD = {
    "planning": "GET /.*/images/debian",
    "opening the session": "POST /.*/session",
    "inspecting what was built": "GET /.*/images/sha256.*/json",
    "reading the files": "GET /.*/containers/.*/archive",
    "gates": "GET /.*/images/.*/get",
    "tagging": "POST /.*/images/.*/tag",
}
ENDINGS: dict[str, Callable[[PrivateEngine], None]] = {"killed": PrivateEngine.die, "stopped": PrivateEngine.stop}


@pytest.mark.parametrize("request_", HELD.values(), ids=HELD)
def test_an_engine_that_is_killed_in_any_phase_is_told_and_once_it_is_back_the_next_run_finishes(
    place: Place, started: PrivateEngine, request_: str
) -> None:
    with engine_relay.relayed(started.address, folder=place.folder) as relay:
        relay.hold(request_)
        process = place.start(relay.address)
        assert relay.reached.wait(TIMEOUT_S)
        started.die()
        relay.release()
        check_told(end(process))
    check_next_run(place)


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
@pytest.mark.parametrize(("line", "is_made"), [("building embedder", False), ("COPY --from=model-embedder", True)])
def test_an_engine_that_ends_during_a_build_is_told_and_once_it_is_back_finished_steps_are_not_made_again(
    place: Place, started: PrivateEngine, line: str, ending: Callable[[PrivateEngine], None], *, is_made: bool
) -> None:
    process = place.start(started.address)
    read_until(line, process)
    ending(started)
    check_told(end(process))
    again = check_next_run(place)
    assert is_made == bool(re.search(r"^  cached  .*bake-model\.sh", again.err, re.MULTILINE)), again.err


def check_told(ended: Ended) -> None:
    assert (ended.code, "Traceback" in ended.err) == (4, False), ended.err
    assert re.search(r"^error: (?:.*\n)+hint: ", ended.err, re.MULTILINE), ended.err


def check_next_run(place: Place) -> Ended:
    """Start the engine again, and hold what it has to what a run may leave behind, then a further run to its end."""
    with private_engines.running(place.root, options=place.options) as started:
        assert place.held(started.address)[0] == [False, False]
        again = place.run(started.address)
        assert (again.code, place.held(started.address)) == (0, ([True, True], 0)), again.err
    return again
