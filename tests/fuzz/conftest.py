"""Own the server that is fuzzed, and how many requests it gets: always the same few, or as many new ones as asked."""

import math
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.runtime import tiny
from tests.runtime.server import Server, running_server

FEW = 1_300

Sent = Counter[tuple[str, int]]  # of each route and status

SENT = pytest.StashKey[Sent]()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serve the tiny models; whatever was sent, the server has to end well, and not to have failed once."""
    root = tmp_path_factory.mktemp("models")
    tiny.write_embedder(root / "embedder")
    tiny.write_reranker(root / "reranker")
    tiny.write_classifier(root / "classifier")
    bundle = tiny.write_bundle(
        root / "bundle.json",
        tiny.embedder_entry(root / "embedder"),
        tiny.reranker_entry(root / "reranker"),
        tiny.classifier_entry(root / "classifier"),
    )
    with running_server(bundle, max_client_batch_size="64", payload_limit="10000000", body_timeout_s="1") as server:
        yield server
        assert server.terminate() == 0
        assert [line for line in server.log if '"level": "error"' in line] == []


@pytest.fixture(scope="session")
def sent(pytestconfig: pytest.Config) -> Sent:
    """Count what is sent."""
    return pytestconfig.stash.setdefault(SENT, Counter())


@pytest.fixture(scope="session")
def effort(pytestconfig: pytest.Config) -> Callable[[float], settings]:
    """Say how hard a test tries that has a share of all requests."""
    asked: int | None = pytestconfig.getoption("--fuzz-requests")

    def settings_of(share: float) -> settings:
        return settings(
            max_examples=math.ceil((asked or FEW) * share),
            derandomize=asked is None,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )

    return settings_of


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say how many requests were sent, and how they were answered."""
    sent = config.stash.get(SENT, Counter())
    statuses: Counter[int] = Counter()
    for (_, status), count in sent.items():
        statuses[status] += count
    answered = ", ".join(f"{count} with {status}" for status, count in sorted(statuses.items()))
    terminalreporter.write_line(
        f"fuzz: {sent.total()} requests to {len({route for route, _ in sent})} routes: {answered}"
    )
