"""An engine at an `ssh://` address: builds, sessions and containers work as on a socket."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from builder.buildkit import BuildRequest, build
from builder.context import assemble
from builder.engine import ContainerOptions, Engine
from builder.errors import UnreachableError
from builder.trace import Event, LogEvent
from tests.engine import ssh

pytestmark = [
    pytest.mark.engine,
    # docker-py leaves paramiko's sockets to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    folder = tmp_path_factory.mktemp("ssh")
    with ssh.serving(folder) as address:
        yield address, folder / "home"


def test_a_build_with_a_secret_and_a_container_work_over_ssh(
    server: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, home = server
    monkeypatch.setenv("DOCKER_HOST", address)
    monkeypatch.setenv("HOME", str(home))
    dockerfile = f"FROM debian:bookworm-slim\nRUN --mount=type=secret,id=word : {uuid4().hex}; cat /run/secrets/word\n"
    events: list[Event] = []
    with Engine.connect() as engine:
        request = BuildRequest(
            context=assemble({"Dockerfile": dockerfile.encode()}),
            shared_key="ssh",
            network_mode="none",
            secrets={"word": b"swordfish\n"},
        )
        image_id = build(engine, request, on_event=events.append)
        with engine.run_container(ContainerOptions(image=image_id, command=["sleep", "60"])) as container:
            answer = container.exec(["echo", "hello"])
        engine.remove_image(image_id)
    assert [event.line for event in events if isinstance(event, LogEvent)] == ["swordfish"]
    assert (answer.exit_code, answer.stdout) == (0, b"hello\n")


def test_a_refused_login_is_no_bug_of_ours(
    server: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, _ = server
    monkeypatch.setenv("DOCKER_HOST", address)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(UnreachableError, match="cannot connect to the Docker Engine over ssh: "):
        Engine.connect()
