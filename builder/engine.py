"""Own everything asked of the Docker Engine, and turn its every failure into an error of ours; it decides nothing."""

import errno
import json
import os
import shutil
import ssl
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, BinaryIO, Self, TypeAlias, cast
from uuid import uuid4

import docker
import docker.auth
import docker.context
import docker.errors
import docker.utils
import requests
import urllib3

from builder.api import ContainerOptions, ContainerState, Credentials, ExecResult, ImageDetails
from builder.errors import FailedError, InputError, UnreachableError
from builder.stream import RECEIVE_BYTES, ByteStream, PlainStream, TlsStream, check_unix_socket, demultiplex, upgrade

__all__ = [
    "Container",
    "ContainerOptions",
    "ContainerState",
    "Credentials",
    "Engine",
    "ExecResult",
    "ImageDetails",
    "JsonStream",
]

TIMEOUT_S = 60
# BuildKit asks a session for its health every 5 seconds, so one silent for this long has lost its engine.
SESSION_SILENCE_S = 60.0
MINIMUM_API = "1.42"  # of Engine 23.0, the first with a Dockerfile frontend that knows `COPY --link`
START_HINT = "start Docker, or point DOCKER_HOST or `docker context use` at an engine that runs"

LOCAL_BASE = (
    "build-image.made-here"  # the label of a base that was made, not pulled: its digest means nothing elsewhere
)
GROUP_HINT = "join the group that may use Docker, then log in again: sudo usermod -aG docker $USER"
SSH_HINT = "check that `ssh` with the same user and host works without a question, then try again"

Json: TypeAlias = dict[str, Any]  # what the Engine API answers, checked by nobody


class _Client(docker.APIClient):
    """docker-py's client that keeps the answer of the one `/version` call of its start."""

    def _retrieve_server_version(self) -> str:
        # REQUESTS_CA_BUNDLE is about the web: requests would put it before the engine's own authority.
        self.trust_env = False
        self.about: Json = self.version(api_version=False)
        _check_supported(self.about)
        return str(self.about["ApiVersion"])


class Engine:
    """One Docker Engine; threads may share it, each request that lasts has its own connection."""

    def __init__(self, client: _Client, *, address: str) -> None:
        self._client = client
        self.address = address
        self.version = str(client.about.get("Version", ""))

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
            except (docker.errors.DockerException, ValueError) as error:
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

    def open_session(self, headers: Sequence[tuple[str, str]]) -> ByteStream:
        """Open a BuildKit session: a connection on which the engine then calls as an HTTP/2 client."""
        with _translated("cannot open a build session"):
            return self._upgrade("/session", protocol="h2c", headers=headers, timeout_s=SESSION_SILENCE_S)

    def build_stream(self, parameters: Mapping[str, str]) -> "JsonStream":
        """Start a build and stream its messages; closing the stream from any thread ends the waiting."""
        with _translated("cannot start the build"):
            response = self._client.post(
                self._url("/build"), params=parameters, stream=True, timeout=(self._client.timeout, None)
            )
            if not response.ok:
                raise FailedError(f"the engine refuses the build: {_message(response)}")
            return JsonStream(response)

    def cancel_build(self, build_id: str) -> None:
        """Stop a build on the engine; one that is not running is fine."""
        with _translated("cannot stop the build"):
            self._client.post(self._url("/build/cancel"), params={"id": build_id}, timeout=self._client.timeout)

    @staticmethod
    def credentials(registry: str) -> Credentials:
        """Look up the user's login at `registry` in the Docker config and its helpers; never raise."""
        return _credentials(docker.auth.INDEX_NAME if registry == "registry-1.docker.io" else registry)

    def has_image(self, reference: str) -> bool:
        """Tell whether the engine holds an image."""
        return bool(self.image_id(reference))

    def image_id(self, reference: str) -> str:
        """Look up the id of an image, empty where the engine does not hold it."""
        with _translated(f"cannot inspect `{reference}`"):
            try:
                return str(self._inspect(reference)["Id"])
            except docker.errors.ImageNotFound:
                return ""

    def inspect_image(self, reference: str) -> ImageDetails:
        """Read what the engine knows of an image, by its id or any reference."""
        with _translated(f"cannot inspect `{reference}`"):
            found = self._inspect(reference)
        config = found.get("Config") or {}
        return ImageDetails(
            id=found["Id"],
            size_bytes=found["Size"],
            layers=tuple(found["RootFS"].get("Layers") or ()),
            labels=config.get("Labels") or {},
            environment=tuple(config.get("Env") or ()),
            digest=next(iter(found.get("RepoDigests") or ()), "").rpartition("@")[2],
        )

    def base_digest(self, reference: str) -> str:
        """Find the digest that a registry has `reference` under, empty where none knows it."""
        if self.has_image(reference):
            details = self.inspect_image(reference)
            return "" if details.labels.get(LOCAL_BASE) else details.digest
        with suppress(docker.errors.DockerException, requests.RequestException):
            found: Json = self._client.inspect_distribution(reference)  # type: ignore[no-untyped-call]  # not in the stubs
            return str(found["Descriptor"]["digest"])
        return ""

    def image_history(self, reference: str) -> tuple[str, ...]:
        """Read the commands that made an image's layers, newest first."""
        with _translated(f"cannot read the history of `{reference}`"):
            layers: list[Json] = self._client.history(reference)  # type: ignore[no-untyped-call] # absent in its stubs
        return tuple(str(layer["CreatedBy"]) for layer in layers)

    def tag(self, image_id: str, reference: str) -> None:
        """Point `reference` (repository:tag) at an image."""
        repository, _, tag = reference.rpartition(":")
        with _translated(f"cannot tag `{reference}`"):
            self._client.tag(image_id, repository, tag)

    def untag(self, reference: str) -> None:
        """Remove one reference; the image goes only where nothing else names it."""
        with _translated(f"cannot remove `{reference}`"), suppress(docker.errors.ImageNotFound):
            self._client.remove_image(reference, noprune=True)

    def remove_image(self, reference: str) -> None:
        """Remove an image with all its references; one that is not there is fine."""
        with _translated(f"cannot remove `{reference}`"), suppress(docker.errors.ImageNotFound):
            self._client.remove_image(reference, force=True)

    @contextmanager
    def saved_image(self, reference: str) -> Iterator[BinaryIO]:
        """Stream an image with all its layers as the tar that `docker save` writes; it cannot seek."""
        with _translated(f"cannot save `{reference}`"):
            response = self._client.get(
                self._url(f"/images/{reference}/get"), stream=True, timeout=(self._client.timeout, None)
            )
            with response:
                if not response.ok:
                    raise FailedError(f"cannot save `{reference}`: {_message(response)}")
                yield cast("BinaryIO", response.raw)

    @contextmanager
    def run_container(self, options: ContainerOptions) -> Iterator["Container"]:
        """Start a container and remove it at the end, whatever happens in between."""
        name = f"build-image-{uuid4().hex}"
        try:
            with _translated(f"cannot start a container of `{options.image}`"):
                self._client.create_container_from_config(options.as_json(), name=name)  # type: ignore[no-untyped-call] # absent in its stubs
                self._client.start(name)
            yield Container(self, name=name)
        finally:
            with _translated("cannot remove a container"), suppress(docker.errors.NotFound):
                self._client.remove_container(name, force=True, v=True)

    def _inspect(self, reference: str) -> Json:
        found: Json = self._client.inspect_image(reference)  # type: ignore[no-untyped-call] # absent in its stubs
        return found

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
        return PlainStream(connection.sock, timeout_s=timeout_s)


class JsonStream:
    """The messages of a response that lasts; iterate in one thread, close from any."""

    def __init__(self, response: requests.Response) -> None:
        self._response = response

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._response.close()

    def __iter__(self) -> Iterator[Json]:
        with _translated("the Docker Engine went away"):
            rest = b""
            for chunk in self._response.iter_content(chunk_size=None):
                *lines, rest = (rest + chunk).split(b"\n")
                yield from (json.loads(line) for line in lines if line.strip())
            if rest.strip():
                raise ConnectionResetError("the last message is cut short")

    def abort(self) -> None:
        """End the iteration in another thread with UnreachableError."""
        with suppress(OSError, ValueError):  # it has ended by itself meanwhile
            self._response.raw.shutdown()


class Container:
    """A running container."""

    def __init__(self, engine: Engine, *, name: str) -> None:
        self._engine = engine
        self._client = engine._client  # noqa: SLF001 the two classes are one unit
        self.name = name

    def exec(self, command: Sequence[str], *, stdin: bytes | None = None, timeout_s: float = TIMEOUT_S) -> ExecResult:
        """Run `command` inside and wait; `stdin` needs a shell there; silence over `timeout_s` is a FailedError."""
        if stdin is not None:
            # TLS cannot close one direction, so the end of the input is told by its length.
            reader = 'size=$1; shift; head -c "$size" | "$@"'
            command = ["sh", "-c", reader, "stdin", str(len(stdin)), *command]
        with _translated(f"cannot run `{command[0]}` in the container"):
            created = self._client.exec_create(self.name, list(command), stdin=stdin is not None)["Id"]
            try:
                output = self._attach(created, stdin=stdin or b"", timeout_s=timeout_s)
            except TimeoutError:
                raise FailedError(f"`{' '.join(command)}` said nothing for {timeout_s:g} s") from None
            exit_code = self._client.exec_inspect(created)["ExitCode"]
        if exit_code is None:
            raise FailedError(f"`{' '.join(command)}` closed its output and runs on")
        return ExecResult(exit_code=int(exit_code), stdout=output[1], stderr=output[2])

    def logs(self, *, tail: int = 50) -> tuple[str, ...]:
        """Read the last lines of what the container wrote."""
        with _translated("cannot read the container's log"):
            written: bytes = self._client.logs(self.name, stdout=True, stderr=True, tail=tail)
        return tuple(written.decode(errors="replace").splitlines())

    def state(self) -> ContainerState:
        """Ask how the container is."""
        with _translated("cannot inspect the container"):
            state: Json = self._client.inspect_container(self.name)["State"]
        return ContainerState(
            status=state["Status"],
            exit_code=state["ExitCode"],
            oom_killed=state["OOMKilled"],
            health=(state.get("Health") or {}).get("Status", ""),
        )

    def changes(self) -> tuple[str, ...]:
        """List the paths that differ from the image, each after `C` (changed), `A` (added) or `D` (deleted)."""
        with _translated("cannot compare the container with its image"):
            return tuple(f"{'CAD'[found['Kind']]} {found['Path']}" for found in self._client.diff(self.name) or ())

    def address(self, port: int) -> tuple[str, int]:
        """Look up the host's address and port of a published port."""
        with _translated("cannot inspect the container"):
            found = self._client.port(self.name, port)
        if not found:
            raise FailedError(f"port {port} of the container is not published")
        return str(found[0]["HostIp"]), int(found[0]["HostPort"])

    def stop(self, *, timeout_s: int = 10) -> None:
        """Ask the process to end, and kill it after `timeout_s`."""
        with _translated("cannot stop the container"):
            self._client.stop(self.name, timeout=timeout_s)

    def kill(self) -> None:
        """Kill the process; one that has ended is fine."""
        with _translated("cannot kill the container"), suppress(docker.errors.APIError):
            self._client.kill(self.name)

    def _attach(self, exec_id: str, *, stdin: bytes, timeout_s: float) -> dict[int, bytes]:
        """Start an exec and read its output by stream number: 1 stdout, 2 stderr."""
        body = json.dumps({"Detach": False, "Tty": False}).encode()
        stream = self._engine._upgrade(f"/exec/{exec_id}/start", protocol="tcp", body=body, timeout_s=timeout_s)  # noqa: SLF001 the two classes are one unit
        try:
            stream.sendall(stdin)
            return demultiplex(b"".join(iter(lambda: stream.recv(RECEIVE_BYTES), b"")))
        finally:
            stream.close()


@contextmanager
def _translated(action: str) -> Iterator[None]:
    """Raise what docker-py and its libraries raise as our errors, without their texts: those hold build arguments."""
    try:
        yield
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
    """Find the operating system's reason below the libraries' own texts."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, OSError) and found.strerror:
            return found.strerror
        found = found.__cause__ or found.__context__
    return "the connection ended" if isinstance(error, requests.RequestException) else str(error)


def _message(response: requests.Response) -> str:
    try:
        return str(response.json()["message"])
    except (ValueError, KeyError):
        return f"HTTP status {response.status_code}"


def _check_supported(about: Mapping[str, Any]) -> None:
    version = about.get("Version", "of unknown version")
    if about.get("Os") == "windows":
        raise InputError("the Docker Engine runs Windows containers", hint="switch Docker to Linux containers")
    if docker.utils.version_lt(str(about.get("ApiVersion", "0")), MINIMUM_API):
        raise InputError(
            f"Docker Engine {version} is too old: its BuildKit has no `COPY --link`",
            hint="install Docker Engine 23.0 or newer",
        )


def _credentials(registry: str) -> Credentials:
    try:
        config = docker.auth.load_config()
        helper = config.get_credential_store(registry)
        if helper is not None and shutil.which(f"docker-credential-{helper}") is None:
            warning = f"`docker-credential-{helper}` is not installed, so `{registry}` is asked without a login"
            return Credentials(warning=warning)
        found = {key.lower(): value for key, value in (config.resolve_authconfig(registry) or {}).items()}
    except (docker.errors.DockerException, OSError, ValueError, KeyError) as error:
        return Credentials(warning=f"no login for `{registry}`: {error}")
    if token := found.get("identitytoken"):
        return Credentials(secret=str(token))
    return Credentials(username=str(found.get("username", "")), secret=str(found.get("password", "")))
