"""Own one image registry over HTTP: who may push there, and what a tag stands for; no image goes through here.

What it speaks is the OCI distribution specification, and Docker's specification of registry tokens.
"""

import base64
import hashlib
import ipaddress
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urljoin, urlsplit

import requests

from builder import __version__, clock
from builder.api import Credentials
from builder.errors import FailedError, InputError, UnreachableError, system_reason

TIMEOUT_S = 30.0
WAITS_S = (1.0, 2.0, 4.0)  # before each further try of what a registry can't do at the moment
LONGEST_WAIT_S = 30.0
_MANIFEST_TYPES = ", ".join(
    (
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    )
)
_DOCKER_HUB, _DOCKER_HUB_ADDRESS = "docker.io", "registry-1.docker.io"
_PASSING = frozenset({429, 500, 502, 503, 504})
_REFUSED = frozenset({401, 403})
_PARAMETER = re.compile(r'(\w+)="([^"]*)"')
_LOGIN_HINT = "log in with `docker login {host}`, or set REGISTRY_USER and REGISTRY_PASSWORD"


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """What a registry has under a tag; the size is that of all its layers as they are stored, where it has layers.

    `image_ids` are those by which an engine may know it: of the manifest with containerd's image store, of the
    configuration with the classic one.
    """

    digest: str
    image_ids: tuple[str, ...]
    size_bytes: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """A name under which a registry has an image, read back from it."""

    reference: str
    digest: str
    size_bytes: int | None


class Registry:
    """One registry; not for several threads. Its login is only sent once it asks for one."""

    def __init__(
        self,
        host: str,
        *,
        login: Credentials,
        ca_bundle: Path | None = None,
        wait: Callable[[float], None] = time.sleep,
        waits_s: Sequence[float] = WAITS_S,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self.host = host
        self.login = login
        self.skew_s: float | None = None  # by how much this machine's clock was ahead of it at its last answer
        self._wait = wait
        self._waits_s = waits_s
        self._timeout_s = timeout_s
        self._verify: bool | str = str(ca_bundle) if ca_bundle else True
        self._session = requests.Session()
        self._session.headers["User-Agent"] = f"build-image/{__version__}"
        self._session.trust_env = not _is_loopback(host)  # no proxy stands between this machine and itself
        self._session.auth = self._authorize  # also so that no login of a `.netrc` is sent
        self._authorization = ""
        self._scope = ""
        self._root = ""

    def close(self) -> None:
        """Close the idle connections."""
        self._session.close()

    def check_push(self, path: str) -> None:
        """Begin an upload to the repository `path` and take it back; raises InputError where that is not allowed."""
        answer = self._ask("POST", f"/v2/{path}/blobs/uploads/", scope=f"repository:{path}:pull,push")
        if answer.status_code in _REFUSED:
            self._refuse(answer, f"push to `{path}`")
        if answer.status_code == requests.codes.not_found:
            hint = "create the repository there, or choose another one as `images.NAME.repository`"
            raise InputError(f"`{self.host}` has no repository `{path}`: {_said(answer)}", hint=hint)
        if answer.status_code != requests.codes.accepted:
            raise FailedError(f"`{self.host}` takes no upload to `{path}`: {_said(answer)}")
        upload = urljoin(answer.url, answer.headers.get("Location", ""))
        if urlsplit(upload).netloc == urlsplit(answer.url).netloc:
            self._send("DELETE", upload)  # one that is left is removed by the registry's own housekeeping

    def held(self, path: str, tag: str) -> Held | None:
        """Look up what the repository `path` has under `tag`, None where it has nothing.

        Raises InputError where that is not allowed.
        """
        address, scope = f"/v2/{path}/manifests/{tag}", f"repository:{path}:pull,push"
        answer = self._ask("GET", address, scope=scope, headers={"Accept": _MANIFEST_TYPES})
        if answer.status_code == requests.codes.not_found:
            return None
        if answer.status_code in _REFUSED:
            self._refuse(answer, f"read `{path}:{tag}`")
        if not answer.ok:
            raise FailedError(f"`{self.host}` does not show `{path}:{tag}`: {_said(answer)}")
        return _held(answer.content)

    def _ask(
        self, method: str, path: str, *, scope: str, headers: Mapping[str, str] | None = None
    ) -> requests.Response:
        """Send a request; where the registry asks for a login, send it again with one."""
        self.close()  # a build or a push may lie before this question, after which idle connections are dead
        address = self._address() + path
        if scope != self._scope:  # a token is for one repository
            self._authorization, self._scope = "", scope
        answer = self._send(method, address, headers=headers)
        if answer.status_code == requests.codes.unauthorized:
            self._log_in(answer.headers.get("WWW-Authenticate", ""), scope=scope)
            if self._authorization:
                answer = self._send(method, address, headers=headers)
        return answer

    def _address(self) -> str:
        """Find out how the registry is reached: by HTTPS, and on this machine's loopback also without."""
        if not self._root:
            name = _DOCKER_HUB_ADDRESS if self.host == _DOCKER_HUB else self.host
            self._root = f"https://{name}"
            if _is_loopback(self.host) and not self._speaks_tls():
                self._root = f"http://{name}"
        return self._root

    def _speaks_tls(self) -> bool:
        try:
            self._session.get(f"{self._root}/v2/", timeout=self._timeout_s, verify=self._verify)
        except requests.exceptions.SSLError as error:
            return "CERTIFICATE_VERIFY_FAILED" in str(error)
        except requests.RequestException:
            return False
        return True

    def _log_in(self, challenge: str, *, scope: str) -> None:
        kind, _, rest = challenge.partition(" ")
        if kind.lower() == "basic":
            self._authorization = _basic(self.login)
        elif kind.lower() == "bearer":
            self._authorization = f"Bearer {self._token(dict(_PARAMETER.findall(rest)), scope=scope)}"
        else:
            raise FailedError(f"`{self.host}` wants a login of a kind that is not known here: `{kind or 'none'}`")

    def _token(self, challenge: Mapping[str, str], *, scope: str) -> str:
        """Fetch a token for `scope` from where the registry says; Docker's token specification has both ways."""
        realm, self._authorization = challenge.get("realm", ""), ""
        if urlsplit(realm).scheme != "https" and not self._root.startswith("http:"):
            raise FailedError(f"`{self.host}` wants the login to be sent unencrypted, to `{realm}`")
        asked = {"service": challenge.get("service", ""), "scope": scope}
        if self.login.secret and not self.login.username:
            grant = {"grant_type": "refresh_token", "refresh_token": self.login.secret, "client_id": "build-image"}
            answer = self._send("POST", realm, form={**asked, **grant})
        else:
            self._authorization = _basic(self.login)
            answer = self._send("GET", realm, parameters=asked)
        if answer.status_code in _REFUSED:
            self._refuse(answer, "log in")
        try:
            found = answer.json()
            return str(found.get("token") or found["access_token"])
        except (ValueError, KeyError, AttributeError):
            raise FailedError(f"`{self.host}` gives no token at `{realm}`: {_said(answer)}") from None

    def _send(
        self,
        method: str,
        address: str,
        *,
        headers: Mapping[str, str] | None = None,
        parameters: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Send one request, again where the registry can't do it at the moment."""
        for pause_s in (*self._waits_s, None):
            try:
                answer = self._session.request(
                    method,
                    address,
                    headers=headers,
                    params=parameters,
                    data=form,
                    timeout=self._timeout_s,
                    verify=self._verify,
                )
            except requests.RequestException as error:
                raise self._unreachable(error) from None
            self.skew_s = clock.skew_s(answer.headers)
            if answer.status_code not in _PASSING:
                return answer
            if pause_s is not None:
                self._wait(_pause_s(answer, pause_s))
        hint = "try again later; what was pushed already is not sent again"
        raise UnreachableError(f"the registry `{self.host}` does not work: {_said(answer)}", hint=hint)

    def _authorize(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._authorization:
            request.headers["Authorization"] = self._authorization
        return request

    def _refuse(self, answer: requests.Response, action: str) -> NoReturn:
        if answer.status_code == requests.codes.unauthorized and not self.login.secret:
            message = f"`{self.host}` wants a login to {action}"
        else:
            who = f"`{self.login.username}`" if self.login.username else "whoever has this login"
            message = f"`{self.host}` does not let {who} {action}: {_said(answer)}"
        raise InputError(message, hint=_LOGIN_HINT.format(host=self.host))

    def _unreachable(self, error: requests.RequestException) -> UnreachableError:
        if isinstance(error, requests.exceptions.SSLError):
            hint = "give the certificate authority of your network with `--ca-bundle FILE`"
            return UnreachableError(f"the certificate of the registry `{self.host}` is not trusted", hint=hint)
        reason = "it does not answer" if isinstance(error, requests.Timeout) else system_reason(error)
        reason = reason or "the connection ended"
        hint = "check `images.NAME.repository`, your network and HTTPS_PROXY, then try again"
        return UnreachableError(f"the registry `{self.host}` can't be reached: {reason}", hint=hint)


def _basic(login: Credentials) -> str:
    """Write the login as a header; empty where there is none."""
    encoded = base64.b64encode(f"{login.username}:{login.secret}".encode()).decode()
    return f"Basic {encoded}" if login.username else ""


def _is_loopback(host: str) -> bool:
    name = urlsplit(f"//{host}").hostname or ""
    try:
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _pause_s(answer: requests.Response, otherwise_s: float) -> float:
    asked = answer.headers.get("Retry-After", "")
    return min(float(asked), LONGEST_WAIT_S) if asked.isdecimal() else otherwise_s


def _said(answer: requests.Response) -> str:
    """Return what a registry gives as its reason, else the status."""
    try:
        first = answer.json()["errors"][0]
        return str(first.get("message") or first["code"])
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return f"HTTP status {answer.status_code}"


def _held(manifest: bytes) -> Held:
    digest = f"sha256:{hashlib.sha256(manifest).hexdigest()}"  # of what is there, whatever it says it is
    try:
        content: dict[str, Any] = json.loads(manifest)
        config, layers = content["config"], content["layers"]
        size_bytes = int(config["size"]) + sum(int(layer["size"]) for layer in layers)
        return Held(digest=digest, image_ids=(digest, str(config["digest"])), size_bytes=size_bytes)
    except (ValueError, KeyError, TypeError):  # a list of images for several platforms has neither
        return Held(digest=digest, image_ids=(digest,), size_bytes=None)
