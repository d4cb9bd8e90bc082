"""Supplies that are gathered where there is a network, and images that are built from them where there is none."""

import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import docker
import pytest

from builder.buildkit import BuildRequest, build
from builder.context import assemble
from builder.engine import Engine
from builder.errors import BuildFailedError
from builder.labels import MODELS_LABEL
from tests.engine import registry
from tests.engine.command import COMMAND, Ended, build_image
from tests.support import lookalikes, private_engine, project
from tests.support.project import Project

pytestmark = pytest.mark.engine

DEAD = "http://127.0.0.1:9"
KINDS = ("server", "models")
# Of the server's layers, counted from the base: Debian's packages, whose files have the time of their installation.
PACKAGES_LAYER = 1


@dataclass(frozen=True, kw_only=True)
class World:
    """A project whose models are on a Hub and in a folder, and what was made of it while that Hub could be reached."""

    project: Project
    supplies: Path
    images: tuple[dict[str, Any], ...]
    images_before: set[str]
    images_after: set[str]

    def command(self, output: Path, *flags: str) -> list[str]:
        """Return the command that gathers into a folder."""
        return [COMMAND, "cache", "--models", str(self.project.folder / "models.yaml"), "--output", str(output), *flags]

    def gather(self, *flags: str) -> "subprocess.Popen[str]":
        """Start gathering into the same folder again, without the Hub."""
        return subprocess.Popen(
            self.command(self.supplies, *flags),
            env={**os.environ, "HF_ENDPOINT": DEAD},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@dataclass(frozen=True, kw_only=True)
class Island:
    """A machine without a network: an engine and processes in network namespaces that hold nothing."""

    engine: private_engine.PrivateEngine
    home: Path

    def run(self, *command: str | Path) -> Ended:
        addresses = dict.fromkeys(("HF_ENDPOINT", "PIP_INDEX_URL", "HTTPS_PROXY", "HTTP_PROXY"), DEAD)
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.home), "DOCKER_HOST": self.engine.address}
        ended = subprocess.run(
            ["unshare", "--net", *map(str, command)],
            capture_output=True,
            text=True,
            check=False,
            env={**environment, **addresses},
        )
        return Ended(code=ended.returncode, out=ended.stdout, err=ended.stderr)

    def build_image(self, *arguments: str | Path) -> Ended:
        return self.run(COMMAND, *arguments)


def passing_images() -> set[str]:
    """List what gathering makes images of on the machine's engine: nameless ones that are not of a run, and its own."""
    with closing(docker.APIClient()) as client:
        images = client.images()
    nameless = {
        image["Id"] for image in images if not image["RepoTags"] and MODELS_LABEL not in (image["Labels"] or {})
    }
    names = {name for image in images for name in image["RepoTags"] or () if name.startswith("localhost/build-image/")}
    return nameless | names


@pytest.fixture(scope="module")
def world(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Build the project's images with a network and gather its supplies; the Hub is gone afterwards."""
    folder = tmp_path_factory.mktemp("world")
    name = f"build-image-test-{uuid4().hex[:12]}"
    lookalikes.write_reranker(folder / "house")
    (folder / "texts").write_text("one text\nein anderer Text\n")
    optimize = {"quantize": "int8", "samples": "texts"}
    made = project.make(folder, house={"task": "reranker", "path": "house", "optimize": optimize})
    manifest, report = folder / "models.yaml", folder / "report.json"
    content = json.loads(manifest.read_text())
    content["images"] = {f"{name}-{kind}": {"kind": kind, "models": list(content["models"])} for kind in KINDS}
    manifest.write_text(json.dumps(content))
    before = passing_images()
    with made.hub:
        environment = {"HF_ENDPOINT": made.hub.endpoint, "NO_PROXY": "127.0.0.1,localhost"}
        gathered = build_image("cache", "--models", manifest, "--output", folder / "supplies", environment=environment)
        assert gathered.code == 0, gathered.err
        after = passing_images()
        flags = ("--build-network", "host", "--report", report)
        built = build_image("--models", manifest, *flags, environment=environment)
        assert built.code == 0, built.err
    images = tuple(json.loads(report.read_text())["images"])
    yield World(project=made, supplies=folder / "supplies", images=images, images_before=before, images_after=after)
    for image in images:
        engine.remove_image(image["references"][0])


@pytest.fixture(scope="module")
def island(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Island]:
    if not private_engine.can_run():
        pytest.skip("a private engine needs root and dockerd")
    # Not vfs: it writes a layer's files in another order than the drivers that people use.
    driver = ["--storage-driver=overlay2"]
    with private_engine.running(tmp_path_factory.mktemp("engine"), options=driver) as started:
        yield Island(engine=started, home=tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def rebuilt(world: World, island: Island) -> list[dict[str, Any]]:
    """The report on the same images, built on the island from nothing but the supplies."""
    report = island.home / "report.json"
    ended = island.build_image("--from", world.supplies, "--report", report)
    assert ended.code == 0, ended.err
    images: list[dict[str, Any]] = json.loads(report.read_text())["images"]
    return images


@pytest.fixture
def copy(world: World, tmp_path: Path) -> Path:
    """A copy of the supplies to damage."""
    return Path(shutil.copytree(world.supplies, tmp_path / "supplies", symlinks=True))


def test_a_process_of_the_island_reaches_nothing(world: World, island: Island) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        code = f"import socket; socket.create_connection({address!r}, timeout=5)"
        here, there = ["python3", "-c", code], island.run("python3", "-c", code)
        assert (subprocess.run(here, check=False).returncode, there.code) == (0, 1)
    assert "Network is unreachable" in there.err
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", int(world.project.hub.endpoint.rpartition(":")[2])))


@pytest.mark.usefixtures("rebuilt")
def test_a_build_on_the_island_reaches_nothing_even_on_its_host_s_network(
    world: World, island: Island, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = json.loads((world.supplies / "build-image.json").read_text())["base"]["reference"]
    update = "RUN apt-get update -o APT::Update::Error-Mode=any\n"
    context = assemble({"Dockerfile": f"FROM {base}\n{update}".encode()})
    monkeypatch.setenv("DOCKER_HOST", island.engine.address)
    with Engine.connect() as engine, pytest.raises(BuildFailedError) as caught:
        build(engine, BuildRequest(context=context, shared_key="x", network_mode="host"), on_event=lambda _: None)
    assert "Temporary failure resolving" in "".join(caught.value.output)


def test_the_same_images_are_built_tested_and_tagged(world: World, rebuilt: list[dict[str, Any]]) -> None:
    for online, offline in zip(world.images, rebuilt, strict=True):
        assert offline["result"] == "tagged"
        assert offline["references"] == online["references"]
        assert offline["models"] == online["models"]
        assert [check["name"] for check in offline["checks"]] == [check["name"] for check in online["checks"]]


def test_every_layer_is_the_same(world: World, rebuilt: list[dict[str, Any]]) -> None:
    layers = [image["layers"] for image in rebuilt]
    assert [len(found) for found in layers] == [10, 3]
    assert layers == [image["layers"] for image in world.images]


def test_images_differ_from_those_with_a_network_in_no_setting(
    engine: Engine,
    world: World,
    rebuilt: list[dict[str, Any]],
    island: Island,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DOCKER_HOST", island.engine.address)
    with Engine.connect() as remote:
        for online, offline in zip(world.images, rebuilt, strict=True):
            here, there = engine.inspect_image(online["id"]), remote.inspect_image(offline["id"])
            assert (there.labels, there.environment, there.platform) == (here.labels, here.environment, here.platform)


def test_a_second_run_on_the_island_is_told_that_nothing_has_changed(
    world: World, rebuilt: list[dict[str, Any]], island: Island
) -> None:
    ended = island.build_image("--from", world.supplies)
    assert (ended.code, ended.err) == (
        0,
        "nothing has changed since these images were made; --no-cache makes them again\n",
    )
    assert [row[-1] for row in ended.columns()] == ["result", *("unchanged" for _ in rebuilt)]


def test_the_project_s_own_manifest_can_be_built(world: World, rebuilt: list[dict[str, Any]], island: Island) -> None:
    ended = island.build_image("--models", world.project.folder / "models.yaml", "--from", world.supplies)
    assert ended.code == 0, ended.err
    assert [row[3] for row in ended.columns()] == ["digest", *(image["id"][:19] for image in rebuilt)]


def test_gathering_leaves_no_image_on_the_engine(world: World) -> None:
    assert world.images_after == world.images_before


def state(folder: Path) -> dict[str, int]:
    """Tell the files that were brought from those that were written again: the inode of each by its path."""
    files = [*folder.glob("hub/*/snapshots/**/*"), *folder.glob("wheels/*"), *folder.glob("packages/*")]
    return {str(path): path.stat().st_ino for path in (*files, folder / "base.tar")}


def test_a_second_gathering_asks_no_network_and_writes_nothing_again(world: World) -> None:
    before = state(world.supplies)
    with world.gather() as process:
        _, err = process.communicate()
    assert process.returncode == 0, err
    assert state(world.supplies) == before
    assert {"gather-packages.sh", "fetching", "saving"} & set(err.split()) == set()


def test_a_gathering_that_is_interrupted_says_so_and_the_next_one_finishes_it(world: World, island: Island) -> None:
    process = world.gather("--no-cache")
    assert process.stderr is not None
    assert any(line.startswith("house: ") for line in process.stderr)  # the models are there, the packages are not
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    refused = island.build_image("--from", world.supplies)
    with world.gather() as second:
        _, err = second.communicate()
    assert (process.returncode, refused.code, second.returncode) == (130, 2, 0), err
    assert refused.err.splitlines()[0] == (
        f"error: {world.supplies}: it is not complete: the run that gathered it did not end well"
    )
    assert passing_images() == world.images_before
    assert island.build_image("--from", world.supplies, "--build-only").code == 0


def test_damage_is_refused_before_anything_is_built(copy: Path, island: Island) -> None:
    held = json.loads((copy / "build-image.json").read_text())["files"]
    locked = json.loads((copy / "models.lock").read_text())["models"]["reranker"]
    wheel = next(name for name in held if name.startswith("wheels/numpy-"))
    (copy / wheel).write_bytes(b"other")
    model = f"hub/models--{locked['source'].replace('/', '--')}/snapshots/{locked['revision']}/onnx/model.onnx"
    (copy / model).unlink()
    ended = island.build_image("--from", copy)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.splitlines()[-3:] == [
        f"error: {copy}: `{model}` is missing, which has sha256 {locked['files']['onnx/model.onnx']['sha256']}",
        f"error: {copy}: `{wheel}` has sha256 d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa, "
        f"and {held[wheel]['sha256']} was gathered",
        f"hint: where there is a network, run `build-image cache --models models.yaml --output {copy}`",
    ]


def test_supplies_for_another_platform_and_another_manifest_are_refused_at_once(
    world: World, island: Island, tmp_path: Path
) -> None:
    content = json.loads((world.project.folder / "models.yaml").read_text())
    content["defaults"] = {"platform": "linux/arm64"}
    content["models"]["reranker"]["max_length"] = 77
    (tmp_path / "models.yaml").write_text(json.dumps(content))
    ended = island.build_image("--models", tmp_path / "models.yaml", "--from", world.supplies)
    assert (ended.code, ended.out, ended.err.splitlines()) == (
        2,
        "",
        [
            f"error: {world.supplies}: it is for `linux/amd64`, and this build is for `linux/arm64`",
            f"error: {world.supplies}: the manifest wants another lock: models.reranker: "
            "max_length asked for: nothing -> `77`",
            f"hint: where there is a network, run "
            f"`build-image cache --models {tmp_path}/models.yaml --output {world.supplies}`",
        ],
    )


def test_a_damaged_package_is_gathered_again(world: World, copy: Path) -> None:
    package = next((copy / "packages").glob("libgomp1_*.deb"))
    good = package.read_bytes()
    package.write_bytes(b"other")
    (copy / "wheels/stray-1-py3-none-any.whl").touch()
    models = world.project.folder / "models.yaml"
    ended = build_image("cache", "--models", models, "--output", copy, environment={"HF_ENDPOINT": DEAD})
    assert ended.code == 0, ended.err
    assert package.read_bytes() == good
    assert sorted(path.name for path in copy.iterdir()) == sorted(path.name for path in world.supplies.iterdir())
    assert not (copy / "wheels/stray-1-py3-none-any.whl").exists()


def test_a_disk_that_is_full_is_told_as_that_and_keeps_what_was_gathered(world: World, copy: Path) -> None:
    (copy / "base.tar").unlink()
    limited = ["prlimit", "--fsize=40000000", *world.command(copy)]  # the largest wheel has 28 MB, the base 78
    ended = subprocess.run(
        limited, capture_output=True, text=True, check=False, env={**os.environ, "HF_ENDPOINT": DEAD}
    )
    held = json.loads((copy / "build-image.json").read_text())
    assert (ended.returncode, ended.stderr.splitlines()[-2:]) == (
        1,
        [
            f"error: `{copy}/base.tar` can't be written: File too large",
            "hint: free space there, or choose another --output",
        ],
    )
    assert (held["is_complete"], "base.tar" in held["files"], "packages/Packages" in held["files"]) == (
        False,
        False,
        True,
    )
    assert [path.name for path in copy.glob(".*.partial")] == []


def test_what_can_t_fit_is_refused_before_anything_is_gathered(world: World, tmp_path: Path) -> None:
    shutil.copy(world.project.folder / "models.yaml", tmp_path)
    for name in ("house", "texts"):
        (tmp_path / name).symlink_to(world.project.folder / name)
    content = json.loads((world.project.folder / "models.lock").read_text())
    content["models"]["embedder"]["files"]["onnx/model.onnx_data"]["size_bytes"] = 10**15
    (tmp_path / "models.lock").write_text(json.dumps(content))
    output = tmp_path / "supplies"
    ended = build_image("cache", "--models", tmp_path / "models.yaml", "--output", output)
    error, hint = ended.err.splitlines()[-2:]
    assert (ended.code, output.exists(), hint) == (1, False, "hint: free space there, or choose another --output")
    assert error.startswith(f"error: the disk of `{output}` has ")
    assert error.endswith(", and 1e+06 GB are needed: models 1e+06 GB, packages 200 MB, the base image 75 MB")


def test_a_base_in_a_private_registry_is_not_asked_for_on_the_island(
    island: Island, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lookalikes.write_reranker(tmp_path / "house")
    with registry.running(tmp_path) as private, closing(docker.APIClient()) as client:
        monkeypatch.setenv("DOCKER_CONFIG", str(private.config(tmp_path)))
        base = f"{private.host}/base-{uuid4().hex[:8]}"
        client.tag("debian:bookworm-slim", base, "1")
        client.push(base, "1", auth_config=private.login())
        client.remove_image(f"{base}:1", noprune=True)
        manifest = {
            "version": 1,
            "defaults": {"base": f"{base}:1"},
            "models": {"house": {"task": "reranker", "path": "house"}},
            "images": {"weights": {"kind": "models", "models": ["house"]}},
        }
        (tmp_path / "models.yaml").write_text(json.dumps(manifest))
        gathered = build_image("cache", "--models", tmp_path / "models.yaml", "--output", tmp_path / "supplies")
    assert gathered.code == 0, gathered.err
    described = json.loads((tmp_path / "supplies/build-image.json").read_text())
    assert (described["base"]["name"], described["base"]["digest"][:7]) == (f"{base}:1", "sha256:")
    assert sorted(described["files"]) == ["base.tar", "models.lock", "models.yaml"]
    ended = island.build_image("--from", tmp_path / "supplies")
    assert ended.code == 0, ended.err


def test_a_folder_of_something_else_is_not_written_to(world: World, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    ended = build_image("cache", "--models", world.project.folder / "models.yaml", "--output", tmp_path)
    assert (ended.code, ended.err.splitlines()[-2:]) == (
        2,
        [f"error: `{tmp_path}` holds something else", "hint: choose another --output, or an empty folder"],
    )
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_where_the_hub_may_not_be_asked_what_is_missing_is_listed(world: World, tmp_path: Path) -> None:
    command = world.command(tmp_path / "supplies")
    environment = {**os.environ, "HF_ALLOW_REMOTE_MODELS": "false"}
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert (ended.returncode, ended.stderr.splitlines()[-1]) == (
        2,
        "hint: HF_ALLOW_REMOTE_MODELS forbids asking the Hub: "
        f"run `HF_ALLOW_REMOTE_MODELS=true build-image {' '.join(command[1:])}`",
    )


def test_a_choice_of_models_by_task_is_refused_with_an_output(world: World, tmp_path: Path) -> None:
    flags = ("--models", world.project.folder / "models.yaml", "--output", tmp_path / "supplies")
    ended = build_image("cache", *flags, environment={"HF_PRELOAD_TARGETS": "reranker"})
    assert (ended.code, ended.err) == (
        2,
        "error: with --output every model is needed, and HF_PRELOAD_TARGETS names some\nhint: unset it\n",
    )
