"""Own what a Kubernetes cluster is told of deployments, as its API takes it; it talks to no cluster."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from builder import deployment
from builder.deployment import Deployment, DeploymentOptions
from builder.errors import InputError
from builder.labels import BUNDLE_LABEL
from builder.plan import ImagePlan

FILE = "kubernetes.yaml"

_CPUS = 2
_MOST_REPLICAS_TIMES = 4
_BUSY_PERCENT = 70
_PROBE_S = 2
_NAME_LABEL = "app.kubernetes.io/name"
_SERVICE_NAME = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")  # RFC 1035, which a Service's name has to be

Resource = dict[str, Any]


def resources(
    deployments: Sequence[Deployment], wanted: DeploymentOptions, *, weights: ImagePlan | None = None
) -> tuple[Resource, ...]:
    """Return every resource; with `weights`, pods read their models from that image, mounted as a volume.

    Raises InputError for names that a cluster does not take.
    """
    _check_names(deployments)
    made = []
    for each in deployments:
        made += [
            _deployment(each, wanted, weights),
            _service(each, wanted),
            _autoscaler(each, wanted),
            _disruption_budget(each),
            _network_policy(each),
        ]
    return tuple(made)


def _check_names(deployments: Sequence[Deployment]) -> None:
    owners: dict[str, str] = {}
    for each in deployments:
        if not _SERVICE_NAME.fullmatch(_name(each)):
            hint = "give the image a name of at most 63 letters, digits and `-` that begins with a letter"
            raise InputError(f"`{each.name}` can't name a Service of Kubernetes", hint=hint)
        owner = owners.setdefault(_name(each), each.name)
        if owner != each.name:
            message = f"`{owner}` and `{each.name}` have one name for Kubernetes, `{_name(each)}`"
            raise InputError(message, hint="rename one of them")


def _name(each: Deployment) -> str:
    return re.sub(r"[._]", "-", each.name)


def _metadata(each: Deployment) -> Resource:
    return {"name": _name(each), "labels": {_NAME_LABEL: _name(each)}}


def _selector(each: Deployment) -> Resource:
    return {"matchLabels": {_NAME_LABEL: _name(each)}}


def _deployment(each: Deployment, wanted: DeploymentOptions, weights: ImagePlan | None) -> Resource:
    """Make the Deployment, which leaves the number of replicas to the autoscaler."""
    template = {
        "metadata": {
            "labels": {_NAME_LABEL: _name(each)},
            "annotations": {BUNDLE_LABEL: each.labels[BUNDLE_LABEL]},  # other models under one tag roll out too
        },
        "spec": _pod(each, wanted, weights),
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata(each),
        "spec": {
            "selector": _selector(each),
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": template,
        },
    }


def _pod(each: Deployment, wanted: DeploymentOptions, weights: ImagePlan | None) -> Resource:
    spread = {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"}
    volumes: list[Resource] = [
        {"name": "scratch", "emptyDir": {"medium": "Memory", "sizeLimit": f"{deployment.SCRATCH_MIB}Mi"}}
    ]
    if weights is not None:
        volumes.append({"name": "hf-cache", "image": {"reference": weights.references[0]}})
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": deployment.GRACE_S,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": deployment.USER,
            "runAsGroup": deployment.GROUP,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "topologySpreadConstraints": [{**spread, "labelSelector": _selector(each)}],
        "containers": [_container(each, wanted, has_weights=weights is not None)],
        "volumes": volumes,
    }


def _container(each: Deployment, wanted: DeploymentOptions, *, has_weights: bool) -> Resource:
    mounts: list[Resource] = [{"name": "scratch", "mountPath": deployment.SCRATCH_DIRECTORY}]
    if has_weights:
        place = deployment.CACHE_DIRECTORY
        mounts.append({"name": "hf-cache", "mountPath": place, "subPath": place.removeprefix("/"), "readOnly": True})
    limits = {"cpu": str(wanted.cpus or _CPUS), "memory": f"{each.memory_mib}Mi"}
    return {
        "name": "server",
        "image": each.reference,
        "ports": [{"name": "http", "containerPort": deployment.PORT}],
        "env": [{"name": name, "value": value} for name, value in deployment.DRAIN.items()],
        "startupProbe": _probe("/readyz", period_s=_PROBE_S, failures=deployment.START_TIMEOUT_S // _PROBE_S),
        "readinessProbe": _probe("/readyz", period_s=_PROBE_S, failures=3),
        "livenessProbe": _probe("/livez", period_s=10, failures=3),
        "resources": {"requests": limits, "limits": dict(limits)},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": mounts,
    }


def _probe(path: str, *, period_s: int, failures: int) -> Resource:
    asked = {"path": path, "port": "http"}
    return {"httpGet": asked, "periodSeconds": period_s, "timeoutSeconds": 5, "failureThreshold": failures}


def _service(each: Deployment, wanted: DeploymentOptions) -> Resource:
    port = {"name": "http", "port": wanted.port, "targetPort": "http", "protocol": "TCP"}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(each),
        "spec": {"type": "ClusterIP", "selector": {_NAME_LABEL: _name(each)}, "ports": [port]},
    }


def _autoscaler(each: Deployment, wanted: DeploymentOptions) -> Resource:
    target: Mapping[str, Any] = {"type": "Utilization", "averageUtilization": _BUSY_PERCENT}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": _metadata(each),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": _name(each)},
            "minReplicas": wanted.replicas,
            "maxReplicas": wanted.replicas * _MOST_REPLICAS_TIMES,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
        },
    }


def _disruption_budget(each: Deployment) -> Resource:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": _metadata(each),
        "spec": {"maxUnavailable": 1, "selector": _selector(each)},
    }


def _network_policy(each: Deployment) -> Resource:
    """Let requests in, and nothing out: not even a name is looked up."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": _metadata(each),
        "spec": {
            "podSelector": _selector(each),
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"ports": [{"protocol": "TCP", "port": "http"}]}],
            "egress": [],
        },
    }
