"""Own the files of Docker Compose and of a Swarm stack: what they say of deployments; it deploys nothing."""

from collections.abc import Mapping, Sequence
from typing import Any

from builder import deployment
from builder.deployment import Deployment, DeploymentOptions

FILES: Mapping[str, str] = {"compose": "compose.yaml", "stack": "stack.yaml"}

_LOOPBACK = "127.0.0.1"
_SEALED = "sealed"
_STACK_VERSION = "3.9"  # the first with a limit of processes; Compose wants no version any more
_STACK_CPUS = 2
_UPDATE: Mapping[str, Any] = {"parallelism": 1, "order": "start-first"}


def compose(deployments: Sequence[Deployment], wanted: DeploymentOptions) -> dict[str, Any]:
    """Return the Compose file: a service for each image, and a volume that holds its models.

    A volume is filled from the image when it is made, and hides the image's own files from then on. So its name has
    a digest of them, and an image with other models gets another volume.
    """
    network = {"networks": {"default": {"internal": True}}} if wanted.is_internal else {}
    return {
        "services": {each.name: _compose_service(each, wanted) for each in deployments},
        "volumes": {_volume(each): {} for each in deployments},
        **network,
    }


def stack(deployments: Sequence[Deployment], wanted: DeploymentOptions) -> dict[str, Any]:
    """Return the stack: replicas of each image, which are replaced one by one, each new one before an old one ends.

    It has no volumes: two replicas on a node would fill one at the same time.
    """
    return {
        "version": _STACK_VERSION,
        "services": {each.name: _stack_service(each, wanted) for each in deployments},
    }


def _volume(each: Deployment) -> str:
    return f"hf-cache-{each.name}-{each.cache_digest}"


def _locked_down(each: Deployment) -> dict[str, Any]:
    return {
        "image": each.reference,
        "read_only": True,
        "cap_drop": ["ALL"],
        "healthcheck": {
            "test": ["CMD", "python3", "-m", "runtime", "probe"],
            "interval": "5s",
            "timeout": "5s",
            "retries": 3,
            "start_period": f"{deployment.START_TIMEOUT_S}s",
        },
        "stop_grace_period": f"{deployment.GRACE_S}s",
    }


def _compose_service(each: Deployment, wanted: DeploymentOptions) -> dict[str, Any]:
    published = {} if wanted.is_internal else {"ports": [f"{_LOOPBACK}:{each.port}:{deployment.PORT}"]}
    scratch = f"{deployment.SCRATCH_DIRECTORY}:rw,noexec,nosuid,size={deployment.SCRATCH_MIB}m"
    cache = {"type": "volume", "source": _volume(each), "target": deployment.CACHE_DIRECTORY, "read_only": True}
    return {
        **_locked_down(each),
        **published,
        "security_opt": ["no-new-privileges:true"],
        "tmpfs": [scratch],
        "volumes": [cache],
        "pids_limit": deployment.PROCESSES,
        "mem_limit": f"{each.memory_mib}m",
        "memswap_limit": f"{each.memory_mib}m",
        **({"cpus": wanted.cpus} if wanted.cpus else {}),
        "restart": "unless-stopped",
    }


def _stack_service(each: Deployment, wanted: DeploymentOptions) -> dict[str, Any]:
    scratch = {"size": deployment.SCRATCH_MIB << 20, "mode": 0o1777}
    limits = {
        "cpus": str(wanted.cpus or _STACK_CPUS),
        "memory": f"{each.memory_mib}m",
        "pids": deployment.PROCESSES,
    }
    return {
        **_locked_down(each),
        "environment": dict(deployment.DRAIN),
        "ports": [{"target": deployment.PORT, "published": each.port, "protocol": "tcp", "mode": "ingress"}],
        "volumes": [{"type": "tmpfs", "target": deployment.SCRATCH_DIRECTORY, "tmpfs": scratch}],
        "deploy": {
            "replicas": wanted.replicas,
            "update_config": {**_UPDATE, "monitor": "10s", "failure_action": "rollback"},
            "rollback_config": dict(_UPDATE),
            "restart_policy": {"condition": "any", "delay": "5s"},
            "resources": {"limits": limits},
        },
    }
