"""The page of a real image, whose container has no network, behind a port that is forwarded to it."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from examples.quickstart import serving
from runtime.documentation import PAGE
from runtime.openapi import document
from runtime.routes import ROUTES
from tests.engine.command import ROOT, build_image, manifest
from tests.runtime.page.browser import running_browser, visit

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(shutil.which("docker") is None, reason="the docker command is not installed"),
]


@contextmanager
def forwarded(container: str) -> Iterator[str]:
    """Run the README's command on a free port, and say where it listens."""
    command = [sys.executable, str(ROOT / "examples/forward.py"), container, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[0]
        finally:
            process.terminate()


def test_a_container_that_is_not_there_is_told() -> None:
    command = [sys.executable, str(ROOT / "examples/forward.py"), "no-such-container"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: `no-such-container`: ")
    assert ended.stderr.endswith("\nhint: see `docker ps`\n")


def test_an_image_without_a_network_shows_its_page_behind_a_forwarded_port(folder: Path, name: str) -> None:
    ended = build_image("--models", manifest(folder, name))
    assert ended.code == 0, ended.err
    with (
        serving(f"{name}:latest") as container,
        forwarded(container.name or "") as address,
        running_browser() as browser,
    ):
        seen = visit(browser.new_context(), address)
        seen.rank()
        assert [len(seen.rows(table)) for table in ("Embedder", "Reranker", "Cosine similarity")] == [5, 5, 6]
        assert {urlsplit(request.url).netloc for request in seen.requests} == {urlsplit(address).netloc}
        assert seen.complaints == []


def test_an_image_describes_its_routes(folder: Path, name: str) -> None:
    ended = build_image("--models", manifest(folder, name))
    assert ended.code == 0, ended.err
    with serving(f"{name}:latest") as container, forwarded(container.name or "") as address:
        described = requests.get(f"{address}openapi.json", timeout=20).json()
        shown = requests.get(f"{address}docs", timeout=20).content
    assert list(described["paths"]) == list(document(ROUTES, has_keys=False)["paths"])
    assert shown == PAGE.read_bytes()
