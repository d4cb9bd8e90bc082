"""Own what a deployment of an image is, whatever runs it: its name, its limits, how it ends; it writes no format."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from builder import memory
from builder.bundle import CACHE
from builder.errors import InputError
from builder.lock import LockedModel
from builder.plan import ImagePlan

PORT = 8080  # that the server listens on
CACHE_DIRECTORY = CACHE
SCRATCH_DIRECTORY = "/tmp"  # noqa: S108 - a path in the container, the only one that is written to
SCRATCH_MIB = 64
PROCESSES = 256
USER, GROUP = 10001, 0  # as in the image
START_TIMEOUT_S = 180

# Of several servers behind one address: how long one that ends still takes what is sent to it, then finishes that,
# and how long it may take altogether.
DRAIN: Mapping[str, str] = {"RUNTIME_SHUTDOWN_DELAY_S": "5", "RUNTIME_SHUTDOWN_TIMEOUT_S": "20"}
GRACE_S = 30

_MIB = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class DeploymentOptions:
    """What is asked for of every deployment; `memory_mib` none: by the models' sizes.

    Each image has a port of its own, the first one `port`. An internal network reaches nothing outside of it.
    """

    port: int = PORT
    replicas: int = 2
    cpus: int | None = None
    memory_mib: int | None = None
    is_internal: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Deployment:
    """One image that serves; `cache_digest` changes with the files of its models, and with nothing else."""

    name: str
    reference: str
    port: int
    memory_mib: int
    cache_digest: str
    labels: Mapping[str, str]


def of_images(images: Sequence[ImagePlan], wanted: DeploymentOptions) -> tuple[Deployment, ...]:
    """Decide the deployments of those images that serve; raises InputError where none does."""
    servers = [image for image in images if image.kind == "server"]
    if not servers:
        raise InputError("none of these images serves", hint="choose an image of the kind `server` with --image")
    return tuple(
        Deployment(
            name=image.name,
            reference=image.references[0],
            port=wanted.port + index,
            memory_mib=wanted.memory_mib or -(-memory.limit_bytes(image.models) // _MIB),
            cache_digest=cache_digest(image.models),
            labels=image.labels,
        )
        for index, image in enumerate(servers)
    )


def cache_digest(models: Sequence[LockedModel]) -> str:
    """Return twelve hexadecimal digits for what the cache of `models` holds."""
    held = {model.identity: {path: file.sha256 for path, file in model.files.items()} for model in models}
    derived = [f"{model.name} {model.optimization.digest}" for model in models if model.optimization]
    content = [held, *derived] if derived else held
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]
