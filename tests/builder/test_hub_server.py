import hashlib
from http import HTTPStatus
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from huggingface_hub import HfApi, snapshot_download

from builder.repository import git_blob_id
from tests.support.hub_server import HubServer
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
