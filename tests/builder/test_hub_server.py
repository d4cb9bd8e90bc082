import hashlib
import http.client
from http import HTTPStatus
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from huggingface_hub import HfApi, get_hf_file_metadata, hf_hub_url, snapshot_download

from builder.repository import git_blob_id
from tests.support.hub_server import BodyFault, Failure, HubServer
from tests.support.hub_server import Request as Answered

REPOSITORY = "example/model"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = {"config.json": b"{}\n", "onnx/model.onnx": bytes(range(256)) * 40}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    for path, content in FILES.items():
        file = tmp_path / "repositories" / REPOSITORY / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return tmp_path / "repositories"


def status_of(address: str, headers: dict[str, str] | None = None) -> tuple[int, str | None]:
    try:
        with urlopen(Request(address, headers=headers or {})) as answer:  # noqa: S310 - loopback
            return answer.status, None
    except HTTPError as error:
        with error:
            return error.code, error.headers["X-Error-Code"]


def test_the_real_client_downloads_every_file(directory: Path, tmp_path: Path) -> None:
    with HubServer(directory) as server:
        snapshot = snapshot_download(REPOSITORY, endpoint=server.endpoint, cache_dir=tmp_path / "cache", token=False)

    assert {path: (Path(snapshot) / path).read_bytes() for path in FILES} == FILES


def test_the_listing_has_the_digests_that_the_hub_gives(directory: Path) -> None:
    with HubServer(directory) as server:
        siblings = HfApi(endpoint=server.endpoint, token=False).model_info(REPOSITORY, files_metadata=True).siblings

    assert siblings is not None
    listed = [(file.rfilename, file.size, file.blob_id, file.lfs and file.lfs.sha256) for file in siblings]
    sha256 = hashlib.sha256(FILES["onnx/model.onnx"]).hexdigest()
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize 10240\n".encode()
    assert listed == [
        ("config.json", 3, git_blob_id(FILES["config.json"]), None),
        ("onnx/model.onnx", 10240, git_blob_id(pointer), sha256),
    ]


def test_main_moves_when_a_file_changes(directory: Path) -> None:
    with HubServer(directory) as server:
        api = HfApi(endpoint=server.endpoint, token=False)
        before = api.model_info(REPOSITORY).sha
        (directory / REPOSITORY / "config.json").write_text("{} ")
        after = api.model_info(REPOSITORY).sha

    assert before != after


def test_every_commit_is_served(directory: Path) -> None:
    with HubServer(directory) as server:
        info = HfApi(endpoint=server.endpoint, token=False).model_info(REPOSITORY, revision=COMMIT)

    assert info.sha == COMMIT


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        (f"/api/models/{REPOSITORY}/revision/v1", (404, "RevisionNotFound")),
        ("/api/models/example/absent", (404, "RepoNotFound")),
        (f"/{REPOSITORY}/resolve/main/absent.json", (404, "EntryNotFound")),
        ("/api/agent-harnesses", (404, "")),
    ],
)
def test_what_is_not_there_is_refused_as_the_hub_does(directory: Path, path: str, answer: tuple[int, str]) -> None:
    with HubServer(directory) as server:
        assert status_of(server.endpoint + path) == answer


def test_large_files_come_from_another_host_without_the_token(directory: Path, tmp_path: Path) -> None:
    with HubServer(directory, token="hf_right") as server:
        snapshot_download(
            REPOSITORY, revision=COMMIT, endpoint=server.endpoint, cache_dir=tmp_path, token="hf_right", max_workers=1
        )

    content = [request for request in server.requests if request.path.startswith("/content-network/")]
    assert content == [
        Answered(method="GET", path=f"/content-network/{REPOSITORY}/onnx/model.onnx", authorized=False, range=None)
    ]


def test_a_range_is_answered_with_its_bytes(directory: Path) -> None:
    with HubServer(directory) as server:
        address = f"{server.endpoint}/{REPOSITORY}/resolve/main/onnx/model.onnx"
        with urlopen(Request(address, headers={"Range": "bytes=10-13"})) as answer:  # noqa: S310 - loopback
            answered = (answer.status, answer.headers["Content-Range"], answer.read())

    assert answered == (HTTPStatus.PARTIAL_CONTENT, "bytes 10-13/10240", b"\x0a\x0b\x0c\x0d")


@pytest.mark.parametrize(
    ("headers", "answer"),
    [
        ({}, (401, "RepoNotFound")),
        ({"Authorization": "Bearer hf_wrong"}, (401, "")),
        ({"Authorization": "Bearer hf_right"}, (200, None)),
    ],
)
def test_a_token_is_asked_for(directory: Path, headers: dict[str, str], answer: tuple[int, str | None]) -> None:
    with HubServer(directory, token="hf_right") as server:
        assert status_of(f"{server.endpoint}/api/models/{REPOSITORY}", headers) == answer


def test_a_gated_repository_is_listed_but_not_given(directory: Path) -> None:
    with HubServer(directory, gated=[REPOSITORY]) as server:
        listing = status_of(f"{server.endpoint}/api/models/{REPOSITORY}")
        file = status_of(f"{server.endpoint}/{REPOSITORY}/resolve/main/config.json")

    assert (listing, file) == ((200, None), (403, "GatedRepo"))


def test_a_failure_is_given_as_often_as_asked(directory: Path) -> None:
    with HubServer(directory) as server:
        server.fail(503, times=2)
        answers = [status_of(f"{server.endpoint}/api/models/{REPOSITORY}") for _ in range(3)]

    assert answers == [(503, None), (503, None), (200, None)]


WEIGHTS_ADDRESS = f"/{REPOSITORY}/resolve/main/onnx/model.onnx"


def test_a_fault_strikes_its_path_alone_and_as_often_as_asked(directory: Path) -> None:
    with HubServer(directory) as server:
        server.inject(Failure(status=503, headers={"X-Error-Code": "Busy"}), path="*/config.json", times=2)
        config = f"{server.endpoint}/{REPOSITORY}/resolve/main/config.json"
        answers = [status_of(server.endpoint + WEIGHTS_ADDRESS), *(status_of(config) for _ in range(3))]

    assert answers == [(200, None), (503, "Busy"), (503, "Busy"), (200, None)]


def test_a_fault_can_strike_always(directory: Path) -> None:
    with HubServer(directory) as server:
        server.inject(Failure(status=503), path="*", times=None)
        assert {status_of(server.endpoint + WEIGHTS_ADDRESS) for _ in range(5)} == {(503, None)}


@pytest.mark.parametrize(
    ("fault", "body"),
    [
        (BodyFault(is_corrupt=True), b"\x01" + FILES["onnx/model.onnx"][1:]),
        (BodyFault(replacement=b"login"), b"login"),
    ],
)
def test_a_body_can_be_changed_on_its_way(directory: Path, fault: BodyFault, body: bytes) -> None:
    with HubServer(directory) as server:
        server.inject(fault, path="/content-network/*")
        bodies = []
        for _ in range(2):
            with urlopen(server.endpoint + WEIGHTS_ADDRESS) as answer:  # noqa: S310 - loopback
                bodies.append((answer.headers["Content-Length"], answer.read()))

    right = FILES["onnx/model.onnx"]
    assert bodies == [(str(len(body)), body), (str(len(right)), right)]


def test_a_connection_can_end_within_a_body_that_was_announced_whole(directory: Path) -> None:
    with HubServer(directory) as server:
        server.inject(BodyFault(sent_bytes=100), path="*/model.onnx")
        with urlopen(server.endpoint + WEIGHTS_ADDRESS) as answer:  # noqa: S310 - loopback
            length = answer.headers["Content-Length"]
            with pytest.raises(http.client.IncompleteRead) as caught:
                answer.read()

    assert (length, caught.value.partial) == ("10240", FILES["onnx/model.onnx"][:100])


def test_a_connection_can_be_reset_within_a_body(directory: Path) -> None:
    with HubServer(directory) as server:
        server.inject(BodyFault(sent_bytes=100, is_reset=True), path="*/model.onnx")
        with pytest.raises(ConnectionResetError), urlopen(server.endpoint + WEIGHTS_ADDRESS) as answer:  # noqa: S310 - loopback
            answer.read()


def test_a_revision_can_be_gone(directory: Path) -> None:
    with HubServer(directory) as server:
        server.gone.add(COMMIT)
        answers = [status_of(f"{server.endpoint}/api/models/{REPOSITORY}/revision/{name}") for name in (COMMIT, "main")]

    assert answers == [(404, "RevisionNotFound"), (200, None)]


def test_a_revision_can_be_answered_with_another(directory: Path) -> None:
    with HubServer(directory) as server:
        server.moved[COMMIT] = "f" * 40
        assert HfApi(endpoint=server.endpoint, token=False).model_info(REPOSITORY, revision=COMMIT).sha == "f" * 40


def test_the_real_client_reads_licence_and_gate(directory: Path) -> None:
    with HubServer(directory, gated=[REPOSITORY]) as server:
        server.cards[REPOSITORY] = {"license": "other", "license_name": "gemma"}
        server.tags[REPOSITORY] = ["license:other"]
        info = HfApi(endpoint=server.endpoint, token=False).model_info(REPOSITORY)

    assert info.card_data is not None
    assert (info.gated, info.tags) == ("manual", ["license:other"])
    assert (info.card_data.license, info.card_data.license_name) == ("other", "gemma")


def test_the_real_client_sees_that_files_are_in_xet(directory: Path) -> None:
    with HubServer(directory) as server:
        server.has_xet = True
        address = hf_hub_url(REPOSITORY, "onnx/model.onnx", endpoint=server.endpoint)
        metadata = get_hf_file_metadata(address, token=False)

    assert metadata.xet_file_data is not None
    assert metadata.xet_file_data.file_hash == "f" * 64
