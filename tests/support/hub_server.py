"""Own a stand-in for the Hugging Face Hub on loopback: it serves folders as model repositories and forgets nothing.

`DIRECTORY/<organisation>/<name>` is served as that repository, at `main` and at every 40-hex revision. Large files
are redirected to another host name, as the Hub does with its content network. Faults can be put into any answer.
Run it by hand with `python -m tests.support.hub_server DIRECTORY --port 8000`.
"""

import argparse
import hashlib
import json
import os
import re
import socket
import ssl
import struct
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import unquote, urlsplit

from builder.repository import RepositoryFile, git_blob_id, large_file

_COMMIT = re.compile(r"[0-9a-f]{40}")
_API = re.compile(r"/api/models/([^/]+/[^/]+)(?:/(revision|tree)/([^/]+))?")
_RESOLVE = re.compile(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)")
_CONTENT = re.compile(r"/content-network/([^/]+/[^/]+)/(.+)")
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_LARGE = re.compile(r"\.(onnx|onnx_data|bin|safetensors)$|(^|/)tokenizer\.json$|_value$")
WHO_AM_I = "/api/whoami-v2"
ACCOUNT = "robot"
_LINGER_NONE = struct.pack("ii", 1, 0)  # closing the socket then resets the connection
_XET_HASH = "f" * 64


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One request that was answered; the token itself is not kept."""

    method: str
    path: str
    authorized: bool
    range: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """An answer that is given in place of the right one."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Silence:
    """No answer at all: the connection stays open until the client ends it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BodyFault:
    """What happens to the body of a file on its way; the headers announce the right one.

    `sent_bytes` of it are sent and the connection ends, by a reset when `is_reset`, or only when the client ends it
    when `is_silent`; `is_corrupt` changes the first byte; `replacement` is sent, with its own length, in its place.
    """

    sent_bytes: int | None = None
    is_reset: bool = False
    is_silent: bool = False
    is_corrupt: bool = False
    replacement: bytes | None = None


@dataclass(kw_only=True, slots=True)
class _Injected:
    """A fault, the paths of requests that it strikes as a pattern, and how often it still does; None is always."""

    fault: Failure | Silence | BodyFault
    pattern: str
    times: int | None


FaultT = TypeVar("FaultT", Failure, Silence, BodyFault)


class HubServer:
    """Serve `directory` while the `with` block runs.

    With `token` every request needs it; `gated` repositories list their files but give none away; `certificate`, a
    PEM file with its key, makes it speak HTTPS. Revisions in `gone` are not there any more, and those in `moved` are
    answered with another commit. `cards` and `tags` have what model cards say. `has_ranges` off sends whole files,
    and `has_xet` announces large ones as the Hub's Xet storage does. Its clock is `ahead_s` ahead of this machine's.
    The token is that of `ACCOUNT`. `sent_bytes` counts bodies by the path asked for, and `fell_silent` is set once a
    client waits for what does not come.
    """

    def __init__(
        self,
        directory: Path,
        *,
        token: str | None = None,
        gated: Collection[str] = (),
        port: int = 0,
        certificate: Path | None = None,
    ) -> None:
        self.directory = directory
        self.token = token
        self.gated = frozenset(gated)
        self.requests: list[Request] = []
        self.sent_bytes: Counter[str] = Counter()
        self.failures: deque[Failure] = deque()
        self.has_ranges = True
        self.has_xet = False
        self.ahead_s = 0
        self.gone: set[str] = set()
        self.moved: dict[str, str] = {}
        self.cards: dict[str, Mapping[str, Any]] = {}
        self.tags: dict[str, list[str]] = {}
        self.fell_silent = threading.Event()
        self._injected: list[_Injected] = []
        self._lock = threading.Lock()
        self._listings: dict[tuple[Path, int, int], RepositoryFile] = {}
        self._http = _HubHTTPServer(("127.0.0.1", port), self)
        self.scheme = "http"
        if certificate is not None:
            self.scheme = "https"
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._http.socket = context.wrap_socket(self._http.socket, server_side=True)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)

    @property
    def port(self) -> int:
        return self._http.server_port

    @property
    def endpoint(self) -> str:
        """What belongs into HF_ENDPOINT."""
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.shutdown()
        self.close()
        self._thread.join()

    def close(self) -> None:
        """Give back the port, also of a Hub that was never on."""
        self._http.server_close()

    def fail(self, status: int, *, headers: Mapping[str, str] | None = None, times: int = 1) -> None:
        """Answer the next `times` requests with `status`."""
        self.failures.extend([Failure(status=status, headers=headers or {})] * times)

    def inject(self, fault: Failure | Silence | BodyFault, *, path: str, times: int | None = 1) -> None:
        """Put `fault` into the next `times` answers (None: into all) to requests whose path matches `path`.

        `path` is a pattern such as `*/config.json`; `/content-network/*` are the bodies of large files alone.
        """
        self._injected.append(_Injected(fault=fault, pattern=path, times=times))

    def clear_faults(self) -> None:
        """Answer rightly again."""
        with self._lock:
            self._injected.clear()

    def struck(self, path: str, kind: type[FaultT]) -> FaultT | None:
        """Return the fault that the answer to a request for `path` has to have, and count it."""
        with self._lock:
            for injected in self._injected:
                if isinstance(injected.fault, kind) and injected.times != 0 and fnmatchcase(path, injected.pattern):
                    injected.times = None if injected.times is None else injected.times - 1
                    return injected.fault
        return None

    def count(self, path: str, sent_bytes: int) -> None:
        """Count what was sent to a client."""
        with self._lock:
            self.sent_bytes[path] += sent_bytes

    def commit(self, repository: str) -> str:
        """Return the commit that `main` of a repository stands at: it changes with any file."""
        listing = "".join(f"{path} {file.blob_id}\n" for path, file in self.listing(repository).items())
        return git_blob_id(listing.encode())

    def listing(self, repository: str) -> dict[str, RepositoryFile]:
        """Return every file of a repository as the Hub lists it."""
        folder = self.directory / repository
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        return {path.relative_to(folder).as_posix(): self._described(path) for path in files}

    def _described(self, path: Path) -> RepositoryFile:
        status = path.stat()
        key = (path, status.st_size, status.st_mtime_ns)
        if key not in self._listings:
            self._listings[key] = _describe(path)
        return self._listings[key]


def _altered(content: bytes, fault: BodyFault) -> bytes:
    if fault.replacement is not None:
        return fault.replacement
    return bytes([content[0] ^ 1]) + content[1:] if fault.is_corrupt else content


def _describe(path: Path) -> RepositoryFile:
    content = path.read_bytes()
    if _LARGE.search(path.name):
        return large_file(size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
    return RepositoryFile(size_bytes=len(content), blob_id=git_blob_id(content))


class _HubHTTPServer(ThreadingHTTPServer):
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], hub: HubServer) -> None:
        super().__init__(address, _Handler)
        self.hub = hub


class _RefusedError(Exception):
    def __init__(self, status: int, *, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = {"X-Error-Code": code, "X-Error-Message": message, **(headers or {})}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _HubHTTPServer

    def date_time_string(self, timestamp: float | None = None) -> str:
        now_s = time.time() if timestamp is None else timestamp
        return super().date_time_string(now_s + self.server.hub.ahead_s)

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it
        """Keep quiet: `HubServer.requests` has it all."""

    def _answer(self) -> None:
        hub = self.server.hub
        authorization = self.headers.get("Authorization")
        asked_range = self.headers.get("Range")
        hub.requests.append(
            Request(method=self.command, path=self.path, authorized=bool(authorization), range=asked_range)
        )
        path = unquote(urlsplit(self.path).path)
        try:
            if hub.struck(path, Silence):
                self._wait_for_the_end()
                return
            if failure := hub.struck(path, Failure):
                self._send(failure.status, b"", failure.headers)
                return
            if match := _CONTENT.fullmatch(path):
                self._send_file(hub.directory / match[1] / match[2], {})
                return
            if hub.failures:
                failure = hub.failures.popleft()
                self._send(failure.status, b"", failure.headers)
                return
            self._authorize(authorization)
            self._route(path, is_known=bool(self.server.hub.token))
        except _RefusedError as refused:
            self._send(refused.status, b"", refused.headers)

    def _wait_for_the_end(self) -> None:
        self.close_connection = True
        self.server.hub.fell_silent.set()
        with suppress(ConnectionError):
            self.rfile.read(1)  # a client that waits for an answer sends nothing more

    def _authorize(self, authorization: str | None) -> None:
        token = self.server.hub.token
        if token is None or authorization == f"Bearer {token}":
            return
        if authorization:
            raise _RefusedError(401, code="", message="Invalid credentials in Authorization header")
        raise _RefusedError(401, code="RepoNotFound", message="Repository not found")

    def _route(self, path: str, *, is_known: bool) -> None:
        if path == WHO_AM_I:
            if not is_known:
                raise _RefusedError(401, code="", message="Invalid username or password.")
            self._send_json({"type": "user", "name": ACCOUNT})
        elif match := _API.fullmatch(path):
            repository, kind, revision = match.groups()
            commit = self._commit(repository, revision or "main")
            self._send_json(self._tree(repository) if kind == "tree" else self._information(repository, commit))
        elif match := _RESOLVE.fullmatch(path):
            repository, revision, file = match.groups()
            self._resolve(repository, self._commit(repository, revision), file)
        else:
            raise _RefusedError(404, code="", message="No such page")

    def _commit(self, repository: str, revision: str) -> str:
        if not (self.server.hub.directory / repository).is_dir():
            raise _RefusedError(404, code="RepoNotFound", message="Repository not found")
        if revision == "main":
            return self.server.hub.commit(repository)
        if not _COMMIT.fullmatch(revision) or revision in self.server.hub.gone:
            raise _RefusedError(404, code="RevisionNotFound", message=f"Invalid rev id: {revision}")
        return self.server.hub.moved.get(revision, revision)

    def _information(self, repository: str, commit: str) -> dict[str, Any]:
        hub = self.server.hub
        siblings = []
        for path, file in hub.listing(repository).items():
            sibling: dict[str, Any] = {"rfilename": path}
            if "blobs=" in self.path:
                sibling |= {"size": file.size_bytes, "blobId": file.blob_id}
                if file.sha256:
                    sibling["lfs"] = {"sha256": file.sha256, "size": file.size_bytes, "pointerSize": 134}
            siblings.append(sibling)
        gated = "manual" if repository in hub.gated else False
        card = {"cardData": dict(hub.cards[repository])} if repository in hub.cards else {}
        information = {"id": repository, "modelId": repository, "sha": commit, "gated": gated, "siblings": siblings}
        return {**information, **card, "tags": hub.tags.get(repository, [])}

    def _tree(self, repository: str) -> list[dict[str, Any]]:
        entries = []
        for path, file in self.server.hub.listing(repository).items():
            entry: dict[str, Any] = {"type": "file", "oid": file.blob_id, "size": file.size_bytes, "path": path}
            if file.sha256:
                entry["lfs"] = {"oid": file.sha256, "size": file.size_bytes, "pointerSize": 134}
            entries.append(entry)
        return entries

    def _resolve(self, repository: str, commit: str, path: str) -> None:
        hub = self.server.hub
        headers = {"X-Repo-Commit": commit}
        if repository in hub.gated:
            raise _RefusedError(403, code="GatedRepo", message="Access to this model is restricted", headers=headers)
        file = hub.listing(repository).get(path)
        if file is None:
            raise _RefusedError(404, code="EntryNotFound", message="Entry not found", headers=headers)
        if file.sha256 is None:
            self._send_file(hub.directory / repository / path, {**headers, "ETag": f'"{file.blob_id}"'})
            return
        # huggingface_hub follows redirects that stay on one host, and would miss these headers.
        other_host = "localhost" if self.headers.get("Host", "").startswith("127.") else "127.0.0.1"
        headers["Location"] = f"{hub.scheme}://{other_host}:{hub.port}/content-network/{repository}/{path}"
        headers |= {"X-Linked-ETag": f'"{file.sha256}"', "X-Linked-Size": str(file.size_bytes)}
        if hub.has_xet:
            route = f"{hub.endpoint}/api/models/{repository}/xet-read-token/{commit}"
            headers |= {"X-Xet-Hash": _XET_HASH, "Link": f'<{route}>; rel="xet-auth"'}
        self._send(HTTPStatus.FOUND, b"", headers)

    def _send_file(self, path: Path, headers: Mapping[str, str]) -> None:
        fault = self.server.hub.struck(unquote(urlsplit(self.path).path), BodyFault) if self.command == "GET" else None
        content = path.read_bytes()
        if fault is not None:
            content = _altered(content, fault)
        headers = {**headers, "Accept-Ranges": "bytes"}
        match = _RANGE.fullmatch(self.headers.get("Range", ""))
        if match is None or not self.server.hub.has_ranges:
            self._send(HTTPStatus.OK, content, headers, fault)
            return
        first = int(match[1])
        last = min(int(match[2] or len(content)), len(content) - 1)
        if first > last:
            headers["Content-Range"] = f"bytes */{len(content)}"
            self._send(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, b"", headers)
            return
        headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
        self._send(HTTPStatus.PARTIAL_CONTENT, content[first : last + 1], headers, fault)

    def _send_json(self, value: Any) -> None:
        self._send(HTTPStatus.OK, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, body: bytes, headers: Mapping[str, str], fault: BodyFault | None = None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        sent = body[: fault.sent_bytes] if fault else body
        self.server.hub.count(unquote(urlsplit(self.path).path), len(sent))
        self.wfile.write(sent)
        if fault is not None and fault.sent_bytes is not None:
            self.close_connection = True
            if fault.is_silent:
                self._wait_for_the_end()
            if fault.is_reset:  # the base class would say goodbye first
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NONE)
                os.close(self.connection.detach())


def main() -> None:
    """Serve a folder until Ctrl-C."""
    parser = argparse.ArgumentParser(description="Serve DIRECTORY/<organisation>/<name> as a Hugging Face Hub.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--token", help="refuse requests without this token")
    options = parser.parse_args()
    with HubServer(options.directory, token=options.token, port=options.port) as server:
        sys.stdout.write(f"export HF_ENDPOINT={server.endpoint}\n")
        sys.stdout.flush()
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    main()
