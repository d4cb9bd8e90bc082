"""What a model's stage does in a real build when a Hub, or something between, gives it something else."""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

import pytest

from builder import context, network, render
from builder.buildkit import BuildRequest, build
from builder.context import Context
from builder.engine import Engine
from builder.errors import BuildFailedError
from builder.lock import LockedFile, LockedModel
from builder.repository import large_file
from builder.trace import Event, LogEvent
from tests.builder import data
from tests.engine.command import secret_flags
from tests.support.hub_server import BodyFault, HubServer

pytestmark = pytest.mark.engine

GRAPH = "onnx/model.onnx"
SIZE_BYTES = 2_000_000
VERIFIED = "; sizes and sha256 verified"
SMALL_DISK = "RUN --mount=type=tmpfs,target=/out,size=1000000 "
AGAIN = "RUN --mount=type=tmpfs,target=/again "  # a command that no earlier build has cached, with the same result


@dataclass(frozen=True, kw_only=True)
class Built:
    """What a build printed, and the layers of its image."""

    lines: list[str]
    layers: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """An image of one model's weights, rendered as every image, and the Hubs that it downloads from."""

    engine: Engine
    model: LockedModel
    servers: tuple[HubServer, ...]

    def altered_sha256(self) -> str:
        """Return the digest of the graph as `corrupt` makes a Hub send it."""
        content = (self.servers[0].directory / self.model.source / GRAPH).read_bytes()
        return hashlib.sha256(bytes([content[0] ^ 1]) + content[1:]).hexdigest()

    def context(self, *, run: str) -> Context:
        """Render it, each RUN that downloads a model beginning with `run`."""
        image = data.image(self.model, kind="models")
        secret = "--mount=type=secret,id=hf_token"
        dockerfile = render.dockerfile(image, version="tests").replace(f"RUN {secret}", f"{run}{secret}")
        return context.of_image(image, dockerfile=dockerfile)

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a build: it says where the Hubs are."""
        addresses = {"HF_ENDPOINT": ", ".join(server.endpoint for server in self.servers)}
        return {**os.environ, "NO_PROXY": "127.0.0.1,localhost", **addresses}

    def build(
        self, *, run: str = "RUN ", no_cache: bool = False, on_line: Callable[[str], None] = lambda _: None
    ) -> Built:
        """Build it; `on_line` is told each line that the build prints."""
        request = BuildRequest(
            context=self.context(run=run),
            shared_key="fetch",
            network_mode="host",
            secrets=network.secrets(self.environment, ca_bundle=network.ca_bundle_path(os.environ)),
            no_cache=no_cache,
        )
        lines: list[str] = []

        def keep(event: Event) -> None:
            if isinstance(event, LogEvent):
                lines.append(event.line)
                on_line(event.line)

        image = build(self.engine, request, on_event=keep)
        layers = self.engine.inspect_image(image).layers
        self.engine.remove_image(image)
        return Built(lines=lines, layers=layers)

    def fetched(self) -> list[str | None]:
        """Return the ranges in which the first Hub was asked for the graph's bytes."""
        asked = (request for request in self.servers[0].requests if request.path.startswith("/content-network/"))
        return [request.range for request in asked]


@pytest.fixture
def stage(engine: Engine, tmp_path: Path) -> Iterator[Stage]:
    """A stage that no earlier build has cached, since its weights are new, and two Hubs that have them."""
    content = os.urandom(SIZE_BYTES)
    model = data.fetched(f"model-{uuid4().hex[:12]}")
    path = tmp_path / model.source / GRAPH
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    listed = large_file(size_bytes=SIZE_BYTES, sha256=hashlib.sha256(content).hexdigest())
    file = LockedFile(size_bytes=SIZE_BYTES, sha256=str(listed.sha256), blob_id=listed.blob_id, is_large=True)
    with ExitStack() as stack:
        servers = tuple(stack.enter_context(HubServer(tmp_path)) for _ in range(2))
        yield Stage(engine=engine, model=replace(model, files={GRAPH: file}), servers=servers)


def corrupt(server: HubServer) -> None:
    server.inject(BodyFault(is_corrupt=True), path="/content-network/*", times=None)


def test_a_model_is_fetched_and_verified(stage: Stage) -> None:
    lines = stage.build().lines
    fetching = f"fetching 1 files of {stage.model.source} at {stage.model.revision} from "
    assert lines[-3] == fetching + ", ".join(server.endpoint for server in stage.servers)
    assert lines[-2] == f"  {GRAPH}  2 MB"
    assert lines[-1].endswith(VERIFIED)


def test_bytes_altered_on_their_way_fail_the_build_with_both_digests(stage: Stage) -> None:
    for server in stage.servers:
        corrupt(server)
    with pytest.raises(BuildFailedError) as caught:
        stage.build()
    errors = [line for line in caught.value.output if line.startswith("error: ")]
    digests = f"has the sha256 {stage.altered_sha256()}, not {stage.model.files[GRAPH].sha256}"
    assert errors == [
        f"error: `{GRAPH}` of `{stage.model.source}` {digests}: "
        f"the Hub at {server.endpoint}, or something between, sent other bytes"
        for server in stage.servers
    ]


def test_bytes_altered_on_their_way_leave_no_layer(stage: Stage) -> None:
    for server in stage.servers:
        corrupt(server)
    with pytest.raises(BuildFailedError):
        stage.build()
    stage.servers[0].clear_faults()
    assert stage.build().lines[-1].endswith(VERIFIED)


def test_a_mirror_gives_what_the_first_hub_alters(stage: Stage) -> None:
    corrupt(stage.servers[0])
    *_, failure, _, last = stage.build().lines
    assert failure.endswith(f"sent other bytes; asking the Hub at {stage.servers[1].endpoint}")
    assert last.endswith(VERIFIED)


def test_a_dropped_connection_is_resumed_within_the_stage(stage: Stage) -> None:
    stage.servers[0].inject(BodyFault(sent_bytes=1_000_000), path="/content-network/*")
    stage.build()
    assert stage.fetched() == [None, "bytes=1000000-"]


def test_a_full_disk_says_how_many_bytes_are_needed(stage: Stage) -> None:
    with pytest.raises(BuildFailedError) as caught:
        stage.build(run=SMALL_DISK)
    assert caught.value.output[-2:] == (
        f"error: no space left for `{GRAPH}` of `{stage.model.source}`: "
        f"it needs {SIZE_BYTES} bytes, and all files of the model {SIZE_BYTES}",
        "hint: free space on the disk of the Docker Engine: `docker system df` shows what takes it",
    )


# The cache mount: what one build fetched, and the next one does not.


def test_a_stage_that_runs_again_fetches_nothing_and_makes_the_same_layer(stage: Stage) -> None:
    first, again = stage.build(), stage.build(run=AGAIN)
    assert (stage.fetched(), again.layers) == ([None], first.layers)
    assert again.lines[-2] == f"  {GRAPH}  2 MB, kept"
    assert again.lines[-1].startswith("fetched 0 B of 2 MB in ")


def test_a_build_that_was_stopped_in_the_middle_of_a_file_is_resumed(stage: Stage) -> None:
    stage.servers[0].inject(BodyFault(sent_bytes=1_000_000), path="/content-network/*")

    def stop(line: str) -> None:
        if line.endswith("at 1 MB of 2 MB"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stage.build(on_line=stop)
    stage.servers[0].clear_faults()
    stage.servers[0].requests.clear()
    *_, resumed, whole, last = stage.build().lines
    assert stage.fetched() == ["bytes=1000000-"]
    assert (resumed, whole) == (f"  {GRAPH}  1 MB of 2 MB are there", f"  {GRAPH}  2 MB")
    assert last.startswith("fetched 1 MB of 2 MB in ")


def test_builds_of_two_revisions_at_once_share_what_both_have(stage: Stage) -> None:
    revisions = [stage, replace(stage, model=replace(stage.model, revision="f" * 40))]
    with ThreadPoolExecutor(2) as pool:
        built = list(pool.map(lambda one: one.build(), revisions))
    assert [one.lines[-1].endswith(VERIFIED) for one in built] == [True, True]
    assert stage.fetched() == [None]


def test_without_the_cache_everything_is_fetched_again_into_the_same_layer(stage: Stage) -> None:
    layers = [stage.build(no_cache=no_cache).layers for no_cache in (False, True)]
    assert (stage.fetched(), layers[0] == layers[1]) == ([None, None], True)


@pytest.mark.skipif(shutil.which("docker") is None, reason="the docker command is not installed")
def test_plain_docker_build_takes_what_a_run_has_fetched(stage: Stage, name: str, tmp_path: Path) -> None:
    ours = stage.build()
    context.write(stage.context(run=AGAIN), tmp_path / "rendered")
    flags = secret_flags(tmp_path, environment=stage.environment)
    command = ["docker", "build", "--quiet", "--network", "host", "--tag", f"{name}:latest", *flags]
    subprocess.run([*command, str(tmp_path / "rendered")], check=True, capture_output=True)
    assert (stage.fetched(), stage.engine.inspect_image(f"{name}:latest").layers) == ([None], ours.layers)
