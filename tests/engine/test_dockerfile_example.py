"""The example's Dockerfile: `docker build` alone brings models into an image that serves, by its build arguments."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import pytest

from builder.engine import ContainerOptions, Engine
from tests.engine.command import ROOT, secret_flags
from tests.support import lookalikes
from tests.support.hub_server import HubServer

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(shutil.which("docker") is None, reason="the docker command is not installed"),
]

CHOSEN = "example/chosen"
PROBE = ["python3", "-m", "runtime", "probe"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """`docker build` of the example with a chosen embedding model and no reranker, from a Hub that wants a token."""

    hub: HubServer
    secrets: Path
    token: str = field(default_factory=lambda: f"hf_{uuid4().hex}", repr=False)

    def build(self, *flags: str) -> None:
        environment = {
            **os.environ,
            "HF_ENDPOINT": self.hub.endpoint,
            "HF_TOKEN": self.token,
            "NO_PROXY": "127.0.0.1,localhost",
        }
        arguments = {"HF_EMBEDDING_MODEL_ID": CHOSEN, "HF_PRELOAD_TARGETS": "embedding"}
        command = ["docker", "build", "--network", "host", "--build-context", f"build-image={ROOT}"]
        command += [part for name, value in arguments.items() for part in ("--build-arg", f"{name}={value}")]
        command += secret_flags(self.secrets, environment=environment)
        ended = subprocess.run(
            [*command, *flags, ROOT / "examples/dockerfile"], capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, ended.stderr


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Example]:
    folder = tmp_path_factory.mktemp("hub")
    lookalikes.write_embedding_model(folder / CHOSEN)
    lookalikes.write_reranker(folder / lookalikes.RERANKER_REPOSITORY)  # which is locked, and not brought
    (folder / CHOSEN / "README.md").write_text(uuid4().hex)  # so that no earlier build has it
    hub = HubServer(folder)
    made = Example(hub=hub, secrets=tmp_path_factory.mktemp("secrets"))
    hub.token = made.token
    with hub:
        yield made


@pytest.fixture(scope="module")
def image(engine: Engine, example: Example) -> Iterator[str]:
    name = f"build-image-test-{uuid4().hex[:12]}:latest"
    example.build("--tag", name)
    yield name
    engine.remove_image(name)


def test_the_models_that_the_arguments_name_are_served_without_a_network(engine: Engine, image: str) -> None:
    with engine.run_container(ContainerOptions(image=image)) as container:
        ready = container.exec(["timeout", "60", "sh", "-c", f"until {' '.join(PROBE)}; do :; done"])
        told = json.loads(container.exec(["python3", "-m", "runtime", "info"]).stdout)
        answer = container.exec([*PROBE, "/v1/embeddings", "--json", json.dumps({"input": "hello"})])
        tested = container.exec(["python3", "-m", "runtime", "selftest", "--files"])
        changes = container.changes()
    assert (ready.exit_code, tested.exit_code, changes) == (0, 0, ())
    assert [model["source"] for model in told["bundle"]["models"]] == [CHOSEN]
    (vector,) = [item["embedding"] for item in json.loads(answer.stdout)["data"]]
    assert len(vector) == lookalikes.WIDTH


def test_the_token_is_in_no_command_setting_or_layer(engine: Engine, example: Example, image: str) -> None:
    details = engine.inspect_image(image)
    told = "\n".join([*engine.image_history(image), *details.environment, *details.labels.values()])
    with engine.saved_image(image) as stream:
        content = stream.read()
    assert (example.token in told, example.token.encode() in content) == (False, False)


@pytest.mark.usefixtures("image")
def test_the_lock_of_a_build_can_be_brought_out(example: Example, tmp_path: Path) -> None:
    example.build("--target", "lock", "--output", str(tmp_path))
    models = json.loads((tmp_path / "models.lock").read_text())["models"]
    assert [models[name]["asked"]["repo"] for name in models] == [CHOSEN, lookalikes.RERANKER_REPOSITORY]
