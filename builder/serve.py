"""Own how the server runs from the local cache, without Docker; what the cache holds is not its business."""

import hashlib
import importlib.util
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from builder import bundle, whole
from builder.cache import Cache
from builder.errors import InputError, InternalError
from builder.lock import LockedModel

LIBRARIES = (
    "httptools",
    "msgspec",
    "numpy",
    "onnxruntime",
    "prometheus_client",
    "starlette",
    "tokenizers",
    "uvicorn",
    "uvloop",
)
DEFAULT_PORT = "8080"  # the server's own


@dataclass(frozen=True, kw_only=True, slots=True)
class Launch:
    """The command that serves, and its whole environment."""

    command: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)

    @property
    def address(self) -> str:
        """Where the server will answer."""
        host = self.environment["RUNTIME_HOSTNAME"]
        return f"http://{f'[{host}]' if ':' in host else host}:{self.environment['RUNTIME_HTTP_PORT']}"


def prepare(
    models: Sequence[LockedModel], cache: Cache, *, environment: Mapping[str, str], port: int | None = None
) -> Launch:
    """Write the bundle of `models` into the cache, and say how to serve it; raises InputError.

    Only this machine reaches the server, unless RUNTIME_HOSTNAME says otherwise.
    """
    document = bundle.document(bundle.without_overlays(models), cache=str(cache.home))
    path = cache.own / "bundles" / hashlib.sha256(document).hexdigest()[:12] / "bundle.json"
    write_bundle(document, path)
    settings = {
        "RUNTIME_BUNDLE": str(path),
        "RUNTIME_HOSTNAME": environment.get("RUNTIME_HOSTNAME") or "127.0.0.1",
        "RUNTIME_HTTP_PORT": str(port or environment.get("RUNTIME_HTTP_PORT") or DEFAULT_PORT),
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "ORT_DISABLE_TELEMETRY": "1",
    }
    # -P: a folder called `runtime` where the user stands is not ours.
    return Launch(command=(sys.executable, "-P", "-m", "runtime"), environment={**environment, **settings})


def write_bundle(document: bytes, path: Path) -> None:
    """Write what the server reads, RUNTIME_BUNDLE; raises InputError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        whole.write(path, document)
    except OSError as error:
        raise InputError(f"`{path}` can't be written: {error.strerror}") from error


def require_libraries() -> None:
    """Raise InputError, with the command that installs them, where the server's libraries are missing."""
    missing = [name for name in LIBRARIES if importlib.util.find_spec(name) is None]
    if missing:
        install = shlex.join([sys.executable, "-m", "pip", "install", "--require-hashes", "-r", str(_requirements())])
        raise InputError(f"the server needs what is not installed here: {', '.join(missing)}", hint=f"run `{install}`")


def replace_process(launch: Launch) -> NoReturn:
    """Become the server, which then gets every signal itself and gives this process its exit code."""
    os.execve(launch.command[0], launch.command, dict(launch.environment))  # noqa: S606 - no shell is wanted


def _requirements() -> Path:
    """Find the server's locked requirements without importing it: the two packages never load each other."""
    spec = importlib.util.find_spec("runtime")
    if spec is None or spec.origin is None:
        raise InternalError("the `runtime` package is not installed beside `builder`")
    return Path(spec.origin).with_name("requirements.txt")
