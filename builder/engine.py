"""Own everything asked of the Docker Engine, and turn its every failure into an error of ours; it decides nothing."""

import errno
import json
import os
import socket
import ssl
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self, cast
from uuid import uuid4

import docker
import docker.auth
import docker.context
import docker.errors
import docker.utils
import requests
import urllib3

from builder.api import (
    ContainerOptions,
    ContainerState,
    Credentials,
    ExecResult,
    HeldContainer,
    ImageDetails,
    check_supported,
)
from builder.container import Container
from builder.errors import AbsentError, FailedError, InputError, UnreachableError, system_reason
from builder.images import ImageStore, Json
from builder.messages import JsonStream
from builder.owner import OWNER_LABEL, mark
from builder.stream import (
    RECEIVE_BYTES,
    ByteStream,
    ChannelStream,
    PlainStream,
    TlsStream,
    check_unix_socket,
    demultiplex,
    upgrade,
)

__all__ = [
    "Container",
    "ContainerOptions",
    "ContainerState",
    "Credentials",
    "Engine",
    "ExecResult",
    "ImageDetails",
]

TIMEOUT_S = 60
# BuildKit asks a session for its health every 5 seconds, so one silent for this long has lost its engine.
SESSION_SILENCE_S = 60.0
# A step may say nothing for hours; whether the engine is still there is noticed by the session of the build.
CONTROL_SILENCE_S = 7 * 24 * 3600.0
START_HINT = "start Docker, or point DOCKER_HOST or `docker context use` at an engine that runs"
GROUP_HINT = "join the group that may use Docker, then log in again: sudo usermod -aG docker $USER"
SSH_HINT = "check that `ssh` with the same user and host works without a question, then try again"


class _Client(docker.APIClient):
    """docker-py's client that keeps the answer of the one `/version` call of its start."""

    def _retrieve_server_version(self) -> str:
        # REQUESTS_CA_BUNDLE is about the web: requests would put it before the engine's own authority.
        self.trust_env = False
        self.about: Json = self.version(api_version=False)
        check_supported(self.about)
        return str(self.about["ApiVersion"])


class Engine(ImageStore):
    """One Docker Engine; threads may share it, each request that lasts has its own connection."""

    def __init__(self, client: _Client, *, address: str) -> None:
        self._client = client
        self.address = address
        self.version = str(client.about.get("Version", ""))
        self.platform = f"{client.about.get('Os', 'linux')}/{client.about.get('Arch', '')}"

    @classmethod
    def connect(cls, *, timeout_s: int = TIMEOUT_S) -> Self:
        """Connect as the docker command does: DOCKER_HOST and its TLS variables, else the active context."""
        with _translated("cannot connect to the Docker Engine"):
            try:
                where = docker.utils.kwargs_from_env()
                if "base_url" not in where:
                    where = {**docker.context.ContextAPI.kwargs_from_context(), **where}
                address = str(where.get("base_url", ""))
                check_unix_socket(address)
                return cls(_Client(timeout=timeout_s, **where), address=address)
            except (docker.errors.DockerException, ValueError, AttributeError, TypeError) as error:
                # The last two where `config.json` holds other JSON than docker-py takes for granted.
                if isinstance(error, requests.RequestException):
                    raise
                raise InputError(f"the Docker configuration is not usable: {error}", hint=START_HINT) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the idle connections."""
        self._client.close()

    def ping(self) -> Mapping[str, str]:
        """Ask for nothing but an answer, and return its headers: `Builder-Version` is `2` where BuildKit builds."""
        with _translated("cannot ask the engine"):
            response = self._client.get(f"{self._client.base_url}/_ping", timeout=self._client.timeout)
        return dict(response.headers)

    def check_answers(self) -> None:
        """Raise UnreachableError where the engine has gone by now."""
        self.ask("the Docker Engine went away", "ping")

    def open_session(self, headers: Sequence[tuple[str, str]]) -> ByteStream:
        """Open a BuildKit session: a connection on which the engine then calls as an HTTP/2 client."""
        with _translated("cannot open a build session"):
            return self._upgrade("/session", protocol="h2c", headers=headers, timeout_s=SESSION_SILENCE_S)

    def open_control(self) -> ByteStream:
        """Open a connection to BuildKit's own services, which we then call as an HTTP/2 client."""
        with _translated("cannot start the build"):
            return self._upgrade("/grpc", protocol="h2c", timeout_s=CONTROL_SILENCE_S)

    def push_stream(self, reference: str, login: Credentials) -> JsonStream:
        """Start to push what `reference` (repository:tag) names, and stream the engine's messages."""
        repository, _, tag = reference.rpartition(":")
        headers = {"X-Registry-Auth": docker.auth.encode_header(login.as_json())}
        place, action = f"/images/{repository}/push", f"push `{reference}`"
        return self._post(place, action=action, params={"tag": tag}, headers=headers)

    def containers(self) -> tuple[HeldContainer, ...]:
        """List every container."""
        return tuple(
            HeldContainer(
                name=names[0].removeprefix("/"),
                image_id=container["ImageID"],
                status=container["State"],
                labels=container["Labels"] or {},
            )
            for container in self.listed("/containers/json", {"all": "1"})
            if (names := container["Names"])
        )

    def discard_container(self, name: str) -> None:
        """Remove a container, running or not; one that is not there is fine."""
        with _translated(f"cannot remove the container `{name}`"), suppress(docker.errors.NotFound):
            self._client.remove_container(name, force=True, v=True)

    def local_root(self) -> Path | None:
        """Find the folder that the engine keeps everything in, None where that is not on this machine."""
        if not self.address.startswith("unix://"):
            return None
        with _translated("cannot ask the engine for its root directory"):
            root = Path(self._client.info()["DockerRootDir"])
        with suppress(PermissionError):
            return root if root.is_dir() else None
        return None

    @contextmanager
    def archive(self, image: str, path: str) -> Iterator[BinaryIO]:
        """Stream a file or folder of an image as a tar whose names begin with its last part; nothing of it is run."""
        options = ContainerOptions(image=image, command=["never-started"])  # an image of weights names no command
        with self._created(options) as name:
            place = f"/containers/{name}/archive"
            with self.download(place, action=f"read `{path}` of `{image}`", path=path) as stream:
                yield stream

    @contextmanager
    def run_container(self, options: ContainerOptions) -> Iterator[Container]:
        """Start a container and remove it at the end, whatever happens in between."""
        with self._created(options) as name:
            with _translated(f"cannot start a container of `{options.image}`"):
                self._client.start(name)
            yield Container(self, name=name)

    @contextmanager
    def _created(self, options: ContainerOptions) -> Iterator[str]:
        name = f"build-image-{uuid4().hex}"
        marked = replace(options, labels={**options.labels, OWNER_LABEL: mark()})
        try:
            with _translated(f"cannot create a container of `{options.image}`"):
                self._client.create_container_from_config(marked.as_json(), name=name)  # type: ignore[no-untyped-call] # absent in its stubs
            yield name
        finally:
            with _translated("cannot remove a container"), suppress(docker.errors.NotFound):
                self._client.remove_container(name, force=True, v=True)

    @contextmanager
    def download(self, place: str, *, action: str, **parameters: str) -> Iterator[BinaryIO]:
        """Stream what lies at `place`."""
        with _translated(f"cannot {action}"):
            response = self._client.get(
                self._url(place),
                params=parameters,
                headers={"Accept-Encoding": "identity"},  # a tar, without gzip around it
                stream=True,
                timeout=(self._client.timeout, None),
            )
            with response:
                if not response.ok:
                    kind = AbsentError if response.status_code == HTTPStatus.NOT_FOUND else FailedError
                    raise kind(f"cannot {action}: {_message(response)}")
                yield cast("BinaryIO", response.raw)

    def upload(self, place: str, source: BinaryIO, *, action: str) -> JsonStream:
        """Send a tar to `place`, and stream what the engine tells of it."""
        return self._post(place, action=action, data=source, headers={"Content-Type": "application/x-tar"})

    def listed(self, place: str, query: Mapping[str, str]) -> list[Json]:
        """Ask for a list."""
        with _translated("cannot list what the engine holds"):
            response = self._client.get(self._url(place), params=query, timeout=self._client.timeout)
            if not response.ok:
                raise FailedError(f"cannot list what the engine holds: {_message(response)}")
            found: list[Json] = response.json()
        return found

    def ask(self, action: str, operation: str, *arguments: object, **options: object) -> Any:  # noqa: ANN401 the engine's JSON
        """Call one operation of docker-py's client; `action` is how a failure begins: "cannot stop the container"."""
        with _translated(action):
            return getattr(self._client, operation)(*arguments, **options)

    def run_exec(self, exec_id: str, *, stdin: bytes, timeout_s: float) -> dict[int, bytes]:
        """Start an exec and read its output by stream number: 1 stdout, 2 stderr; TimeoutError after silence."""
        body = json.dumps({"Detach": False, "Tty": False}).encode()
        with _translated("cannot run a command in the container", apart_from=TimeoutError):
            stream = self._upgrade(f"/exec/{exec_id}/start", protocol="tcp", body=body, timeout_s=timeout_s)
            try:
                stream.sendall(stdin)
                return demultiplex(b"".join(iter(lambda: stream.recv(RECEIVE_BYTES), b"")))
            finally:
                stream.close()

    def _post(self, place: str, *, action: str, **request: Any) -> JsonStream:  # noqa: ANN401 what requests takes
        with _translated(f"cannot {action}"):
            timeout_s = (self._client.timeout, None)
            response = self._client.post(self._url(place), stream=True, timeout=timeout_s, **request)
            if not response.ok:
                raise FailedError(f"cannot {action}: {_message(response)}")
            return JsonStream(response, translated=lambda: _translated("the Docker Engine went away"))

    def _url(self, path: str) -> str:
        return f"{self._client.base_url}/v{self._client.api_version}{path}"

    def _upgrade(self, path: str, *, timeout_s: float, **request: Any) -> ByteStream:  # noqa: ANN401 what `upgrade` takes
        """Turn a new connection into a stream of bytes; see `stream.upgrade`."""
        stream = self._dial(timeout_s=timeout_s)
        try:
            return upgrade(stream, f"/v{self._client.api_version}{path}", **request)
        except (FailedError, OSError):
            stream.close()
            raise

    def _dial(self, *, timeout_s: float) -> ByteStream:
        """Connect anew, by whatever transport docker-py was configured for."""
        client = self._client
        request = client.prepare_request(requests.Request("POST", client.base_url))
        adapter = cast("requests.adapters.HTTPAdapter", client.get_adapter(client.base_url))
        pool: Any = adapter.get_connection_with_tls_context(request, client.verify, cert=client.cert)
        connection = pool._new_conn()  # noqa: SLF001 where docker-py's unix and ssh pools say how to connect
        connection.timeout = client.timeout
        connection.connect()
        if isinstance(connection.sock, ssl.SSLSocket):
            return TlsStream(connection.sock, timeout_s=timeout_s)
        kind = PlainStream if isinstance(connection.sock, socket.socket) else ChannelStream
        return kind(connection.sock, timeout_s=timeout_s)


@contextmanager
def _translated(action: str, *, apart_from: type[OSError] | tuple[()] = ()) -> Iterator[None]:
    """Raise what docker-py and its libraries raise as our errors, without their texts: those hold build arguments."""
    try:
        yield
    except apart_from:
        raise
    except docker.errors.NotFound as error:
        raise AbsentError(f"{action}: {error.explanation}") from None
    except docker.errors.APIError as error:
        raise FailedError(f"{action}: {error.explanation or 'the engine gives no reason'}") from None
    except (docker.errors.DockerException, urllib3.exceptions.HTTPError, OSError) as error:
        reason = _reason(error)
        hint = GROUP_HINT if reason == os.strerror(errno.EACCES) else START_HINT
        raise UnreachableError(f"{action}: {reason}", hint=hint) from None
    except _ssh_errors() as error:
        raise UnreachableError(f"{action} over ssh: {error}", hint=SSH_HINT) from None


def _ssh_errors() -> tuple[type[Exception], ...]:
    """Return what paramiko raises; docker-py loads it for `ssh://` alone, and it need not be installed."""
    paramiko: Any = sys.modules.get("paramiko")
    return (paramiko.SSHException,) if paramiko else ()


def _reason(error: BaseException) -> str:
    return system_reason(error) or (
        "the connection ended" if isinstance(error, requests.RequestException) else str(error)
    )


def _message(response: requests.Response) -> str:
    try:
        return str(response.json()["message"])
    except (ValueError, KeyError):
        return f"HTTP status {response.status_code}"
