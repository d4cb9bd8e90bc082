"""What the host says of its network reaches the stages that download, and stays out of the image."""

from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

import pytest

from builder import network
from builder.buildkit import BuildRequest, build
from builder.context import assemble
from builder.engine import Engine
from builder.render import NETWORK_SECRETS
from builder.trace import Event, LogEvent
from tests.builder import data

pytestmark = pytest.mark.engine

SCRIPT = Path(__file__).parent.parent.parent / "templates/stages/network.sh"
ENVIRONMENT = {
    "HTTPS_PROXY": "http://robot:pass word's@proxy.example.com:3128",
    "NO_PROXY": "localhost",
    "PIP_INDEX_URL": "https://index.example.com/simple",
    "PIP_CONFIG_FILE": "/dev/null",
}
SHOW = 'env | grep -i -E "proxy|pip|cert|ca_|apt_config"; cat $PIP_CONFIG_FILE $APT_CONFIG; cat $SSL_CERT_FILE'


def told_by_stage(engine: Engine, secrets: Mapping[str, bytes]) -> tuple[str, list[str]]:
    """Run SHOW under the stages' script; return the image's id and what it printed."""
    mounts = " ".join(f"--mount=type=secret,id={name}" for name in NETWORK_SECRETS)
    dockerfile = (
        f"FROM debian:bookworm-slim\n"
        f"RUN {mounts} --mount=type=bind,source=network.sh,target=/network.sh : {uuid4().hex}; "
        f"sh /network.sh sh -c '{SHOW}' || true\n"
    )
    events: list[Event] = []
    context = assemble({"Dockerfile": dockerfile.encode(), "network.sh": SCRIPT.read_bytes()})
    request = BuildRequest(context=context, shared_key="network", network_mode="none", secrets=secrets)
    image_id = build(engine, request, on_event=events.append)
    return image_id, [event.line for event in events if isinstance(event, LogEvent)]


def test_a_stage_has_proxies_certificates_and_pip_s_settings(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(data.CERTIFICATE)
    secrets = network.secrets({**ENVIRONMENT, "HOME": str(tmp_path)}, ca_bundle=tmp_path / "ca.pem")
    image_id, lines = told_by_stage(engine, secrets)
    details = engine.inspect_image(image_id)
    history = "\n".join(engine.image_history(image_id))
    engine.remove_image(image_id)
    assert set(lines) >= {
        f"HTTPS_PROXY={ENVIRONMENT['HTTPS_PROXY']}",
        f"https_proxy={ENVIRONMENT['HTTPS_PROXY']}",
        "NO_PROXY=localhost",
        "PIP_CERT=/run/secrets/ca_bundle",
        "SSL_CERT_FILE=/run/secrets/ca_bundle",
        "REQUESTS_CA_BUNDLE=/run/secrets/ca_bundle",
        "index-url = https://index.example.com/simple",
        'Acquire::https::CAInfo "/run/secrets/ca_bundle";',
        "-----BEGIN CERTIFICATE-----",
    }
    assert [word for word in ("proxy.example.com", "index.example.com") if word in history] == []
    assert [line for line in details.environment if not line.startswith("PATH=")] == []


def test_a_stage_without_secrets_runs_as_it_is(engine: Engine) -> None:
    image_id, lines = told_by_stage(engine, {})
    engine.remove_image(image_id)
    assert [line for line in lines if "=" in line] == []
