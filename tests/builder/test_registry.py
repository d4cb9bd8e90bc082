"""A registry over HTTP: Debian's own, behind a relay that fails what it is told to, and a stand-in for tokens."""

import base64
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from builder.api import Credentials
from builder.errors import FailedError, InputError, UnreachableError
from builder.registry import Registry
from tests.engine import registry as registries
from tests.engine import tls
from tests.engine.registry import PASSWORD, USER
from tests.runtime.server import free_port
from tests.support.registry_relay import Relay, relayed

LOGIN = Credentials(username=USER, secret=PASSWORD)


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with registries.running(tmp_path_factory.mktemp("registry")) as started:
        yield started.host


@pytest.fixture
def relay(upstream: str) -> Iterator[Relay]:
    with relayed(upstream) as started:
        yield started


@contextmanager
def opened(
    host: str, login: Credentials = LOGIN, *, waits: list[float] | None = None, ca_bundle: Path | None = None
) -> Iterator[Registry]:
    wait = ([] if waits is None else waits).append
    with closing(Registry(host, login=login, ca_bundle=ca_bundle, wait=wait)) as registry:
        yield registry


def asked(relay: Relay) -> list[tuple[str, str, int]]:
    """Return what was asked about, without the ids that the registry makes."""
    return [(seen.method, seen.path.partition("uploads/")[0], seen.status) for seen in relay.seen]


def test_an_upload_is_begun_and_taken_back(relay: Relay) -> None:
    with opened(relay.host) as registry:
        registry.check_push("search/retrieval")
    assert asked(relay)[-3:] == [
        ("POST", "/v2/search/retrieval/blobs/", 401),
        ("POST", "/v2/search/retrieval/blobs/", 202),
        ("DELETE", "/v2/search/retrieval/blobs/", 204),
    ]


def test_a_wrong_password_is_refused_with_the_name(relay: Relay) -> None:
    with (
        opened(relay.host, Credentials(username=USER, secret="wrong")) as registry,
        pytest.raises(InputError) as caught,
    ):
        registry.check_push("app")
    assert (caught.value.message, caught.value.hint) == (
        f"`{relay.host}` does not let `{USER}` push to `app`: authentication required",
        f"log in with `docker login {relay.host}`, or set REGISTRY_USER and REGISTRY_PASSWORD",
    )


def test_a_registry_that_wants_a_login_is_told_apart(relay: Relay) -> None:
    with opened(relay.host, Credentials()) as registry, pytest.raises(InputError) as caught:
        registry.check_push("app")
    assert caught.value.message == f"`{relay.host}` wants a login to push to `app`"


def test_a_repository_that_may_not_be_written_is_refused_in_the_registry_s_words(relay: Relay) -> None:
    relay.fail("POST", "/v2/app/", status=403, message="requested access to the resource is denied")
    with opened(relay.host) as registry, pytest.raises(InputError) as caught:
        registry.check_push("app")
    assert caught.value.message == (
        f"`{relay.host}` does not let `{USER}` push to `app`: requested access to the resource is denied"
    )


def test_a_repository_that_has_to_be_made_first_is_refused(relay: Relay) -> None:
    relay.fail("POST", "/v2/app/", status=404, message="repository name not known to registry")
    with opened(relay.host) as registry, pytest.raises(InputError) as caught:
        registry.check_push("app")
    assert caught.value.message == f"`{relay.host}` has no repository `app`: repository name not known to registry"


def test_what_a_registry_can_t_do_at_the_moment_is_asked_again(relay: Relay) -> None:
    relay.fail("POST", "/v2/app/", status=500, times=2)
    waits: list[float] = []
    with opened(relay.host, waits=waits) as registry:
        registry.check_push("app")
    assert (waits, [status for *_, status in asked(relay)[-5:]]) == ([0.0, 0.0], [500, 500, 401, 202, 204])


def test_a_registry_that_goes_on_failing_is_unreachable(relay: Relay) -> None:
    relay.fail("POST", "/v2/app/", status=503, message="maintenance")
    waits: list[float] = []
    with opened(relay.host, waits=waits) as registry, pytest.raises(UnreachableError) as caught:
        registry.check_push("app")
    assert (caught.value.message, len(waits)) == (f"the registry `{relay.host}` does not work: maintenance", 3)


def test_a_closed_port_is_unreachable() -> None:
    host = f"127.0.0.1:{free_port()}"
    with opened(host) as registry, pytest.raises(UnreachableError) as caught:
        registry.check_push("app")
    assert (caught.value.message, caught.value.hint) == (
        f"the registry `{host}` can't be reached: Connection refused",
        "check `images.NAME.repository`, your network and HTTPS_PROXY, then try again",
    )


def test_a_tag_that_is_not_there_is_none(relay: Relay) -> None:
    with opened(relay.host) as registry:
        assert registry.held("nothing", "latest") is None


class TokenServer(BaseHTTPRequestHandler):
    """A registry that wants tokens, and the server that gives them, for whoever says `me:word` or sends `refresh`."""

    asked: list[dict[str, list[str]]]

    def log_message(self, *_: object) -> None:
        """Print nothing."""

    def do_GET(self) -> None:
        """Give a token for a name and a password."""
        if not self.path.startswith("/token"):
            self._reply(404, {})
            return
        basic = base64.b64encode(b"me:word").decode()
        self._give(urlsplit(self.path).query, is_known=self.headers.get("Authorization") == f"Basic {basic}")

    def do_POST(self) -> None:
        """Give a token for an identity token, or begin an upload."""
        if self.path == "/token":
            form = self.rfile.read(int(self.headers["Content-Length"])).decode()
            self._give(form, is_known="refresh_token=refresh" in form)
        elif self.headers.get("Authorization") == "Bearer pass":
            self._reply(202, {"Location": "http://elsewhere.invalid/upload"})
        else:
            scheme = "https" if isinstance(self.connection, ssl.SSLSocket) else "http"
            realm = f"{scheme}://{self.headers['Host']}/token"
            self._reply(401, {"WWW-Authenticate": f'Bearer realm="{realm}",service="registry",scope="x"'})

    def _give(self, asked: str, *, is_known: bool) -> None:
        self.asked.append(parse_qs(asked))
        self._reply(200 if is_known else 401, {}, json.dumps({"token": "pass"} if is_known else {}).encode())

    def _reply(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def tokens() -> Iterator[tuple[str, list[dict[str, list[str]]]]]:
    """A registry with tokens: its host, and what the server of tokens was asked."""
    with serving(HTTPServer(("127.0.0.1", 0), TokenServer)) as host:
        yield host, TokenServer.asked


@contextmanager
def serving(server: HTTPServer) -> Iterator[str]:
    TokenServer.asked = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    tls.make_certificates(folder)
    return folder


@pytest.fixture
def encrypted(certificates: Path) -> Iterator[str]:
    """The same registry behind TLS, with a certificate of an authority that nobody else knows."""
    server = HTTPServer(("127.0.0.1", 0), TokenServer)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "cert.pem", certificates / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    with serving(server) as host:
        yield host


def test_a_registry_is_reached_by_tls_with_the_certificates_that_are_given(encrypted: str, certificates: Path) -> None:
    with opened(encrypted, Credentials(secret="refresh"), ca_bundle=certificates / "ca.pem") as registry:
        registry.check_push("one")
    assert [form["scope"] for form in TokenServer.asked] == [["repository:one:pull,push"]]


def test_a_certificate_that_nobody_vouches_for_is_refused_also_on_loopback(encrypted: str) -> None:
    with opened(encrypted, Credentials(secret="refresh")) as registry, pytest.raises(UnreachableError) as caught:
        registry.check_push("one")
    assert (caught.value.message, caught.value.hint) == (
        f"the certificate of the registry `{encrypted}` is not trusted",
        "give the certificate authority of your network with `--ca-bundle FILE`",
    )


def test_a_token_is_fetched_for_the_repository_with_the_login(
    tokens: tuple[str, list[dict[str, list[str]]]],
) -> None:
    host, asked = tokens
    with opened(host, Credentials(username="me", secret="word")) as registry:
        registry.check_push("one")
        registry.check_push("two")
    assert asked == [
        {"service": ["registry"], "scope": ["repository:one:pull,push"]},
        {"service": ["registry"], "scope": ["repository:two:pull,push"]},
    ]


def test_an_identity_token_is_exchanged_for_one(tokens: tuple[str, list[dict[str, list[str]]]]) -> None:
    host, asked = tokens
    with opened(host, Credentials(secret="refresh")) as registry:
        registry.check_push("one")
    assert asked == [
        {
            "service": ["registry"],
            "scope": ["repository:one:pull,push"],
            "grant_type": ["refresh_token"],
            "refresh_token": ["refresh"],
            "client_id": ["build-image"],
        }
    ]


def test_a_login_that_the_server_of_tokens_refuses_is_told(tokens: tuple[str, list[dict[str, list[str]]]]) -> None:
    host, _ = tokens
    with opened(host, Credentials(username="me", secret="wrong")) as registry, pytest.raises(InputError) as caught:
        registry.check_push("one")
    assert caught.value.message == f"`{host}` does not let `me` log in: HTTP status 401"


def test_a_kind_of_login_that_is_not_known_is_refused(relay: Relay) -> None:
    relay.fail("POST", "/v2/app/", status=401)
    with opened(relay.host) as registry, pytest.raises(FailedError) as caught:
        registry.check_push("app")
    assert caught.value.message == f"`{relay.host}` wants a login of a kind that is not known here: `none`"
