"""What a model's stage does in a real build when a Hub, or something between, gives it something else."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

import pytest

from builder import context, network, render
from builder.buildkit import BuildRequest, build
from builder.engine import Engine
from builder.errors import BuildFailedError
from builder.lock import LockedFile, LockedModel
from builder.repository import large_file
from builder.trace import Event, LogEvent
from tests.builder import data
from tests.support.hub_server import BodyFault, HubServer

pytestmark = pytest.mark.engine

GRAPH = "onnx/model.onnx"
SIZE_BYTES = 2_000_000
VERIFIED = "; sizes and sha256 verified"
SMALL_DISK = "RUN --mount=type=tmpfs,target=/out,size=1000000 "


@dataclass(frozen=True, kw_only=True)
class Stage:
    """The stage of one model, rendered as in every image, and the Hubs that it downloads from."""

    engine: Engine
    model: LockedModel
    servers: tuple[HubServer, ...]

    def altered_sha256(self) -> str:
        """Return the digest of the graph as `corrupt` makes a Hub send it."""
        content = (self.servers[0].directory / self.model.source / GRAPH).read_bytes()
        return hashlib.sha256(bytes([content[0] ^ 1]) + content[1:]).hexdigest()

    def build(self, *, run: str = "RUN ") -> list[str]:
        """Build it, each RUN that downloads a model beginning with `run`; return what the build printed."""
        image = data.image(self.model)
        secret = "--mount=type=secret,id=hf_token"
        dockerfile = render.dockerfile(image, version="tests").replace(f"RUN {secret}", f"{run}{secret}")
        addresses = {"HF_ENDPOINT": ", ".join(server.endpoint for server in self.servers)}
        environment = {**os.environ, "NO_PROXY": "127.0.0.1,localhost", **addresses}
        request = BuildRequest(
            context=context.of_image(image, dockerfile=dockerfile),
            shared_key="fetch",
            target=f"model-{self.model.name}",
            network_mode="host",
            secrets=network.secrets(environment, ca_bundle=network.ca_bundle_path(os.environ)),
        )
        events: list[Event] = []
        self.engine.remove_image(build(self.engine, request, on_event=events.append))
        return [event.line for event in events if isinstance(event, LogEvent)]


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
    lines = stage.build()
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
    assert stage.build()[-1].endswith(VERIFIED)


def test_a_mirror_gives_what_the_first_hub_alters(stage: Stage) -> None:
    corrupt(stage.servers[0])
    *_, failure, _, last = stage.build()
    assert failure.endswith(f"sent other bytes; asking the Hub at {stage.servers[1].endpoint}")
    assert last.endswith(VERIFIED)


def test_a_dropped_connection_is_resumed_within_the_stage(stage: Stage) -> None:
    stage.servers[0].inject(BodyFault(sent_bytes=1_000_000), path="/content-network/*")
    stage.build()
    parts = [request.range for request in stage.servers[0].requests if request.path.startswith("/content-network/")]
    assert parts == [None, "bytes=1000000-"]


def test_a_full_disk_says_how_many_bytes_are_needed(stage: Stage) -> None:
    with pytest.raises(BuildFailedError) as caught:
        stage.build(run=SMALL_DISK)
    assert caught.value.output[-2:] == (
        f"error: no space left for `{GRAPH}` of `{stage.model.source}`: "
        f"it needs {SIZE_BYTES} bytes, and all files of the model {SIZE_BYTES}",
        "hint: free space on the disk of the Docker Engine: `docker system df` shows what takes it",
    )
