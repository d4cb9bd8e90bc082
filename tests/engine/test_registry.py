"""A private base image: the engine asks our session for the login, and only for the registry that it needs."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import docker
import pytest

from builder.buildkit import BuildRequest, build
from builder.context import assemble
from builder.engine import Engine
from builder.errors import BuildFailedError
from builder.trace import Event, WarningEvent
from tests.engine import registry
from tests.engine.registry import PASSWORD, USER, Registry

pytestmark = pytest.mark.engine

HELPER = f"""#!/bin/sh
read -r host
printf '{{"ServerURL": "%s", "Username": "{USER}", "Secret": "{PASSWORD}"}}' "$host"
"""


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with registry.running(tmp_path_factory.mktemp("registry")) as started:
        yield started


@pytest.fixture
def base(private: Registry) -> str:
    """A base image that is in the private registry alone, new to every cache of the engine."""
    repository = f"{private.host}/base-{uuid4().hex[:8]}"
    with closing(docker.APIClient()) as client:
        client.tag("debian:bookworm-slim", repository, "1")
        told = client.push(repository, "1", auth_config=private.login())
        client.remove_image(f"{repository}:1", noprune=True)
    assert "errorDetail" not in told
    return f"{repository}:1"


def built(engine: Engine, base: str) -> tuple[str, list[str]]:
    """Build on `base`; return the image's id and the warnings."""
    events: list[Event] = []
    context = assemble({"Dockerfile": f"FROM {base}\nLABEL test={uuid4().hex}\n".encode()})
    image_id = build(engine, BuildRequest(context=context, shared_key="registry"), on_event=events.append)
    engine.remove_image(image_id)
    return image_id, [event.message for event in events if isinstance(event, WarningEvent)]


def test_the_login_of_the_docker_config_is_used(
    engine: Engine, private: Registry, base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(private.config(tmp_path)))
    image_id, warnings = built(engine, base)
    assert (image_id.partition(":")[0], warnings) == ("sha256", [])


def test_without_a_login_the_build_fails_and_says_why(
    engine: Engine, base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with pytest.raises(BuildFailedError) as caught:
        built(engine, base)
    assert caught.value.message.endswith("401 Unauthorized")
    assert caught.value.hint == "log in to the registry of the base image first: `docker login REGISTRY`"


def test_a_credential_helper_is_asked(
    engine: Engine, private: Registry, base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper = tmp_path / "docker-credential-tested"
    helper.write_text(HELPER)
    helper.chmod(0o755)
    (tmp_path / "config.json").write_text(f'{{"credHelpers": {{"{private.host}": "tested"}}}}')
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert built(engine, base)[1] == []


def test_a_broken_helper_of_another_registry_breaks_nothing(
    engine: Engine, private: Registry, base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = private.config(tmp_path, credHelpers={"other.example.com": "broken"})
    monkeypatch.setenv("DOCKER_CONFIG", str(config))
    assert built(engine, base)[1] == []


def test_a_base_is_pinned_by_the_digest_that_its_registry_gives(
    private: Registry, base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(private.config(tmp_path)))
    with Engine.connect() as engine:
        digest = engine.base_digest(base)
        image_id, _ = built(engine, f"{base}@{digest}")
    assert (digest[:7], len(digest), image_id[:7]) == ("sha256:", 71, "sha256:")


def test_a_base_that_no_registry_knows_has_no_digest(engine: Engine) -> None:
    assert engine.base_digest(f"127.0.0.1:9/nowhere-{uuid4().hex}:1") == ""
