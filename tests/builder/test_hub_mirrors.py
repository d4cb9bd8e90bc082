import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import huggingface_hub
import pytest

from builder import hub
from builder.errors import InputError, UnreachableError
from tests.support.hub_server import BodyFault, Failure, HubServer

REPOSITORY = "example/model"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
CONFIG = b'{"hidden_size": 384}'
WEIGHTS = bytes(range(256)) * 12 * 1024  # 3 MiB


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    for name in (REPOSITORY, "example/gated"):
        (tmp_path / name / "onnx").mkdir(parents=True)
        (tmp_path / name / "config.json").write_bytes(CONFIG)
        (tmp_path / name / "onnx/model.onnx").write_bytes(WEIGHTS)
    return tmp_path


@pytest.fixture(autouse=True)
def no_token_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the token of whoever runs the tests out of them."""
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "token"))


@pytest.fixture
def mirrors(directory: Path) -> Iterator[tuple[HubServer, HubServer]]:
    with HubServer(directory, gated=["example/gated"]) as first, HubServer(directory) as second:
        yield first, second


def listed(*servers: HubServer) -> str:
    return ", ".join(server.endpoint for server in servers)


def lose(server: HubServer) -> None:
    server.gone.add(COMMIT)


def answer(status: int, code: str = "") -> Callable[[HubServer], None]:
    fault = Failure(status=status, headers={"X-Error-Code": code})
    return lambda server: server.inject(fault, path="*", times=None)


def corrupt(server: HubServer) -> None:
    server.inject(BodyFault(is_corrupt=True), path="*", times=None)


CURABLE = {
    "revision gone": lose,
    "repository gone": answer(404, "RepoNotFound"),
    "file gone": answer(404, "EntryNotFound"),
    "in trouble": answer(500),
    "rate limit": answer(429),
    "no Hub": answer(200),
    "corrupt": corrupt,
}


@pytest.mark.parametrize("break_hub", CURABLE.values(), ids=CURABLE.keys())
def test_the_next_mirror_gives_what_the_first_can_not(
    mirrors: tuple[HubServer, HubServer], break_hub: Callable[[HubServer], None]
) -> None:
    break_hub(mirrors[0])
    repository = hub.resolve(REPOSITORY, revision=COMMIT, endpoint=listed(*mirrors), retries=0)
    assert (repository.revision, repository.read("config.json")) == (COMMIT, CONFIG)


@pytest.mark.parametrize("break_hub", [corrupt, answer(500)], ids=["corrupt", "in trouble"])
def test_files_come_from_the_next_mirror_when_the_first_breaks_after_the_listing(
    mirrors: tuple[HubServer, HubServer], break_hub: Callable[[HubServer], None]
) -> None:
    repository = hub.resolve(REPOSITORY, revision=COMMIT, endpoint=listed(*mirrors), retries=0)
    break_hub(mirrors[0])
    assert repository.read("config.json") == CONFIG


def test_parts_come_from_the_next_mirror_when_the_first_breaks_in_between(
    mirrors: tuple[HubServer, HubServer],
) -> None:
    repository = hub.resolve(REPOSITORY, revision=COMMIT, endpoint=listed(*mirrors), retries=0)
    with repository.open("onnx/model.onnx") as stream:
        start = stream.read(3)
        answer(500)(mirrors[0])
        stream.seek(2_000_000)
        assert (start, stream.read(3)) == (WEIGHTS[:3], WEIGHTS[2_000_000:2_000_003])


def test_a_mirror_that_answered_is_asked_first_from_then_on(mirrors: tuple[HubServer, HubServer]) -> None:
    answer(500)(mirrors[0])
    hub.resolve(REPOSITORY, revision=COMMIT, endpoint=listed(*mirrors), retries=0).read("config.json")
    assert len(mirrors[0].requests) == 1


def test_a_licence_that_is_not_accepted_is_not_evaded_by_a_mirror(mirrors: tuple[HubServer, HubServer]) -> None:
    repository = hub.resolve("example/gated", revision=COMMIT, endpoint=listed(*mirrors), retries=0)
    with pytest.raises(InputError, match="`example/gated` is gated"):
        repository.read("config.json")
    assert mirrors[1].requests == []


def test_where_no_mirror_helps_each_one_s_failure_is_told(mirrors: tuple[HubServer, HubServer]) -> None:
    first, second = mirrors
    answer(500)(first)
    lose(second)
    with pytest.raises(UnreachableError) as caught:
        hub.resolve(REPOSITORY, revision=COMMIT, endpoint=listed(*mirrors), retries=0)
    trouble = f"the Hub at `{first.endpoint}` answers HTTP 500 for `{REPOSITORY}`"
    assert caught.value.message == f"{trouble}; `{REPOSITORY}` has no revision `{COMMIT}`"
    assert caught.value.hint == "try again later, or check HF_ENDPOINT"


def test_a_mirror_on_another_host_never_sees_the_token(mirrors: tuple[HubServer, HubServer]) -> None:
    first, second = mirrors
    lose(first)
    endpoints = f"{first.endpoint} http://localhost:{second.port}"
    hub.resolve(REPOSITORY, revision=COMMIT, endpoint=endpoints, token="hf_right", retries=0).read("config.json")
    assert {request.authorized for request in first.requests} == {True}
    assert [request.authorized for request in second.requests] == [False, False]


def test_the_token_is_given_to_the_first_endpoint_s_host(mirrors: tuple[HubServer, HubServer]) -> None:
    lose(mirrors[0])
    hub.resolve(REPOSITORY, revision=COMMIT, endpoint=listed(*mirrors), token="hf_right", retries=0)
    assert [request.authorized for request in mirrors[1].requests] == [True]


@pytest.mark.parametrize("trusts", ["", "hub.trust(Path(sys.argv[1])); "])
def test_the_environment_may_list_mirrors(
    mirrors: tuple[HubServer, HubServer], tmp_path: Path, certificate: Path, trusts: str
) -> None:
    lose(mirrors[0])
    resolve = f"print(hub.resolve({REPOSITORY!r}, revision={COMMIT!r}, retries=0).revision)"
    program = f"import sys; from pathlib import Path; from builder import hub; {trusts}{resolve}"
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "HF_ENDPOINT": listed(*mirrors)}
    command = [sys.executable, "-c", program, str(certificate)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == (COMMIT + "\n", "")
