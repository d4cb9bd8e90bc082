"""Own the fixtures of the runtime's tests: one folder of tiny models, and one server that serves them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from runtime.bundle import Bundle, read_bundle
from runtime.embedder import Embedder
from runtime.reranker import Reranker
from tests.runtime import tiny
from tests.runtime.server import Server, running_server


@dataclass(frozen=True, kw_only=True, slots=True)
class Folders:
    """Where the tiny models lie, and the bundle of both."""

    embedder: Path
    reranker: Path
    classifier: Path
    bundle: Path


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    root = tmp_path_factory.mktemp("models")
    tiny.write_embedder(root / "embedder")
    tiny.write_reranker(root / "reranker")
    tiny.write_classifier(root / "classifier")
    bundle = tiny.write_bundle(
        root / "bundle.json", tiny.embedder_entry(root / "embedder"), tiny.reranker_entry(root / "reranker")
    )
    return Folders(
        embedder=root / "embedder", reranker=root / "reranker", classifier=root / "classifier", bundle=bundle
    )


@pytest.fixture(scope="session")
def bundle(folders: Folders) -> Bundle:
    return read_bundle(folders.bundle)


@pytest.fixture(scope="session")
def embedder(bundle: Bundle) -> Embedder:
    return Embedder(bundle.models[0], threads=1)


@pytest.fixture(scope="session")
def reranker(bundle: Bundle) -> Reranker:
    return Reranker(bundle.models[1], threads=1)


@pytest.fixture(scope="session")
def server(folders: Folders) -> Iterator[Server]:
    with running_server(folders.bundle, payload_limit="100000", max_client_batch_size="64") as server:
        yield server
