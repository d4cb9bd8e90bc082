"""Own the environments of the clients, the server that they ask, and how one of their programs is run."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.runtime import tiny
from tests.runtime.server import Server, running_server

ROOT = Path(__file__).parents[2]
KEY = "key-of-the-clients"

Outcomes = dict[str, Any]
Run = Callable[[str], Outcomes]

# what LangChain counts tokens with by default; the file itself comes with LiteLLM, so that nothing is downloaded
_TIKTOKEN = "lib/python*/site-packages/litellm/litellm_core_utils/tokenizers"


@pytest.fixture(scope="session")
def environments() -> Path:
    """Make the environments, which takes a minute the first time."""
    subprocess.run([ROOT / "scripts/ensure-clients", "clients", "litellm"], check=True)
    return ROOT / ".clients"


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    root = tmp_path_factory.mktemp("models")
    tiny.write_embedder(root / "embedder")
    tiny.write_reranker(root / "reranker")
    bundle = tiny.write_bundle(
        root / "bundle.json", tiny.embedder_entry(root / "embedder"), tiny.reranker_entry(root / "reranker")
    )
    with running_server(bundle, api_key=KEY, payload_limit="100000") as server:
        yield server


@pytest.fixture(scope="session")
def run(environments: Path, server: Server, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run a program with nothing of this process's environment, and read what it notes."""
    home = tmp_path_factory.mktemp("home")
    (tokenizers,) = (environments / "litellm").glob(_TIKTOKEN)

    def run_program(name: str) -> Outcomes:
        environment = "litellm" if name == "with_litellm" else "clients"
        done = subprocess.run(
            [
                environments / environment / "bin/python",
                *("-P", "-m", f"tests.clients.programs.{name}", f"http://127.0.0.1:{server.port}", KEY),
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
        body = json.dumps({"input": texts, "encoding_format": "float", **fields}).encode()
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}
        return [item["embedding"] for item in server.request("POST", "/v1/embeddings", body, headers).body["data"]]

    return embed
