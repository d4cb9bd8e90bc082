"""What the server answers for the page; what the page does with it in a browser is in tests/runtime/page."""

import http.client
import re
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

from runtime import page
from runtime.bundle import Bundle
from tests.runtime.conftest import Folders
from tests.runtime.server import Server, running_server

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
FILES = sorted(page.FOLDER.iterdir())
Fetched = tuple[int, dict[str, str], bytes]


def fetch(server: Server, path: str, *, method: str = "GET", headers: Mapping[str, str] | None = None) -> Fetched:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    try:
        connection.request(method, path, headers=dict(headers or {}))
        response = connection.getresponse()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/page/page.css", "text/css; charset=utf-8"),
        ("/page/page.js", "text/javascript; charset=utf-8"),
        ("/page/icon.svg", "image/svg+xml"),
        ("/page/models.json", "application/json"),
    ],
)
def test_every_part_of_the_page_is_confined_by_its_headers(server: Server, path: str, media_type: str) -> None:
    status, headers, content = fetch(server, path)
    tag = headers.pop("etag")
    del headers["date"], headers["x-request-id"]
    assert re.fullmatch('"[0-9a-f]{16}"', tag)
    assert (status, headers) == (
        200,
        {
            "content-security-policy": POLICY,
            "cross-origin-resource-policy": "same-origin",
            "referrer-policy": "no-referrer",
            "x-content-type-options": "nosniff",
            "cache-control": "no-cache",
            "content-type": media_type,
            "content-length": str(len(content)),
        },
    )


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_file_of_the_folder_is_served_as_it_is(server: Server, file: Path) -> None:
    status, _, content = fetch(server, f"/page/{file.name}")
    assert (status, content) == (200, file.read_bytes())


def test_the_page_is_its_index(server: Server) -> None:
    assert fetch(server, "/")[2] == (page.FOLDER / "index.html").read_bytes()


def test_head_answers_as_get_does_without_the_content(server: Server) -> None:
    status, headers, content = fetch(server, "/", method="HEAD")
    got = fetch(server, "/")
    assert (status, headers["etag"], headers["content-length"], content) == (
        200,
        got[1]["etag"],
        got[1]["content-length"],
        b"",
    )


@pytest.mark.parametrize("held", ["{tag}", "W/{tag}", '"other", {tag}'])
def test_a_browser_that_holds_the_same_bytes_is_told_so(server: Server, held: str) -> None:
    tag = fetch(server, "/page/page.js")[1]["etag"]
    status, headers, content = fetch(server, "/page/page.js", headers={"If-None-Match": held.format(tag=tag)})
    assert (status, headers["etag"], headers["content-security-policy"], content) == (304, tag, POLICY, b"")


def test_a_browser_that_holds_other_bytes_gets_the_file(server: Server) -> None:
    assert fetch(server, "/page/page.js", headers={"If-None-Match": '"other"'})[0] == 200


@pytest.mark.parametrize("path", ["/page/nothing.js", "/page/", "/page/..%2fpage.py", "/page/%2e%2e/page.py"])
def test_nothing_else_is_served(server: Server, path: str) -> None:
    assert fetch(server, path)[0] == 404


def test_a_file_is_not_posted_to(server: Server) -> None:
    assert fetch(server, "/page/page.css", method="POST")[0] == 405


def test_the_facts_are_those_of_the_bundle_and_the_settings(server: Server, bundle: Bundle) -> None:
    sizes = [sum(file.size_bytes for file in model.files.values()) for model in bundle.models]
    assert msgspec.json.decode(fetch(server, "/page/models.json")[2]) == {
        "models": [
            {
                "name": "tiny",
                "task": "embedding",
                "source": "test/tiny-embedder",
                "revision": "0" * 40,
                "graph": "onnx/model.onnx",
                "size_bytes": sizes[0],
                "max_length": 24,
                "dimensions": [32, 16],
                "pooling": ["mean"],
                "normalize": True,
                "prompts": {"query": "search query: "},
                "default_prompt": None,
                "query_prompt": "query",
                "document_prompt": "",
                "labels": [],
                "activation": None,
                "windows": None,
            },
            {
                "name": "ranker",
                "task": "reranker",
                "source": "test/tiny-reranker",
                "revision": "1" * 40,
                "graph": "onnx/model.onnx",
                "size_bytes": sizes[1],
                "max_length": 32,
                "dimensions": [],
                "pooling": [],
                "normalize": False,
                "prompts": {},
                "default_prompt": None,
                "query_prompt": "",
                "document_prompt": "",
                "labels": ["LABEL_0"],
                "activation": "sigmoid",
                "windows": None,
            },
        ],
        "limits": {"texts_per_request": 64, "bytes_per_request": 100000},
    }


def test_everybody_gets_the_page_and_only_who_has_a_key_the_facts(folders: Folders) -> None:
    with running_server(folders.bundle, api_key="secret") as server:
        asked = [
            fetch(server, path, headers=headers)[0]
            for path in ("/", "/page/page.js", "/page/models.json")
            for headers in ({}, {"Authorization": "Bearer secret"})
        ]
    assert asked == [200, 200, 200, 200, 401, 200]


def test_no_file_names_an_address_elsewhere() -> None:
    found = {
        address for file in FILES for address in re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"']*", file.read_text())
    }
    assert found == {"http://www.w3.org/2000/svg"}  # the name of a format, which nothing asks for
