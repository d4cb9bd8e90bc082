"""Own a project whose Hub, engine and registry can each be held up, and runs of the command in it."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias
from uuid import uuid4

from builder.api import Credentials
from builder.engine import Engine
from builder.registry import Registry as OverHttp
from tests.engine import registry as registries
from tests.engine.command import COMMAND, Ended
from tests.engine.registry import PASSWORD, USER
from tests.support import engine_relay, lookalikes, registry_relay
from tests.support.engine_relay import EngineRelay
from tests.support.hub_server import HubServer
from tests.support.registry_relay import Relay

TIMEOUT_S = 120

Process: TypeAlias = "subprocess.Popen[str]"


@dataclass(frozen=True, kw_only=True, slots=True)
class Workshop:
    """A folder with a manifest of two fetched models, which no engine has seen before, and one image of them."""

    folder: Path
    hub: HubServer
    engine: Engine
    engine_relay: EngineRelay
    registry: Relay
    organisation: str
    made: set[str | None] = field(default_factory=set)

    @property
    def names(self) -> tuple[str, str]:
        """The names that the image gets."""
        return f"{self.registry.host}/{self.organisation}:1", f"{self.registry.host}/{self.organisation}:latest"

    def write(self, manifest: str = "models", **image: object) -> None:
        """Write a manifest; `image` adds to its one image. JSON is YAML."""
        tasks = {"embedder": "embedding", "reranker": "reranker"}
        models = {name: {"task": task, "repo": f"{self.organisation}/{name}"} for name, task in tasks.items()}
        told = {"models": list(models), "repository": self.names[0].removesuffix(":1"), "tags": ["1", "latest"]}
        content = {"version": 1, "models": models, "images": {"image": {**told, **image}}}
        (self.folder / f"{manifest}.yaml").write_text(json.dumps(content))

    def start(self, *flags: str, manifest: str = "models") -> Process:
        """Start the command on a manifest, as a shell starts it: in a process group of its own."""
        files = ["--models", str(self.folder / f"{manifest}.yaml"), "--report", str(self.folder / f"{manifest}.json")]
        common = [*files, "--build-network", "host"]
        return subprocess.Popen(
            [COMMAND, *common, *flags],
            env=self._environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *flags: str) -> Ended:
        """Run the command to its end."""
        return self.end(self.start(*flags))

    def end(self, process: Process) -> Ended:
        """Wait for a run; what was read of it already is not read again."""
        assert process.stdout is not None
        assert process.stderr is not None
        with process:  # not by communicate(), which would lose what a line that was read came with
            err, out = process.stderr.read(), process.stdout.read()
        self.made.update(self.image(path.stem)["id"] for path in self.folder.glob("*.json"))
        return Ended(code=process.returncode, out=out, err=err)

    def image(self, manifest: str = "models") -> dict[str, Any]:
        """Read what the last report on a manifest says of its image."""
        (read,) = json.loads((self.folder / f"{manifest}.json").read_text())["images"] or [{"id": ""}]
        return dict(read)

    def is_named(self) -> list[bool]:
        """Tell which of the names an image of the engine has."""
        return [self.engine.has_image(name) for name in self.names]

    def pushed(self) -> list[bool]:
        """Tell which of the names the registry has."""
        login = Credentials(username=USER, secret=PASSWORD)
        registry = OverHttp(self.registry.host, login=login)
        try:
            return [registry.held(self.organisation, tag) is not None for tag in ("1", "latest")]
        finally:
            registry.close()

    def containers(self) -> set[str]:
        """List the containers that a smoke test might have left."""
        return {found.name for found in self.engine.containers() if found.name.startswith("build-image-")}

    def _environment(self) -> Mapping[str, str]:
        return {
            **os.environ,
            "DOCKER_HOST": self.engine_relay.address,
            "HF_ENDPOINT": self.hub.endpoint,
            "NO_PROXY": "127.0.0.1,localhost",
            "REGISTRY_USER": USER,
            "REGISTRY_PASSWORD": PASSWORD,
            "XDG_CACHE_HOME": str(self.folder / "memory"),
        }


def interrupt(process: Process, number: signal.Signals) -> None:
    """Interrupt a run and all that it started, as a terminal does."""
    os.killpg(process.pid, number)


@contextmanager
def opened(folder: Path, *, engine: Engine) -> Iterator[Workshop]:
    """Start the services, and remove at the end what was made."""
    organisation = f"workshop-{uuid4().hex[:12]}"
    lookalikes.write_embedding_model(folder / "hub" / organisation / "embedder")
    lookalikes.write_reranker(folder / "hub" / organisation / "reranker")
    (folder / "registry").mkdir()
    with ExitStack() as stack:
        upstream = stack.enter_context(registries.running(folder / "registry"))
        workshop = Workshop(
            folder=folder,
            hub=stack.enter_context(HubServer(folder / "hub")),
            engine=engine,
            engine_relay=stack.enter_context(engine_relay.relayed(engine.address, folder=folder)),
            registry=stack.enter_context(registry_relay.relayed(upstream.host)),
            organisation=organisation,
        )
        workshop.write()
        yield workshop
        for image_id in filter(None, workshop.made):
            engine.remove_image(image_id)
