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
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.program import Program, seconds
from builder import network
from builder.bake import FILE_VARIABLES, TEXT_VARIABLES
from builder.engine import Engine
from builder.labels import MODELS_LABEL
from tests.support import lookalikes

REPOSITORY = "build-image-benchmark"
ROUNDS = 3
WEIGHTS_BYTES = 20_000_000
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


def compare(program: Program, folder: Path) -> None:
    """Take turns with bake, and print the medians of the rounds' ratios."""
    lookalikes.write_embedding_model(folder / "source")
    warm = _side(program, folder, "warm")
    _built(program, warm, "--build-only")()  # from here on the engine has the server's packages
    times: list[list[float]] = []
    for number in range(ROUNDS):
        sides = [_side(program, folder, f"{number}-{turn}") for turn in "abc"]
        actions = [_bake(program, sides[0]), _built(program, sides[1], "--build-only"), _built(program, sides[2])]
        spent = {action: seconds(action) for action in (actions if number % 2 else actions[::-1])}
        times.append([spent[action] for action in actions])
        for side in sides:
            shutil.rmtree(side.folder)
    _forget()
    medians = [statistics.median(column) for column in zip(*times, strict=True)]
    ratios = [statistics.median(row[column] / row[0] for row in times) for column in (1, 2)]
    what = "eight images of four models"
    print(f"{what}: docker buildx bake         {medians[0]:5.1f} s")
    print(f"{what}: build-image -j 4           {medians[1]:5.1f} s, {ratios[0]:.2f} times bake (at most 1.15 wanted)")
    print(f"{what}: with tests, gates and tags {medians[2]:5.1f} s, {ratios[1]:.2f} times bake")


def _side(program: Program, folder: Path, name: str) -> Side:
    """Make models with weights of their own, and lock them."""
    side = Side(folder=folder / name, environment={"XDG_CACHE_HOME": str(folder / "cache")})
    for model in MODELS:
        shutil.copytree(folder / "source", side.folder / model)
        with (side.folder / model / "onnx/model.onnx_data").open("ab") as weights:
            weights.write(os.urandom(WEIGHTS_BYTES))
    models = {model: {"task": "embedding", "path": model} for model in MODELS}
    images = {image: {"models": list(pair), "repository": f"{REPOSITORY}/{image}"} for image, pair in IMAGES.items()}
    side.manifest.write_text(json.dumps({"version": 1, "models": models, "images": images}))
    program.run("lock", "--models", side.manifest, environment=side.environment)
    return side


def _built(program: Program, side: Side, *flags: str) -> Callable[[], None]:
    return lambda: program.run("--models", side.manifest, "-j", "4", *flags, environment=side.environment)


def _bake(program: Program, side: Side) -> Callable[[], None]:
    """Render, which is not timed, and return the command that bakes."""
    rendered = side.folder / "rendered"
    flags = ("--models", side.manifest, "--format", "bake", "--output", rendered)
    program.run("render", *flags, environment=side.environment)
    secrets = network.secrets(os.environ, ca_bundle=network.ca_bundle_path(os.environ))
    given = {**os.environ, **{name: secrets.get(secret, b"").decode() for secret, name in TEXT_VARIABLES.items()}}
    for secret, name in FILE_VARIABLES.items():
        if secret in secrets:
            (rendered / secret).write_bytes(secrets[secret])
            given[name] = secret
    command = ["docker", "buildx", "bake", "--progress", "quiet"]

    def bake() -> None:
        subprocess.run(command, check=True, cwd=rendered, env=given, stdout=subprocess.DEVNULL)

    return bake


def _forget() -> None:
    """Remove the images; what of them is in the build cache goes with that."""
    with Engine.connect() as engine:
        for image in engine.images(label=MODELS_LABEL):
            if any(name.startswith(f"{REPOSITORY}/") for name in image.names):
                engine.remove_image(image.id)
