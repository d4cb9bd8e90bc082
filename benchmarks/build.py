"""Measure the builder against `docker buildx build`, and what its images weigh; prints ratios from one run.

Needs a Docker Engine, the docker command with buildx, and the quickstart's models (`make quickstart` makes them).
What is measured is the program as the README installs it, in an environment of its own.
"""

import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import bake
from benchmarks.program import Program, installed, seconds
from builder import network
from builder.console import size
from builder.engine import Engine
from tests.support import lookalikes
from tests.support.checkout import ROOT
from tests.support.hub_server import HubServer

MANIFEST = ROOT / "examples" / "quickstart.yaml"
IMAGE = "build-image/quickstart:latest"
BASE = "debian:bookworm-slim"
PAIRS = 9
FLEET = 200


def compare_cached(program: Program, folder: Path) -> None:
    """Time a whole run with nothing changed against buildx on the same rendered context, in turn."""
    subprocess.run(
        [program.command, "render", "--models", MANIFEST, "--output", folder], check=True, stdout=subprocess.DEVNULL
    )
    secrets = network.secrets(os.environ, ca_bundle=network.ca_bundle_path(os.environ))
    given = []
    for name, value in secrets.items():
        (folder / name).write_bytes(value)
        given += ["--secret", f"id={name},src={folder / name}"]
    buildx = ["docker", "buildx", "build", "--quiet", *given, str(folder / "quickstart")]
    forgetful = {"XDG_CACHE_HOME": str(folder / "cache")}

    def unchanged() -> None:
        program.run("--models", MANIFEST, "--build-only")

    def asked() -> None:
        shutil.rmtree(folder / "cache" / "build-image" / "runs", ignore_errors=True)
        program.run("--models", MANIFEST, "--build-only", environment=forgetful)

    def peer() -> None:
        subprocess.run(buildx, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    for action in (unchanged, asked, peer):
        action()
    times = [(seconds(unchanged), seconds(asked), seconds(peer)) for _ in range(PAIRS)]
    medians = [statistics.median(column) for column in zip(*times, strict=True)]
    ratios = [statistics.median(row[column] / row[2] for row in times) for column in (0, 1)]
    print(f"nothing changed: docker buildx build                 {medians[2]:5.2f} s")
    print(f"nothing changed: build-image                         {medians[0]:5.2f} s, {ratios[0]:.2f} times buildx")
    print(f"nothing changed: build-image, every stage asked for  {medians[1]:5.2f} s, {ratios[1]:.2f} times buildx")


def change_runtime(program: Program, folder: Path) -> None:
    """Change the server alone, and compare the layers."""
    shutil.copytree(ROOT / "runtime", folder / "runtime", ignore=shutil.ignore_patterns("__pycache__"))
    (before,) = program.report("--models", MANIFEST, "--build-only")["images"]
    with (folder / "runtime" / "__init__.py").open("a") as module:
        module.write(f"# {time.time_ns()}\n")
    changed: dict[str, Any] = {}

    def build() -> None:
        changed.update(
            program.report("--models", MANIFEST, "--build-only", environment={"PYTHONPATH": str(folder)})["images"][0]
        )

    spent = seconds(build)
    kept = sum(layer in before["layers"] for layer in changed["layers"])
    print(f"runtime changed: {spent:.2f} s, {kept} of {len(changed['layers'])} layers kept, every model's among them")


def share_models(program: Program, folder: Path) -> None:
    """Build four images of two fetched models at once, and count what the Hub was asked for."""
    organisation = f"benchmark-{time.time_ns()}"  # new to the engine, so that it has neither stages nor files of it
    lookalikes.write_embedding_model(folder / "hub" / organisation / "embedder")
    lookalikes.write_reranker(folder / "hub" / organisation / "reranker")
    models = {
        "embedder": {"task": "embedding", "repo": f"{organisation}/embedder", "revision": "0" * 40},
        "reranker": {"task": "reranker", "repo": f"{organisation}/reranker", "revision": "0" * 40},
    }
    images = {f"benchmark-{number}": {"models": list(models)} for number in range(4)}
    manifest = folder / "four.yaml"
    manifest.write_text(json.dumps({"version": 1, "models": models, "images": images}))
    with HubServer(folder / "hub") as hub:
        environment = {"HF_ENDPOINT": hub.endpoint}
        spent = seconds(
            lambda: program.run(
                "--models", manifest, "--build-only", "--build-network", "host", "-j", "4", environment=environment
            )
        )
        graphs = [request for request in hub.requests if request.path.endswith(".onnx") and request.range is None]
        fetched = [request.path for request in graphs if request.method == "GET" and "content-network" in request.path]
    print(f"four images of two models, -j 4: {spent:.1f} s, graphs fetched: {len(fetched)}")


def plan_fleet(program: Program, folder: Path) -> None:
    """Plan 200 images that share 20 models, once they are locked."""
    lookalikes.write_reranker(folder / "reranker")
    models = {f"model-{number}": {"task": "reranker", "path": "reranker"} for number in range(20)}
    images = {
        f"image-{number}": {
            "models": [f"model-{(number + place) % 20}" for place in range(3)],
            "repository": f"registry.example.com/fleet/image-{number}",
            "tags": ["{{ lock.digest }}", "latest"],
        }
        for number in range(FLEET)
    }
    manifest = folder / "fleet.yaml"
    manifest.write_text(json.dumps({"version": 1, "models": models, "images": images}, indent=1))
    program.run("lock", "--models", manifest)
    times = [seconds(lambda: program.run("plan", "--models", manifest)) for _ in range(PAIRS)]
    print(f"plan of {FLEET} images of 20 models: {statistics.median(times):.2f} s (at most 1 wanted)")


def weigh(program: Program) -> None:
    """Print what the image adds to its base and its models."""
    with Engine.connect() as engine:
        image, base = engine.inspect_image(IMAGE), engine.inspect_image(BASE)
    (built,) = program.report("--models", MANIFEST)["images"]
    models = sum(model["size_bytes"] for model in built["models"])
    added = image.size_bytes - base.size_bytes - models
    print(f"image {size(image.size_bytes)} = base {size(base.size_bytes)} + models {size(models)} + {size(added)}")


def main() -> None:
    with installed() as program:
        program.run("--models", MANIFEST)
        weigh(program)
        for measure in (compare_cached, change_runtime, share_models, plan_fleet, bake.compare):
            with tempfile.TemporaryDirectory() as folder:
                measure(program, Path(folder))
        cold = seconds(lambda: program.run("--models", MANIFEST, "--build-only", "--no-cache"))
        print(f"no cache: {cold:.1f} s")


if __name__ == "__main__":
    main()
