"""Engines that tests run against: the machine's own, and private ones that a test may kill."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from builder.engine import Engine
from tests.support import lookalikes
from tests.support import private_engine as private_engines
from tests.support.private_engine import PrivateEngine


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """The engine that DOCKER_HOST or the active context names."""
    with Engine.connect() as connected:
        yield connected


@pytest.fixture
def private_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateEngine]:
    """A private engine that answers; where one cannot be started, the test is skipped."""
    if not private_engines.can_run():
        pytest.skip("a private engine needs root and dockerd")
    with private_engines.running(tmp_path_factory.mktemp("engine"), options=["--storage-driver=vfs"]) as started:
        yield started


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a manifest's two tiny local models."""
    directory = tmp_path_factory.mktemp("models")
    lookalikes.write_embedding_model(directory / "embedder")
    lookalikes.write_reranker(directory / "reranker")
    return directory


@pytest.fixture
def name(engine: Engine) -> Iterator[str]:
    """A name for an image, which is removed with all its tags afterwards."""
    repository = f"build-image-test-{uuid4().hex[:12]}"
    yield repository
    engine.remove_image(f"{repository}:latest")


@pytest.fixture(scope="session", autouse=True)
def _cache_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the memory of these runs out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield
