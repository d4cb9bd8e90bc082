"""Measure many images at once against `docker buildx bake` on the same rendered contexts; prints ratios from one run.

Both sides begin every round in one state of the engine's cache: the server's packages are there, and the models are
new to it, since each side gets models of its own. Bake neither tests nor tags after a test, so what is compared is
building alone; the time with smoke tests, gates and tags is printed beside it.
"""

import json
import os
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.program import Program, seconds
from builder import network
from builder.bake import FILE, FILE_VARIABLES, TEXT_VARIABLES
from tests.support import lookalikes
from tests.support.hub_server import HubServer

ROUNDS = 3
WEIGHTS_BYTES = 60_000_000
MODELS = tuple(f"model-{number}" for number in range(4))
IMAGES = {f"bench-{number}": (MODELS[number % 4], MODELS[(number + 1 + number // 4) % 4]) for number in range(8)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Side:
    """One side's folder in one round: a manifest of eight images, whose four models no engine has seen."""

    folder: Path
    environment: dict[str, str]

    @property
    def manifest(self) -> Path:
        """The manifest."""
        return self.folder / "models.yaml"


def compare(program: Program, folder: Path, *, is_fetched: bool) -> None:
    """Take turns with bake, and print the medians of the rounds' ratios."""
    source = folder / "source"
    lookalikes.write_embedding_model(source)
    with HubServer(folder / "hub") as hub:
        environment = {"HF_ENDPOINT": hub.endpoint, "HF_TOKEN": "", "XDG_CACHE_HOME": str(folder / "cache")}
        times: list[list[float]] = []
        warm = _side(program, source, folder, "warm", environment, is_fetched=is_fetched)
        _built(program, warm, "--build-only")()  # from here on the engine has the server's packages
        for number in range(ROUNDS):
            sides = [
                _side(program, source, folder, f"{number}-{turn}", environment, is_fetched=is_fetched)
                for turn in ("a", "b", "c")
            ]
            actions: list[Callable[[], None]] = [
                _bake(program, sides[0]),
                _built(program, sides[1], "--build-only"),
                _built(program, sides[2]),
            ]
            order = actions if number % 2 else actions[::-1]
            spent = {action: seconds(action) for action in order}
            times.append([spent[action] for action in actions])
            for side in sides:
                shutil.rmtree(side.folder)
    medians = [statistics.median(column) for column in zip(*times, strict=True)]
    ratios = [statistics.median(row[column] / row[0] for row in times) for column in (1, 2)]
    what = f"eight images of four {'fetched' if is_fetched else 'local'} models"
    print(f"{what}: docker buildx bake         {medians[0]:5.1f} s")
    print(f"{what}: build-image -j 4           {medians[1]:5.1f} s, {ratios[0]:.2f} times bake (at most 1.15 wanted)")
    print(f"{what}: with tests, gates and tags {medians[2]:5.1f} s, {ratios[1]:.2f} times bake")


def _side(
    program: Program, source: Path, folder: Path, name: str, environment: dict[str, str], *, is_fetched: bool
) -> Side:
    """Make models with weights of their own, and lock them."""
    organisation = f"bench-{time.time_ns()}"
    place = folder / "hub" / organisation if is_fetched else folder / name
    for model in MODELS:
        shutil.copytree(source, place / model)
        with (place / model / "onnx/model.onnx_data").open("ab") as weights:
            weights.write(os.urandom(WEIGHTS_BYTES))
    where = {
        model: {"repo": f"{organisation}/{model}", "revision": "0" * 40} if is_fetched else {"path": model}
        for model in MODELS
    }
    models = {model: {"task": "embedding", **where[model]} for model in MODELS}
    images = {image: {"models": list(pair), "repository": f"{image}-{name}"} for image, pair in IMAGES.items()}
    side = Side(folder=folder / name, environment=environment)
    side.folder.mkdir(exist_ok=True)
    side.manifest.write_text(json.dumps({"version": 1, "models": models, "images": images}))
    program.run("lock", "--models", side.manifest, environment=environment)
    return side


def _built(program: Program, side: Side, *flags: str) -> Callable[[], None]:
    given = ("-j", "4", "--build-network", "host", *flags)
    return lambda: program.run("--models", side.manifest, *given, environment=side.environment)


def _bake(program: Program, side: Side) -> Callable[[], None]:
    """Render, which is not timed, and return the command that bakes."""
    rendered = side.folder / "rendered"
    flags = ("--models", side.manifest, "--format", "bake", "--output", rendered)
    program.run("render", *flags, environment=side.environment)
    content = json.loads((rendered / FILE).read_text())
    content["target"]["_common"]["network"] = "host"  # the Hub is on this machine's loopback
    (rendered / FILE).write_text(json.dumps(content))
    given = {**os.environ, **side.environment}
    secrets = network.secrets(given, ca_bundle=network.ca_bundle_path(given))
    given |= {variable: secrets.get(name, b"").decode() for name, variable in TEXT_VARIABLES.items()}
    for name, variable in FILE_VARIABLES.items():
        if name in secrets:
            (rendered / name).write_bytes(secrets[name])
            given[variable] = name
    command = ["docker", "buildx", "bake", "--progress", "quiet"]

    def bake() -> None:
        subprocess.run(command, check=True, cwd=rendered, env=given, stdout=subprocess.DEVNULL)

    return bake
