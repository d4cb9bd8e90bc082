"""Own the values that go to the Engine API and come from it: images, logins, containers; it talks to no engine."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from builder.errors import InputError

LOOPBACK = "127.0.0.1"
MINIMUM_API = (1, 42)  # of Engine 23.0, the first with a Dockerfile frontend that knows `COPY --link`


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageDetails:
    """What the engine knows of an image; `digest` is empty until it has been pushed or pulled.

    `repository_digests` are those of every repository that it was pushed to or pulled from: `repository@digest`.
    """

    id: str
    platform: str
    size_bytes: int
    layers: tuple[str, ...]
    labels: Mapping[str, str]
    environment: tuple[str, ...]
    digest: str
    repository_digests: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Credentials:
    """A login at a registry, empty where there is none; `warning` says why one could not be had.

    A secret without a name is an identity token.
    """

    username: str = ""
    secret: str = field(default="", repr=False)
    warning: str | None = None

    def as_json(self) -> dict[str, str]:
        """Write the login as the Engine API's `X-Registry-Auth`."""
        if self.secret and not self.username:
            return {"identitytoken": self.secret}
        return {"username": self.username, "password": self.secret} if self.username else {}


@dataclass(frozen=True, kw_only=True, slots=True)
class ContainerOptions:
    """How a container runs, locked down by default; `tmpfs` is path to mount options, `ports` appear on loopback."""

    image: str
    command: Sequence[str] | None = None
    user: str = "12345:0"
    network_mode: str = "none"
    read_only: bool = True
    tmpfs: Mapping[str, str] = field(default_factory=lambda: {"/tmp": "rw,noexec,nosuid,size=64m"})  # noqa: S108 a path in the container
    cap_drop: Sequence[str] = ("ALL",)
    security_opt: Sequence[str] = ("no-new-privileges",)
    pids_limit: int = 256
    memory_bytes: int | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    ports: Sequence[int] = ()

    def as_json(self) -> dict[str, Any]:
        """Write the options as the Engine API's body of `/containers/create`."""
        memory_bytes = self.memory_bytes or 0  # zero is no limit
        host = {
            "NetworkMode": self.network_mode,
            "ReadonlyRootfs": self.read_only,
            "Tmpfs": dict(self.tmpfs),
            "CapDrop": list(self.cap_drop),
            "SecurityOpt": list(self.security_opt),
            "PidsLimit": self.pids_limit,
            "Memory": memory_bytes,
            "MemorySwap": memory_bytes,  # memory and swap together: the limit is not doubled by swap
            "PortBindings": {f"{port}/tcp": [{"HostIp": LOOPBACK, "HostPort": ""}] for port in self.ports},
        }
        return {
            "Image": self.image,
            "Cmd": None if self.command is None else list(self.command),
            "User": self.user,
            "Env": [f"{name}={value}" for name, value in self.environment.items()],
            "Labels": dict(self.labels),
            "ExposedPorts": {f"{port}/tcp": {} for port in self.ports},
            "HostConfig": host,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class ContainerState:
    """How a container is: `status` as the engine words it (`running`, `exited`), its exit code and what killed it."""

    status: str
    exit_code: int
    oom_killed: bool
    health: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ExecResult:
    """What a command run inside a container gave."""

    exit_code: int
    stdout: bytes
    stderr: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldImage:
    """An image that the engine holds; of `size_bytes`, no other image shares `own_bytes`."""

    id: str
    names: tuple[str, ...]
    labels: Mapping[str, str]
    size_bytes: int
    own_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class HistoryEntry:
    """One step in the making of an image, as the engine tells it; most that are not of a file have no size."""

    created_by: str
    size_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldContainer:
    """A container that the engine holds, running or not."""

    name: str
    image_id: str
    status: str
    labels: Mapping[str, str] = field(default_factory=dict)


def check_supported(about: Mapping[str, Any]) -> None:
    """Refuse an engine by its answer to `/version`; raises InputError."""
    version = about.get("Version", "of unknown version")
    if about.get("Os") == "windows":
        raise InputError("the Docker Engine runs Windows containers", hint="switch Docker to Linux containers")
    if tuple(map(int, str(about.get("ApiVersion", "0")).split("."))) < MINIMUM_API:
        raise InputError(
            f"Docker Engine {version} is too old: its BuildKit has no `COPY --link`",
            hint="install Docker Engine 23.0 or newer",
        )
