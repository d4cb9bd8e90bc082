from pathlib import Path

import pytest

from builder.engine import Engine
from builder.errors import InputError, UnreachableError


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


def test_a_docker_config_that_is_other_json_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.json").write_text("[]")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:9")
    with pytest.raises(InputError, match="the Docker configuration is not usable"):
        Engine.connect()
