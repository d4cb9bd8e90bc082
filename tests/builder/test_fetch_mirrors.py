from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from templates.stages.fetch_request import Endpoint, parse_endpoints
from tests.builder.fetch_stage import (
    CHECK_BYTES,
    COMMIT,
    FILES,
    GATED,
    REPOSITORY,
    TOKEN,
    TRY_LATER,
    Stage,
    repositories,
)
from tests.support.hub_server import BodyFault, Failure, HubServer

ELSEWHERE = "HF_TOKEN, which only the first endpoint in HF_ENDPOINT is given"


@pytest.fixture
def mirrored(tmp_path: Path) -> Iterator[Stage]:
    """A stage with two Hubs that everybody may read."""
    directory = repositories(tmp_path)
    with ExitStack() as stack:
        servers = tuple(stack.enter_context(HubServer(directory, gated=[GATED])) for _ in range(2))
        yield Stage(directory=tmp_path, servers=servers)


def corrupt(server: HubServer) -> None:
    server.inject(BodyFault(is_corrupt=True), path="*/config.json", times=None)


def cut(server: HubServer) -> None:
    server.inject(BodyFault(sent_bytes=0), path="*/config.json", times=None)


def shorten(server: HubServer) -> None:
    server.inject(BodyFault(replacement=b"{"), path="*/config.json", times=None)


def lose(server: HubServer) -> None:
    server.gone.add(COMMIT)


def answer(status: int, code: str = "", **headers: str) -> Callable[[HubServer], None]:
    failure = Failure(status=status, headers={"X-Error-Code": code, **headers})
    return lambda server: server.inject(failure, path="*", times=None)


CURABLE = {
    "corrupt": corrupt,
    "dropped": cut,
    "short": shorten,
    "revision gone": lose,
    "repository gone": answer(404, "RepoNotFound"),
    "file gone": answer(404, "EntryNotFound"),
    "no Hub": answer(404),
    "private": answer(401, "RepoNotFound"),
    "in trouble": answer(500),
    "rate limit": answer(429, **{"Retry-After": "0"}),
}


@pytest.mark.parametrize("break_hub", CURABLE.values(), ids=CURABLE.keys())
def test_the_next_mirror_gives_what_the_first_can_not(mirrored: Stage, break_hub: Callable[[HubServer], None]) -> None:
    break_hub(mirrored.servers[0])
    run = mirrored.fetch("config.json")
    assert (run.code, run.errors, run.found()) == (0, "", {"config.json": (False, FILES["config.json"])})
    assert f"; asking the Hub at {mirrored.servers[1].endpoint}" in run.output


def test_the_next_mirror_is_asked_where_the_first_is_not_there(mirrored: Stage) -> None:
    with HubServer(mirrored.directory / "hub") as closed:
        port = closed.port
    mirrored.environment["HF_ENDPOINT"] = f"http://127.0.0.1:{port} {mirrored.servers[1].endpoint}/"
    assert mirrored.fetch("config.json").found() == {"config.json": (False, FILES["config.json"])}


def test_a_mirror_that_helped_is_asked_first_from_then_on(mirrored: Stage) -> None:
    mirrored.server.inject(Failure(status=500), path="*", times=None)
    run = mirrored.fetch(*FILES)
    assert run.found() == {path: (False, content) for path, content in FILES.items()}
    assert {request.path for request in mirrored.server.requests} == {f"/{REPOSITORY}/resolve/{COMMIT}/config.json"}


def test_a_licence_that_is_not_accepted_is_not_evaded_by_a_mirror(mirrored: Stage) -> None:
    (error, _) = mirrored.refused("config.json", repo=GATED)
    assert (error.startswith(f"error: `{GATED}` is gated"), mirrored.servers[1].requests) == (True, [])


def test_where_no_mirror_helps_each_one_s_failure_is_told_with_its_remedy(mirrored: Stage) -> None:
    first, second = mirrored.servers
    first.fail(503, times=100)
    second.inject(BodyFault(replacement=b"{"), path="*", times=None)
    blame = f"the Hub at {second.endpoint}, or something between, sent other bytes"
    assert mirrored.refused("config.json") == [
        f"error: the Hub at {first.endpoint} answers HTTP 503 for `{REPOSITORY}`",
        f"hint: {TRY_LATER}",
        f"error: `config.json` of `{REPOSITORY}` has another size than 2 bytes (1 arrived): {blame}",
        f"hint: {CHECK_BYTES}",
    ]


def test_a_mirror_on_another_host_never_sees_the_token(mirrored: Stage) -> None:
    first, second = mirrored.servers
    lose(first)
    mirrored.environment["HF_ENDPOINT"] = f"{first.endpoint},http://localhost:{second.port}"
    run = mirrored.fetch(*FILES)
    assert run.found() == {path: (False, content) for path, content in FILES.items()}
    assert {request.authorized for request in first.requests} == {True}
    assert {request.authorized for request in second.requests} == {False}


def test_a_mirror_that_wants_a_token_says_that_it_is_given_none(mirrored: Stage) -> None:
    first, second = mirrored.servers
    lose(first)
    second.token = TOKEN
    mirrored.environment["HF_ENDPOINT"] = f"{first.endpoint},http://localhost:{second.port}"
    mirror = f"the Hub at http://localhost:{second.port}"
    assert mirrored.refused("config.json")[2:] == [
        f"error: {mirror} has no repository `{REPOSITORY}` for this account",
        f"hint: check `repo`; a private repository needs a token that may read it in {ELSEWHERE}",
    ]


@pytest.mark.parametrize(
    ("address", "token"),
    [
        ("https://hub.example.com:8443/mirror", TOKEN),
        ("http://hub.example.com", None),
        ("https://mirror.example.com", None),
    ],
)
def test_the_token_is_for_the_first_endpoint_and_its_host(address: str, token: str | None) -> None:
    first = "https://hub.example.com"
    assert parse_endpoints(f"{first}/,{address}", token=TOKEN) == [
        Endpoint(address=first, token=TOKEN, gets_token=True),
        Endpoint(address=address, token=token, gets_token=token is not None),
    ]


def test_without_an_endpoint_the_public_hub_is_asked() -> None:
    expected = [Endpoint(address="https://huggingface.co", token=None, gets_token=True)]
    assert parse_endpoints(" ", token=None) == expected


def test_credentials_in_an_address_are_not_shown() -> None:
    endpoint = Endpoint(address="https://user:secret@mirror.example.com/hub", token=None, gets_token=False)
    assert endpoint.shown == "https://mirror.example.com/hub"
