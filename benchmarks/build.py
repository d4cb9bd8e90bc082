"""Measure the builder against `docker buildx build`, and what its images weigh; prints ratios from one run.

Needs a Docker Engine, the docker command with buildx, and the quickstart's models (`make quickstart` makes them).
What is measured is the program as the README installs it, in an environment of its own.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from builder import network  # noqa: E402 - found beside this folder
from builder.console import size  # noqa: E402
from builder.engine import Engine  # noqa: E402
from tests.support import lookalikes  # noqa: E402
from tests.support.hub_server import HubServer  # noqa: E402

ENVIRONMENT = Path(tempfile.mkdtemp(prefix="build-image-benchmark-"))
COMMAND = str(ENVIRONMENT / "bin" / "build-image")
MANIFEST = ROOT / "examples" / "quickstart.yaml"
IMAGE = "build-image/quickstart:latest"
BASE = "debian:bookworm-slim"
PAIRS = 9


def install() -> None:
    """Install the program with its locked dependencies and nothing else."""
    pip = [str(ENVIRONMENT / "bin" / "python"), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    subprocess.run([sys.executable, "-m", "venv", ENVIRONMENT], check=True)
    subprocess.run([*pip, "--require-hashes", "--requirement", ROOT / "requirements" / "builder.txt"], check=True)
    source = ENVIRONMENT / "source"
    for name in ("builder", "templates", "runtime"):  # a copy, because setuptools leaves a `build` folder behind
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source)
    subprocess.run([*pip, "--no-deps", source], check=True)


def run(*arguments: str | Path, environment: Mapping[str, str] | None = None) -> None:
    command = [COMMAND, "--quiet", *map(str, arguments)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, **(environment or {})})


def report(*arguments: str | Path, environment: Mapping[str, str] | None = None) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.json"
        run(*arguments, "--report", path, environment=environment)
        return json.loads(path.read_text())


def seconds(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def compare_cached(folder: Path) -> None:
    """Time a whole run with nothing changed against buildx on the same rendered context, in turn."""
    subprocess.run([COMMAND, "render", "--models", MANIFEST, "--output", folder], check=True, stdout=subprocess.DEVNULL)
    secrets = network.secrets(os.environ, ca_bundle=network.ca_bundle_path(os.environ))
    given = []
    for name, value in secrets.items():
        (folder / name).write_bytes(value)
        given += ["--secret", f"id={name},src={folder / name}"]
    buildx = ["docker", "buildx", "build", "--quiet", *given, str(folder / "quickstart")]
    forgetful = {"XDG_CACHE_HOME": str(folder / "cache")}

    def unchanged() -> None:
        run("--models", MANIFEST, "--build-only")

    def asked() -> None:
        shutil.rmtree(folder / "cache" / "build-image" / "runs", ignore_errors=True)
        run("--models", MANIFEST, "--build-only", environment=forgetful)

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


def change_runtime(folder: Path) -> None:
    """Change the server alone, and compare the layers."""
    shutil.copytree(ROOT / "runtime", folder / "runtime", ignore=shutil.ignore_patterns("__pycache__"))
    (before,) = report("--models", MANIFEST, "--build-only")["images"]
    with (folder / "runtime" / "__init__.py").open("a") as module:
        module.write(f"# {time.time_ns()}\n")
    changed: dict[str, Any] = {}

    def build() -> None:
        changed.update(
            report("--models", MANIFEST, "--build-only", environment={"PYTHONPATH": str(folder)})["images"][0]
        )

    spent = seconds(build)
    kept = sum(layer in before["layers"] for layer in changed["layers"])
    print(f"runtime changed: {spent:.2f} s, {kept} of {len(changed['layers'])} layers kept, every model's among them")


def share_models(folder: Path) -> None:
    """Build four images of two fetched models at once, and count what the Hub was asked for."""
    lookalikes.write_lookalikes(folder / "hub")
    revision = f"{time.time_ns():040x}"  # new to the engine, so that nothing is cached
    models = {
        "embedder": {"task": "embedding", "repo": "onnx-community/embeddinggemma-300m-ONNX", "revision": revision},
        "reranker": {"task": "reranker", "repo": "jinaai/jina-reranker-v2-base-multilingual", "revision": revision},
    }
    images = {f"benchmark-{number}": {"models": list(models)} for number in range(4)}
    manifest = folder / "four.yaml"
    manifest.write_text(json.dumps({"version": 1, "models": models, "images": images}))
    with HubServer(folder / "hub") as hub:
        environment = {"HF_ENDPOINT": hub.endpoint}
        spent = seconds(
            lambda: run(
                "--models", manifest, "--build-only", "--build-network", "host", "-j", "4", environment=environment
            )
        )
        graphs = [request for request in hub.requests if request.path.endswith(".onnx") and request.range is None]
        fetched = [request.path for request in graphs if request.method == "GET" and "content-network" in request.path]
    print(f"four images of two models, -j 4: {spent:.1f} s, graphs fetched: {len(fetched)}")


def weigh() -> None:
    """Print what the image adds to its base and its models."""
    with Engine.connect() as engine:
        image, base = engine.inspect_image(IMAGE), engine.inspect_image(BASE)
    (built,) = report("--models", MANIFEST)["images"]
    models = sum(model["size_bytes"] for model in built["models"])
    added = image.size_bytes - base.size_bytes - models
    print(f"image {size(image.size_bytes)} = base {size(base.size_bytes)} + models {size(models)} + {size(added)}")


def main() -> None:
    try:
        install()
        measure()
    finally:
        shutil.rmtree(ENVIRONMENT)


def measure() -> None:
    run("--models", MANIFEST)
    weigh()
    with tempfile.TemporaryDirectory() as folder:
        compare_cached(Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        change_runtime(Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        share_models(Path(folder))
    cold = seconds(lambda: run("--models", MANIFEST, "--build-only", "--no-cache"))
    print(f"no cache: {cold:.1f} s")


if __name__ == "__main__":
    main()
