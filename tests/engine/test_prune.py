"""`build-image prune` on an engine of the test's own, and the disk check on the machine's."""

import io
import json
import os
import pty
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import docker
import pytest

from builder.engine import Engine
from builder.labels import MODELS_LABEL
from tests.engine.command import COMMAND, build_image
from tests.support import project
from tests.support.private_engine import PrivateEngine

pytestmark = pytest.mark.engine

LABEL = f"LABEL {MODELS_LABEL}=local/a@{'a' * 40}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Store:
    """A private engine with leftovers of ours among images and containers of others."""

    client: docker.APIClient
    address: str
    ours: str  # an untagged image with our label
    container: str  # of that image, with a name of ours

    def held(self) -> tuple[set[str], set[str]]:
        """List the ids of all images, and the names of all containers."""
        images = {image["Id"] for image in self.client.images(all=True)}
        return images, {found["Names"][0].removeprefix("/") for found in self.client.containers(all=True)}

    def prune(self, *flags: str) -> tuple[int, str, str]:
        ended = build_image("prune", *flags, environment={"DOCKER_HOST": self.address})
        return ended.code, ended.out, ended.err


def imported(client: docker.APIClient, content: bytes, *changes: str, repository: str | None = None) -> str:
    """Make an image of one file and return its id."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        member = tarfile.TarInfo("file")
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    answer: str = client.import_image_from_data(archive.getvalue(), repository=repository, changes=list(changes))
    return str(json.loads(answer.splitlines()[-1])["status"])


@pytest.fixture
def store(private_engine: PrivateEngine) -> Iterator[Store]:
    with closing(docker.APIClient(base_url=private_engine.address)) as client:
        ours = imported(client, b"ours", LABEL)
        imported(client, b"named", LABEL, repository="retrieval")
        foreign = imported(client, b"foreign")
        container = f"build-image-{uuid4().hex}"
        for name, image in ((container, ours), ("build-image-mine", foreign)):
            client.create_container_from_config({"Image": image, "Cmd": ["x"]}, name=name)  # type: ignore[no-untyped-call] # absent in its stubs
        yield Store(client=client, address=private_engine.address, ours=ours, container=container)


def test_without_a_terminal_leftovers_are_listed_and_nothing_is_removed(store: Store) -> None:
    before = store.held()
    code, out, err = store.prune()
    size = next(image["Size"] for image in store.client.images(all=True) if image["Id"] == store.ours)
    assert (code, out) == (
        2,
        f"container  {store.container}  created\nimage      {store.ours[:19]}  {size} B  local/a\n"
        f"frees {size} B that no other image has; what the build cache has of it goes with `docker builder prune`\n",
    )
    assert err == "error: nothing is removed without a yes\nhint: run `build-image prune --force`\n"
    assert store.held() == before


def test_by_force_our_leftovers_go_and_everything_else_stays(store: Store) -> None:
    images, containers = store.held()
    code, _, err = store.prune("--force")
    assert (code, err) == (0, "removed\n")
    assert store.held() == (images - {store.ours}, containers - {store.container})
    assert store.prune() == (0, "", "nothing is left over\n")


@pytest.mark.parametrize(("answer", "is_removed"), [(b"n\n", False), (b"y\n", True)])
def test_on_a_terminal_a_person_is_asked(store: Store, answer: bytes, *, is_removed: bool) -> None:
    keyboard, terminal = pty.openpty()
    os.write(keyboard, answer)
    environment = {**os.environ, "DOCKER_HOST": store.address}
    ended = subprocess.run(
        [COMMAND, "prune"], stdin=terminal, capture_output=True, text=True, env=environment, check=False
    )
    os.close(keyboard)
    os.close(terminal)
    assert (ended.returncode, ended.stderr.startswith("Remove them? [y/N]: ")) == (0, True)
    assert (store.ours not in store.held()[0]) == is_removed


def test_a_build_that_can_t_fit_is_refused_before_it_starts(engine: Engine, tmp_path: Path) -> None:
    made = project.make(tmp_path)
    with made.hub:
        made.run("lock")
    path = made.folder / "models.lock"
    content = json.loads(path.read_text())
    content["models"]["embedder"]["files"]["onnx/model.onnx_data"]["size_bytes"] = 10**15
    path.write_text(json.dumps(content))
    made.hub.requests.clear()
    ended = build_image("--models", made.folder / "models.yaml", environment={"XDG_CACHE_HOME": str(tmp_path)})
    error, hint = ended.err.splitlines()[-2:]
    assert (ended.code, ended.out, made.hub.requests) == (1, "", [])
    assert error.startswith(f"error: the engine's disk (`{engine.local_root()}`) has ")
    assert hint == (
        "hint: free space with `build-image prune`, then `docker builder prune`, or build fewer images with --image"
    )
