import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest

from builder import credentials
from builder.api import Credentials

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


def test_a_login_of_the_config_is_found(docker_config: Path) -> None:
    configure(docker_config, auths={REGISTRY: encoded("me", "pass:word")})
    assert credentials.look_up(REGISTRY) == Credentials(username="me", secret="pass:word")


def test_docker_hub_is_found_under_its_old_name(docker_config: Path) -> None:
    configure(docker_config, auths={"https://index.docker.io/v1/": encoded("me", "word")})
    assert credentials.look_up("registry-1.docker.io") == Credentials(username="me", secret="word")


def test_a_registry_without_a_login_has_none(docker_config: Path) -> None:
    configure(docker_config)
    assert credentials.look_up(REGISTRY) == Credentials()


def test_an_identity_token_has_no_user_name(docker_config: Path) -> None:
    configure(docker_config, credHelpers={REGISTRY: "token"})
    install_helper(docker_config, "token", """echo '{"Username": "<token>", "Secret": "long"}'""")
    assert credentials.look_up(REGISTRY) == Credentials(secret="long")


def test_a_helper_that_is_not_installed_is_a_warning(docker_config: Path) -> None:
    configure(docker_config, credHelpers={REGISTRY: "absent"})
    assert credentials.look_up(REGISTRY) == Credentials(
        warning=f"`docker-credential-absent` is not installed, so `{REGISTRY}` is asked without a login"
    )


def test_a_helper_that_fails_is_a_warning(docker_config: Path) -> None:
    configure(docker_config, credHelpers={REGISTRY: "broken"})
    install_helper(docker_config, "broken", "echo expired; exit 1")
    found = credentials.look_up(REGISTRY)
    assert (found.username, found.secret, "expired" in str(found.warning)) == ("", "", True)


def test_a_helper_does_not_matter_to_another_registry(docker_config: Path) -> None:
    configure(docker_config, credHelpers={"other.example.com": "absent"}, auths={REGISTRY: encoded("me", "word")})
    assert credentials.look_up(REGISTRY) == Credentials(username="me", secret="word")


def test_a_helper_that_knows_no_login_leaves_it_to_the_config(docker_config: Path) -> None:
    configure(docker_config, credsStore="empty", auths={REGISTRY: encoded("me", "word")})
    install_helper(docker_config, "empty", "echo credentials not found in native keychain; exit 1")
    assert credentials.look_up(REGISTRY) == Credentials(username="me", secret="word")


def test_a_helper_is_told_which_registry_it_is_asked_about(docker_config: Path) -> None:
    configure(docker_config, credsStore="echo")
    install_helper(docker_config, "echo", """read -r host; printf '{"Username": "me", "Secret": "of %s"}' "$host\"""")
    assert credentials.look_up(REGISTRY) == Credentials(username="me", secret=f"of {REGISTRY}")
    assert credentials.look_up("docker.io").secret == "of https://index.docker.io/v1/"


def test_a_helper_that_hangs_is_given_up(docker_config: Path) -> None:
    configure(docker_config, credsStore="stuck")
    install_helper(docker_config, "stuck", "exec sleep 1000")
    assert credentials.look_up(REGISTRY, helper_timeout_s=0.2) == Credentials(
        warning=f"`docker-credential-stuck` did not answer within 0.2 s, so `{REGISTRY}` is asked without a login"
    )


def test_what_a_helper_says_that_is_no_login_is_not_repeated(docker_config: Path) -> None:
    configure(docker_config, credsStore="odd")
    install_helper(docker_config, "odd", """echo '{"Username": "me", "Password": "hidden"}'""")
    assert credentials.look_up(REGISTRY) == Credentials(
        warning=f"`docker-credential-odd` gave no login, so `{REGISTRY}` is asked without a login"
    )


def test_a_secret_is_not_shown() -> None:
    assert "hidden" not in repr(Credentials(username="me", secret="hidden"))
