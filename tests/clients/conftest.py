"""Own the environments of the clients, the server that they ask, and how one of their programs is run."""

import json
import os
import socket
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.runtime import tiny
from tests.runtime.server import Answer, Server, running_server

ROOT = Path(__file__).parents[2]
KEY = "key-of-the-clients"

_LONG_BODY = (
    b"POST /embed HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n"
    b"Authorization: Bearer " + KEY.encode() + b"\r\n\r\n{"
)

Outcomes = dict[str, Any]
Run = Callable[..., Outcomes]

# what LangChain counts tokens with by default; the file itself comes with LiteLLM, so that nothing is downloaded
_TIKTOKEN = "lib/python*/site-packages/litellm/litellm_core_utils/tokenizers"


@pytest.fixture(scope="session")
def environments() -> Path:
    """Make the environments, which takes a minute the first time."""
    subprocess.run([ROOT / "scripts/ensure-clients", "clients", "litellm"], check=True)
    return ROOT / ".clients"


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    tiny.write_embedder(root / "embedder")
    tiny.write_reranker(root / "reranker")
    return tiny.write_bundle(
        root / "bundle.json", tiny.embedder_entry(root / "embedder"), tiny.reranker_entry(root / "reranker")
    )


@pytest.fixture(scope="session")
def server(bundle: Path) -> Iterator[Server]:
    with running_server(bundle, api_key=KEY, payload_limit="100000") as server:
        yield server


@pytest.fixture(scope="session")
def crowded(bundle: Path) -> Iterator[Server]:
    """A server that reads as many long bodies as it may, none of which comes to its end."""
    with (
        running_server(bundle, api_key=KEY, payload_limit="1000", body_timeout_s="600") as server,
        ExitStack() as stack,
    ):
        while ask(server, {"input": "cat"}).status != 429:
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            connection.sendall(_LONG_BODY)
        yield server


def ask(server: Server, body: object) -> Answer:
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}
    return server.request("POST", "/v1/embeddings", json.dumps(body).encode(), headers)


@pytest.fixture(scope="session")
def run(environments: Path, server: Server, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run a program with nothing of this process's environment, and read what it notes."""
    home = tmp_path_factory.mktemp("home")
    (tokenizers,) = (environments / "litellm").glob(_TIKTOKEN)

    def run_program(name: str, asked: Server = server) -> Outcomes:
        environment = "litellm" if "litellm" in name else "clients"
        done = subprocess.run(
            [
                environments / environment / "bin/python",
                *("-P", "-m", f"tests.clients.programs.{name}", f"http://127.0.0.1:{asked.port}", KEY),
            ],
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(home),
                "PYTHONPATH": str(ROOT),
                "HF_HUB_DISABLE_TELEMETRY": "1",
                "LITELLM_LOCAL_MODEL_COST_MAP": "True",
                "TIKTOKEN_CACHE_DIR": str(tokenizers),
            },
            stdout=subprocess.PIPE,
            timeout=120,
            check=True,
        )
        outcomes: Outcomes = json.loads(done.stdout)
        return outcomes

    return run_program


@pytest.fixture(scope="session")
def floats(server: Server) -> Callable[..., list[list[float]]]:
    """Ask this server's own `/v1/embeddings` for what a client should have been given."""

    def embed(texts: Sequence[object], **fields: object) -> list[list[float]]:
        answer = ask(server, {"input": texts, "encoding_format": "float", **fields})
        return [item["embedding"] for item in answer.body["data"]]

    return embed
