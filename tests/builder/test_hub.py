import shutil
import ssl
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

from builder import hub
from builder.errors import BuildImageError, FailedError, InputError, UnreachableError
from builder.repository import RepositoryFile, git_blob_id
from tests.support.hub_server import BodyFault, HubServer, Request, Silence

REPOSITORY = "example/model"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
WEIGHTS = bytes(range(256)) * 12 * 1024  # 3 MiB


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    for name in (REPOSITORY, "example/gated"):
        (tmp_path / name / "onnx").mkdir(parents=True)
        (tmp_path / name / "config.json").write_text('{"hidden_size": 384}')
        (tmp_path / name / "onnx/model.onnx").write_bytes(WEIGHTS)
    return tmp_path


@pytest.fixture
def server(directory: Path) -> Iterator[HubServer]:
    with HubServer(directory, gated=["example/gated"]) as running:
        yield running


@pytest.fixture(autouse=True)
def no_token_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the token of whoever runs the tests out of them."""
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "token"))


def resolve(
    server: HubServer, repo: str = REPOSITORY, *, revision: str = COMMIT, token: str | None = None
) -> hub.HubRepository:
    return hub.resolve(repo, revision=revision, endpoint=server.endpoint, token=token, retries=0)


def failure(server: HubServer, repo: str = REPOSITORY, *, revision: str = COMMIT) -> BuildImageError:
    """Resolve a repository and read a file of it, which has to fail."""
    with pytest.raises(BuildImageError) as caught:
        resolve(server, repo, revision=revision).read("config.json")
    return caught.value


def test_one_request_tells_the_commit_and_every_file(server: HubServer) -> None:
    repository = resolve(server)

    assert (repository.source, repository.revision) == (REPOSITORY, COMMIT)
    assert repository.files == server.listing(REPOSITORY)
    path = f"/api/models/{REPOSITORY}/revision/{COMMIT}?blobs=true"
    assert server.requests == [Request(method="GET", path=path, authorized=False, range=None)]


def test_a_branch_becomes_the_commit_it_stands_at(server: HubServer) -> None:
    assert resolve(server, revision="main").revision == server.commit(REPOSITORY)


def test_a_small_file_is_read_whole(server: HubServer) -> None:
    assert resolve(server).read("config.json") == b'{"hidden_size": 384}'


def test_a_file_that_should_be_small_but_is_not_is_refused_without_a_request(server: HubServer) -> None:
    huge = RepositoryFile(size_bytes=2**30, blob_id="0" * 40)
    repository = replace(resolve(server), files={"config.json": huge})
    server.requests.clear()

    with pytest.raises(InputError) as caught:
        repository.read("config.json")

    message = f"`config.json` of `{REPOSITORY}` is too large to be read: 1073741824 bytes, over 32 MiB"
    assert (str(caught.value), server.requests) == (message, [])


def test_an_open_file_reads_like_a_local_one(server: HubServer) -> None:
    with resolve(server).open("onnx/model.onnx") as stream:
        stream.seek(1_000_003)
        middle = stream.read(300_000)
        stream.seek(-5, 2)
        end = stream.read()

    assert (middle, end) == (WEIGHTS[1_000_003:1_300_003], WEIGHTS[-5:])


def test_an_open_file_fetches_only_what_is_read(server: HubServer) -> None:
    with resolve(server).open("onnx/model.onnx") as stream:
        stream.read(10)
        stream.seek(2_000_000)
        stream.read(10)

    ranges = [request.range for request in server.requests if request.path.startswith("/content-network/")]
    assert ranges == ["bytes=0-131071", "bytes=2000000-2131071"]


def test_the_hub_is_asked_once_where_a_file_lies_and_only_the_hub_sees_the_token(directory: Path) -> None:
    with (
        HubServer(directory, token="hf_right") as server,
        resolve(server, token="hf_right").open("onnx/model.onnx") as stream,
    ):
        stream.read(1)
        stream.seek(2_000_000)
        stream.read(1)

    hub_path, content_path = (
        f"/{REPOSITORY}/resolve/{COMMIT}/onnx/model.onnx",
        f"/content-network/{REPOSITORY}/onnx/model.onnx",
    )
    assert [(request.path, request.authorized) for request in server.requests[1:]] == [
        (hub_path, True),
        (content_path, False),
        (content_path, False),
    ]


def test_the_token_of_the_environment_is_used(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_right")
    with HubServer(directory, token="hf_right") as server:
        assert resolve(server).revision == COMMIT


def test_the_token_file_of_a_login_is_used(directory: Path, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("hf_right\n")
    with HubServer(directory, token="hf_right") as server:
        assert resolve(server).revision == COMMIT


def test_a_mirror_without_ranges_gives_the_same_bytes(server: HubServer) -> None:
    server.has_ranges = False
    with resolve(server).open("onnx/model.onnx") as stream:
        stream.seek(1_000_003)
        assert stream.read(3) == WEIGHTS[1_000_003:1_000_006]


def test_an_unknown_repository_is_the_users_to_correct(server: HubServer) -> None:
    error = failure(server, "example/absent")

    assert isinstance(error, InputError)
    assert error.message == f"the Hub at `{server.endpoint}` has no repository `example/absent`"
    assert error.hint == "check the spelling of `repo`; a private repository needs a token that may read it in HF_TOKEN"


def test_an_unknown_revision_is_the_users_to_correct(server: HubServer) -> None:
    error = failure(server, revision="v9")

    assert isinstance(error, InputError)
    assert error.message == f"`{REPOSITORY}` has no revision `v9`"
    page = f"{server.endpoint}/{REPOSITORY}"
    assert error.hint == f"set the model's `revision` to a branch, tag or commit of {page}/commits/main"


def test_a_gated_repository_names_the_page_of_its_licence(server: HubServer) -> None:
    error = failure(server, "example/gated")

    assert isinstance(error, InputError)
    assert error.message == "`example/gated` is gated: it is given only to accounts that accepted its licence"
    page = f"{server.endpoint}/example/gated"
    assert error.hint == f"accept the licence at {page}, then set HF_TOKEN to a token of that account"


def test_a_refused_token_is_the_users_to_correct_and_is_not_shown(directory: Path) -> None:
    with HubServer(directory, token="hf_right") as server, pytest.raises(InputError) as caught:
        resolve(server, token="hf_wrong")

    assert caught.value.message == f"the Hub at `{server.endpoint}` refuses to give `{REPOSITORY}` to this account"
    assert caught.value.hint == "check HF_TOKEN, or log in again with `hf auth login`"


@pytest.mark.parametrize("token", ["hf_two\nlines", "hf_größe"])
def test_a_token_that_no_header_can_hold_is_not_shown(server: HubServer, token: str) -> None:
    with pytest.raises(InputError) as caught:
        resolve(server, token=token)

    assert caught.value.message == "the Hub token holds characters that can't be sent"


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (429, "limits the rate of requests"),
        (500, f"answers HTTP 500 for `{REPOSITORY}`"),
        (503, f"answers HTTP 503 for `{REPOSITORY}`"),
    ],
)
def test_a_hub_in_trouble_is_unreachable(server: HubServer, status: int, text: str) -> None:
    server.fail(status)
    error = failure(server)

    assert isinstance(error, UnreachableError)
    assert error.message == f"the Hub at `{server.endpoint}` {text}"


def test_the_hub_is_asked_again_when_it_said_it_would_answer(
    server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    server.fail(503, headers={"Retry-After": "7"})

    repository = hub.resolve(REPOSITORY, revision=COMMIT, endpoint=server.endpoint, retries=1)

    assert (repository.revision, pauses) == (COMMIT, [8.0])


def test_a_page_that_is_no_hub_is_unreachable(server: HubServer) -> None:
    server.fail(200)
    error = failure(server)

    assert isinstance(error, UnreachableError)
    assert error.message == f"what answers at `{server.endpoint}` is not a Hugging Face Hub"


def test_a_hub_that_takes_the_request_and_says_nothing_is_unreachable(
    server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "_TIMEOUT_S", 0.1)
    server.inject(Silence(), path="*")
    error = failure(server)
    assert isinstance(error, UnreachableError)
    assert error.message == f"the Hub at `{server.endpoint}` can't be reached: timed out"


def test_a_closed_port_is_unreachable_and_credentials_in_its_address_are_not_shown(directory: Path) -> None:
    with HubServer(directory) as server:
        port = server.port
    with pytest.raises(UnreachableError) as caught:
        hub.resolve(REPOSITORY, revision=COMMIT, endpoint=f"http://user:secret@127.0.0.1:{port}", retries=0)

    message = f"the Hub at `http://127.0.0.1:{port}` can't be reached: [Errno 111] Connection refused"
    assert caught.value.message == message


def test_an_endpoint_that_is_no_address_is_the_users_to_correct() -> None:
    with pytest.raises(InputError) as caught:
        hub.resolve(REPOSITORY, revision=COMMIT, endpoint="hub.example.com", retries=0)

    assert caught.value.message == "HF_ENDPOINT is not a web address: `hub.example.com`"


def test_a_list_with_an_endpoint_that_can_not_be_parsed_is_the_users_to_correct() -> None:
    with pytest.raises(InputError) as caught:
        hub.resolve(REPOSITORY, revision=COMMIT, endpoint="https://hub.example.com http://[mirror", retries=0)

    assert caught.value.message == "HF_ENDPOINT has what is not a web address: Invalid IPv6 URL"


def test_offline_mode_is_the_users_to_correct(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    error = failure(server)

    assert isinstance(error, InputError)
    assert error.message == f"`{REPOSITORY}` is on the Hub, but the environment forbids its use"


@pytest.fixture
def system_authorities(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let a test change whom the process trusts, and undo it."""
    monkeypatch.setenv("SSL_CERT_FILE", ssl.get_default_verify_paths().openssl_cafile)
    huggingface_hub.close_session()
    yield
    huggingface_hub.close_session()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
@pytest.mark.usefixtures("system_authorities")
def test_a_certificate_bundle_makes_a_private_hub_trusted(directory: Path, certificate: Path) -> None:
    with HubServer(directory, certificate=certificate) as server:
        refused = failure(server)
        hub.trust(certificate)
        trusted = resolve(server).read("config.json")

    assert (type(refused), trusted) == (UnreachableError, b'{"hidden_size": 384}')


def test_another_commit_than_the_one_asked_for_is_refused(server: HubServer) -> None:
    server.moved[COMMIT] = "f" * 40
    error = failure(server)
    blame = f"the Hub at `{server.endpoint}`, or something between, sent other bytes"
    assert error.message == f"`{REPOSITORY}` came at the commit {'f' * 40}, not {COMMIT}: {blame}"


@pytest.mark.parametrize(
    ("card", "tags", "licence"),
    [
        ({"license": "apache-2.0"}, ["license:mit"], "apache-2.0"),
        ({"license": "other", "license_name": "gemma  terms\n"}, [], "gemma terms"),
        ({"license": ["mit", "apache-2.0"]}, [], "mit, apache-2.0"),
        ({"language": "en"}, ["bert", "license:cc-by-nc-4.0"], "cc-by-nc-4.0"),
        ({}, [], ""),
    ],
)
def test_the_licence_is_what_the_model_card_names(
    server: HubServer, card: dict[str, Any], tags: list[str], licence: str
) -> None:
    server.cards[REPOSITORY] = card
    server.tags[REPOSITORY] = tags
    assert resolve(server).licence == licence


def test_a_repository_without_a_model_card_names_no_licence(server: HubServer) -> None:
    assert resolve(server).licence == ""


@pytest.mark.parametrize(("repo", "gated"), [(REPOSITORY, False), ("example/gated", True)])
def test_a_listing_says_whether_its_files_are_gated(server: HubServer, repo: str, gated: bool) -> None:
    assert resolve(server, repo).gated is gated


def test_a_small_file_with_other_bytes_is_refused(server: HubServer) -> None:
    server.inject(BodyFault(is_corrupt=True), path="*/config.json")
    error = failure(server)

    right = b'{"hidden_size": 384}'
    difference = f"has the git blob id {git_blob_id(b'z' + right[1:])}, not {git_blob_id(right)}"
    blame = f"the Hub at `{server.endpoint}`, or something between, sent other bytes"
    assert (type(error), error.exit_code) == (FailedError, 1)
    assert error.message == f"`config.json` of `{REPOSITORY}` {difference}: {blame}"
    assert error.hint == "check HTTPS_PROXY and HF_ENDPOINT"


def test_a_large_file_with_other_bytes_is_refused_by_its_sha256(server: HubServer) -> None:
    server.inject(BodyFault(is_corrupt=True), path="*/model.onnx")
    with pytest.raises(FailedError, match="`onnx/model.onnx` of `example/model` has the sha256 "):
        resolve(server).read("onnx/model.onnx")


def test_a_part_of_another_length_is_refused(server: HubServer) -> None:
    server.inject(BodyFault(replacement=bytes(10)), path="/content-network/*")
    with pytest.raises(FailedError) as caught, resolve(server).open("onnx/model.onnx") as stream:
        stream.read(1)
    blame = f"the Hub at `{server.endpoint}`, or something between, sent other bytes"
    assert caught.value.message == f"bytes 0 to 131071 of `onnx/model.onnx` of `{REPOSITORY}` came as 10 bytes: {blame}"
