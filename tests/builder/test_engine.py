import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest

from builder.engine import Credentials, Engine
from builder.errors import InputError, UnreachableError

REGISTRY = "registry.example.com"


@pytest.fixture
def docker_config(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A Docker config of the test's own, and a place first in PATH for its credential helpers."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    return tmp_path


def configure(folder: Path, **config: Any) -> None:
    (folder / "config.json").write_text(json.dumps(config))


def install_helper(folder: Path, name: str, script: str) -> None:
    helper = folder / f"docker-credential-{name}"
    helper.write_text(f"#!/bin/sh\n{script}\n")
    helper.chmod(0o755)


def encoded(username: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{username}:{password}".encode()).decode()}


def test_an_engine_that_does_not_run_is_unreachable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/absent.sock")
    with pytest.raises(UnreachableError) as caught:
        Engine.connect()
    assert (caught.value.message, caught.value.hint) == (
        "cannot connect to the Docker Engine: No such file or directory",
        "start Docker, or point DOCKER_HOST or `docker context use` at an engine that runs",
    )


def test_a_docker_host_that_is_no_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "gopher://engine")
    with pytest.raises(InputError, match="the Docker configuration is not usable"):
        Engine.connect()


def test_a_docker_config_that_is_other_json_is_refused(docker_config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (docker_config / "config.json").write_text("[]")
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:9")
    with pytest.raises(InputError, match="the Docker configuration is not usable"):
        Engine.connect()


def test_a_login_of_the_config_is_found(docker_config: Path) -> None:
    configure(docker_config, auths={REGISTRY: encoded("me", "pass:word")})
    assert Engine.credentials(REGISTRY) == Credentials(username="me", secret="pass:word")


def test_docker_hub_is_found_under_its_old_name(docker_config: Path) -> None:
    configure(docker_config, auths={"https://index.docker.io/v1/": encoded("me", "word")})
    assert Engine.credentials("registry-1.docker.io") == Credentials(username="me", secret="word")


def test_a_registry_without_a_login_has_none(docker_config: Path) -> None:
    configure(docker_config)
    assert Engine.credentials(REGISTRY) == Credentials()


def test_an_identity_token_has_no_user_name(docker_config: Path) -> None:
    configure(docker_config, credHelpers={REGISTRY: "token"})
    install_helper(docker_config, "token", """echo '{"Username": "<token>", "Secret": "long"}'""")
    assert Engine.credentials(REGISTRY) == Credentials(secret="long")


def test_a_helper_that_is_not_installed_is_a_warning(docker_config: Path) -> None:
    configure(docker_config, credHelpers={REGISTRY: "absent"})
    assert Engine.credentials(REGISTRY) == Credentials(
        warning=f"`docker-credential-absent` is not installed, so `{REGISTRY}` is asked without a login"
    )


def test_a_helper_that_fails_is_a_warning(docker_config: Path) -> None:
    configure(docker_config, credHelpers={REGISTRY: "broken"})
    install_helper(docker_config, "broken", "echo expired; exit 1")
    found = Engine.credentials(REGISTRY)
    assert (found.username, found.secret, "expired" in str(found.warning)) == ("", "", True)


def test_a_helper_does_not_matter_to_another_registry(docker_config: Path) -> None:
    configure(docker_config, credHelpers={"other.example.com": "absent"}, auths={REGISTRY: encoded("me", "word")})
    assert Engine.credentials(REGISTRY) == Credentials(username="me", secret="word")
