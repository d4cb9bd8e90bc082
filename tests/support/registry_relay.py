"""Own a relay in front of a registry: it counts what goes by, and fails or holds up what a test tells it to."""

import http.client
import json
import re
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LOOPBACK = "127.0.0.1"
_HOP_HEADERS = {"connection", "content-length", "transfer-encoding"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """A request that went by; `status` is what was answered."""

    method: str
    path: str
    body_bytes: int
    status: int


@dataclass(kw_only=True, slots=True)
class Fault:
    """What happens to the next `times` requests that fit, in place of what the registry would answer."""

    method: str
    path: re.Pattern[str]
    times: int
    status: int
    message: str


@dataclass(kw_only=True)
class Relay:
    """A relay that runs; `host` is the registry's name in references."""

    host: str
    upstream: str
    seen: list[Seen] = field(default_factory=list)
    reached: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._held: tuple[str, re.Pattern[str]] | None = None
        self._released = threading.Event()

    def fail(self, method: str, path: str, *, status: int, times: int = 1_000_000, message: str = "told to") -> None:
        """Answer the next `times` requests whose path fits with an error."""
        self._faults.append(Fault(method=method, path=re.compile(path), times=times, status=status, message=message))

    def hold(self, method: str, path: str) -> None:
        """Keep requests whose path fits waiting; `reached` is set once there is one."""
        self._held = (method, re.compile(path))

    def release(self) -> None:
        """Let go on what waits, and what comes later."""
        self._held = None
        self._released.set()

    def uploads(self) -> dict[str, int]:
        """Return bytes of layers and configurations that were sent, by repository."""
        sent: dict[str, int] = {}
        for request in self.seen:
            found = re.match(r"/v2/(.+)/blobs/uploads/", request.path)
            if found and request.method in {"PATCH", "PUT"}:
                sent[found[1]] = sent.get(found[1], 0) + request.body_bytes
        return {repository: count for repository, count in sent.items() if count}

    def stored(self) -> list[str]:
        """Return the digests of blobs that were sent whole, in order."""
        found = [re.search(r"/blobs/uploads/.*digest=(sha256%3A\w+)", seen.path) for seen in self.seen if is_put(seen)]
        return [match[1] for match in found if match]

    def fault(self, method: str, path: str) -> Fault | None:
        """Take the fault that waits for this request, None where it is to pass."""
        held = self._held
        if held and method == held[0] and held[1].search(path):
            self.reached.set()
            self._released.wait()
        with self._lock:
            for fault in self._faults:
                if fault.times and fault.method == method and fault.path.search(path):
                    fault.times -= 1
                    return fault
        return None


def is_put(request: Seen) -> bool:
    """Tell whether a request finished the upload of a blob."""
    return request.method == "PUT" and request.status == http.client.CREATED


@contextmanager
def relayed(upstream: str) -> Iterator[Relay]:
    """Run a relay to the registry at `upstream` while the block runs."""

    class Handler(_Handler):
        relay: Relay

    server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
    server.daemon_threads = True
    Handler.relay = Relay(host=f"{LOOPBACK}:{server.server_port}", upstream=upstream)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield Handler.relay
    finally:
        Handler.relay.release()
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    relay: Relay

    def log_message(self, *_: object) -> None:
        """Print nothing."""

    def _answer(self) -> None:
        body = self._body()
        fault = self.relay.fault(self.command, self.path)
        if fault is not None:
            told = json.dumps({"errors": [{"code": "UNKNOWN", "message": fault.message}]}).encode()
            headers = [("Content-Type", "application/json"), ("Retry-After", "0")]
            self._reply(fault.status, headers, told, asked_bytes=len(body))
            return
        with closing(http.client.HTTPConnection(self.relay.upstream, timeout=30)) as connection:
            headers = [(name, value) for name, value in self.headers.items() if name.lower() not in _HOP_HEADERS]
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in [*headers, ("Content-Length", str(len(body)))]:
                connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            self._reply(answer.status, answer.getheaders(), answer.read(), asked_bytes=len(body))

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815 - http.server's names

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", "0")))
        parts = []
        while count := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(count))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _reply(self, status: int, headers: list[tuple[str, str]], body: bytes, *, asked_bytes: int) -> None:
        self.relay.seen.append(Seen(method=self.command, path=self.path, body_bytes=asked_bytes, status=status))
        self.send_response_only(status)
        is_head = self.command == "HEAD"
        for name, value in headers:
            if name.lower() not in _HOP_HEADERS or (is_head and name.lower() == "content-length"):
                self.send_header(name, value)
        if not is_head:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
