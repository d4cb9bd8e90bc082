"""How long a download waits for a Hub that says nothing, or that asks to be left alone."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from templates.stages.fetch_failures import retry_after
from tests.builder.fetch_stage import FILES, LARGE, REPOSITORY, TOKEN, Stage, repositories
from tests.support.hub_server import BodyFault, HubServer, Silence

LARGE_PATH = f"/content-network/{REPOSITORY}/{LARGE}"
LONG_AGO, FAR_AHEAD = "Fri, 31 Dec 1999 23:59:59 GMT", "Fri, 31 Dec 2999 23:59:59 GMT"


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A stage that gives a Hub one second to say something."""
    with HubServer(repositories(tmp_path), token=TOKEN) as server:
        yield Stage(directory=tmp_path, servers=(server,), environment={"HF_HUB_DOWNLOAD_TIMEOUT": "1"})


def test_a_hub_that_takes_the_request_and_says_nothing_is_asked_again(stage: Stage) -> None:
    stage.server.inject(Silence(), path="*")
    run = stage.fetch("config.json")
    said = f"  `config.json` can't be fetched from the Hub at {stage.server.endpoint}: no answer for 1 s"
    assert (run.code, run.output.splitlines()[1]) == (0, f"{said}; retry 1 of 5 in 0.001 s, at 0 B of 2 B")


def test_a_body_that_stops_without_an_end_is_resumed(stage: Stage) -> None:
    stage.server.inject(BodyFault(sent_bytes=500_000, is_silent=True), path=LARGE_PATH)
    run = stage.fetch(LARGE)
    ranges = [request.range for request in stage.server.requests if request.path == LARGE_PATH]
    assert (run.found(), ranges) == ({LARGE: (False, FILES[LARGE])}, [None, "bytes=500000-"])


def test_a_rate_limit_may_end_at_a_date(stage: Stage) -> None:
    stage.server.fail(429, headers={"Retry-After": LONG_AGO})
    run = stage.fetch("config.json")
    said = f"  the Hub at {stage.server.endpoint} limits the rate of requests and asks for a pause of 0 s"
    assert (run.code, run.output.splitlines()[1]) == (0, f"{said}; retry 1 of 5 in 0 s, at 0 B of 2 B")


def test_a_rate_limit_that_ends_at_a_distant_date_is_not_waited_for(stage: Stage) -> None:
    stage.server.fail(429, headers={"Retry-After": FAR_AHEAD})
    (error, hint) = stage.refused("config.json")
    said = f"error: the Hub at {stage.server.endpoint} limits the rate of requests and asks for a pause of "
    assert (error.startswith(said), len(stage.server.requests)) == (True, 1)
    assert hint == "hint: try again later; the Hub allows more requests with a token, set as HF_TOKEN"


@pytest.mark.parametrize(("value", "wait_s"), [("", None), ("soon", None), ("-5", None), ("7", 7.0), (LONG_AGO, 0.0)])
def test_what_a_server_asks_for_is_read(value: str, wait_s: float | None) -> None:
    assert retry_after({"Retry-After": value}) == wait_s
