"""Measure what a rebuild moves over the network, what verifying costs, and whether layers depend on the engine.

Needs a Docker Engine and the docker command, and for a second engine, of the other image store, root and dockerd. A
stand-in for the Hub gives a model of 200 MB, whose weights are new in each run. What is built is the program as the
README installs it; verifying is timed in this process, without the start of a program. Untagged images are left
behind, which `build-image prune` removes.
"""

import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import gateway
from benchmarks.program import Program, installed, seconds
from builder import bundle, lockfile, verification
from builder.console import size
from builder.engine import Engine
from builder.lock import LockedModel
from runtime import files as baked_files
from runtime.bundle import read_bundle
from templates.stages.fetch_request import Model
from templates.stages.fetch_store import Store
from tests.support import checkout, lookalikes, private_engine
from tests.support.hub_server import HubServer

BASE = "debian:bookworm-slim"
OWN_BASE = "build-image/benchmark-base"  # the same layers, under a name that no registry knows in either engine
BASE_DOCKERFILE = f"FROM {BASE}\nLABEL build-image.made-here=1\n"
WEIGHTS, SERVER = "build-image-benchmark-weights", "build-image-benchmark-server"
PADDING_BYTES = 200_000_000
ROUNDS = 5
AT_MOST = 1.2  # times sha256sum


@dataclass(frozen=True, kw_only=True, slots=True)
class Project:
    """A manifest of a model that the stand-in Hub has and one in a folder, and how the program is run on it."""

    program: Program
    folder: Path
    hub: HubServer
    source: str

    @property
    def repository(self) -> Path:
        """Where the Hub has the fetched model."""
        return self.hub.directory / self.source

    @property
    def manifest(self) -> Path:
        """Where the manifest is."""
        return self.folder / "models.yaml"

    def write_manifest(self) -> None:
        """Ask for what the Hub has now."""
        models = {
            "embedder": {"task": "embedding", "repo": self.source, "revision": self.hub.commit(self.source)},
            "reranker": {"task": "reranker", "path": "reranker"},
        }
        images = {WEIGHTS: {"models": ["embedder"], "kind": "models"}, SERVER: {"models": list(models)}}
        content = {"version": 1, "defaults": {"base": OWN_BASE}, "models": models, "images": images}
        self.manifest.write_text(json.dumps(content))

    @property
    def embedder(self) -> LockedModel:
        """The fetched model, as it is locked now."""
        return lockfile.read(self.folder / "models.lock").models["embedder"]

    def lock(self) -> None:
        """Lock the models."""
        self.program.run("lock", "--models", self.manifest, environment=self.environment())

    def build(self, image: str, **variables: str) -> Any:
        """Build an image and return its part of the report."""
        arguments = ("--models", self.manifest, "--image", image, "--build-only", "--build-network", "host")
        (built,) = self.program.report(*arguments, environment=self.environment(**variables))["images"]
        return built

    def environment(self, **variables: str) -> dict[str, str]:
        """Name the Hub, and a memory of runs that nobody else has."""
        own = {"HF_ENDPOINT": self.hub.endpoint, "XDG_CACHE_HOME": str(self.folder / "cache")}
        return {**own, "NO_PROXY": "127.0.0.1,localhost", **variables}

    def sent(self, action: Callable[[], object]) -> dict[str, int]:
        """Return how many bytes of bodies the Hub sends while `action` runs, by path; those that have none left out."""
        self.hub.sent_bytes.clear()
        action()
        return {path: count for path, count in self.hub.sent_bytes.items() if count}


@contextmanager
def made(program: Program) -> Iterator[Project]:
    """Make a project while the block runs."""
    with tempfile.TemporaryDirectory() as name:
        folder, source = Path(name), f"benchmark-{time.time_ns()}/embedder"
        lookalikes.write_embedding_model(folder / "hub" / source)
        lookalikes.write_reranker(folder / "reranker")
        with (folder / "hub" / source / "onnx/model.onnx_data").open("ab") as weights:
            weights.write(os.urandom(PADDING_BYTES))
        docker("build", "--quiet", "--tag", OWN_BASE, "-", given=BASE_DOCKERFILE.encode())
        with HubServer(folder / "hub") as hub:
            project = Project(program=program, folder=folder, hub=hub, source=source)
            project.write_manifest()
            yield project


def docker(*arguments: str, given: bytes | None = None) -> bytes:
    return subprocess.run(["docker", *arguments], input=given, check=True, stdout=subprocess.PIPE).stdout


def count_bytes(project: Project) -> None:
    """Count what the Hub sends for a first build, and for others after it."""

    def build() -> None:
        project.build(WEIGHTS)

    def show(case: str, *, locking: Mapping[str, int], building: Mapping[str, int]) -> None:
        print(f"  {case:<36}  lock {size(sum(locking.values())):>7}, build {size(sum(building.values())):>7}")

    first = project.sent(project.lock)
    model = project.embedder
    print(f"bytes that the Hub sends for a model of {size(model.size_bytes)} in {len(model.files)} files:")
    show("first build", locking=first, building=project.sent(build))
    show("nothing changed", locking=project.sent(project.lock), building=project.sent(build))
    upgraded = other_program(project.folder / "upgraded")
    again = project.sent(lambda: project.build(WEIGHTS, PYTHONPATH=str(upgraded)))
    show("another version of build-image", locking={}, building=again)
    (project.repository / "tokenizer_config.json").write_text(json.dumps({"changed": time.time_ns()}))
    project.write_manifest()
    locking, building = project.sent(project.lock), project.sent(build)
    show("a revision with another file", locking=locking, building=building)
    names = [name for name in model.files if any(path.endswith(f"/{name}") for path in building)]
    print(f"    fetched: {', '.join(names)}, {sum(building.values()) / model.size_bytes:.1e} of the model")


def other_program(folder: Path) -> Path:
    """Make a `build-image` whose model stages are not those of the installed one, and return where Python finds it."""
    checkout.copy(folder)
    shutil.move(folder / "templates", folder / "builder" / "templates")
    with (folder / "builder" / "templates" / "stages" / "bake-model.sh").open("a") as script:
        script.write(f"# {time.time_ns()}\n")
    return folder


def compare_verification(project: Project) -> None:
    """Time each way of verifying the model against sha256sum on the same files, in turn."""
    built, model = project.build(WEIGHTS), project.embedder
    paths = [project.repository / path for path in sorted(model.files)]
    with Engine.connect() as engine:
        ways: dict[str, Callable[[], object]] = {
            "sha256sum": lambda: subprocess.run(["sha256sum", *paths], check=True, stdout=subprocess.DEVNULL),
            **stage_ways(project, model),
            "selftest --files": selftest(project, model),
            "build-image verify": lambda: verified(engine, built["id"], model),
        }
        rounds = [{name: seconds(way) for name, way in ways.items()} for _ in range(ROUNDS + 1)][1:]
    print(f"verifying {size(model.size_bytes)} from the page cache, times sha256sum (at most {AT_MOST} wanted):")
    for name in ways:
        spent = statistics.median(times[name] for times in rounds) / model.size_bytes * 1e9
        ratio = statistics.median(times[name] / times["sha256sum"] for times in rounds)
        print(f"  {name:<36}  {spent:4.2f} s for a gigabyte, {ratio:.2f} times")


def stage_ways(project: Project, model: LockedModel) -> dict[str, Callable[[], object]]:
    """Name what a fetch stage does with files that its cache mount has."""
    store, request = Store(directory=project.folder / "kept"), Model.parse(model.fetch_request(model.files))
    store.directory.mkdir()
    for file in request.files:
        shutil.copy(project.repository / file.path, store.directory / file.sha256)

    def give(*, target: Path | None) -> None:
        for file in request.files:
            if not store.give(file, target=target and target / file.path):
                raise RuntimeError(file.path)

    copies = project.folder / "copies"
    return {
        "fetch stage": lambda: give(target=None),
        "fetch stage, the copy to it included": lambda: give(target=copies),
    }


def selftest(project: Project, model: LockedModel) -> Callable[[], object]:
    """Return what `selftest --files` does with the model."""
    document = json.loads(bundle.document([model]))
    document["models"][0]["path"] = str(project.repository)
    path = project.folder / "bundle.json"
    path.write_text(json.dumps(document))
    (baked,) = read_bundle(path).models

    def check() -> None:
        if found := list(baked_files.problems(baked)):
            raise RuntimeError(found)

    return check


def verified(engine: Engine, image: str, model: LockedModel) -> None:
    (verdict,) = verification.verify(engine, image, [verification.of_model(model)])
    if verdict.mismatches:
        raise RuntimeError(verdict.mismatches)


def compare_stores(project: Project) -> None:
    """Build both images on an engine with the other image store, and compare the layers."""
    if not private_engine.can_run():
        print("layers on two engines: not compared, a second engine needs root and dockerd")
        return
    has_containerd = "io.containerd.snapshotter" in docker("info", "--format", "{{json .DriverStatus}}").decode()
    stores = ["containerd's image store", "the classic image store"]
    here, there = stores if has_containerd else reversed(stores)
    ours = {image: project.build(image)["layers"] for image in (WEIGHTS, SERVER)}
    with Engine.connect() as engine:
        base_layers = engine.inspect_image(OWN_BASE).layers
    with second_engine(project.folder, has_containerd=not has_containerd) as variables:
        theirs = {image: project.build(image, **variables)["layers"] for image in (WEIGHTS, SERVER)}
    print(f"layers' digests with {here} and with {there}:")
    base, models = ["base"] * len(base_layers), ["model embedder", "model reranker"]
    server = [*base, "Debian's packages", "Python's packages", *models, "server", "golden answers"]
    show_layers("image of weights", models[:1], ours[WEIGHTS], theirs[WEIGHTS])
    show_layers("server", server, ours[SERVER], theirs[SERVER])


def show_layers(image: str, names: Sequence[str], ours: Sequence[str], theirs: Sequence[str]) -> None:
    for name, one, other in zip(names, ours, theirs, strict=True):
        print(f"  {image + ': ' + name:<52}  {'the same' if one == other else 'another'}")


@contextmanager
def second_engine(folder: Path, *, has_containerd: bool) -> Iterator[dict[str, str]]:
    """Run an engine that has the base, and yield the variables under which the program uses it."""
    root = folder / "engine"
    root.mkdir()
    (root / "daemon.json").write_text(json.dumps({"features": {"containerd-snapshotter": has_containerd}}))
    with (
        private_engine.running(root, options=["--config-file", str(root / "daemon.json")]) as engine,
        gateway.opened(engine.process.pid) as proxy,
    ):
        docker("--host", engine.address, "load", "--quiet", given=docker("save", OWN_BASE))
        proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), proxy)
        yield {"DOCKER_HOST": engine.address, "NO_PROXY": "", "no_proxy": "", **proxies}


def main() -> None:
    with installed() as program, made(program) as project:
        count_bytes(project)
        compare_verification(project)
        compare_stores(project)


if __name__ == "__main__":
    main()
