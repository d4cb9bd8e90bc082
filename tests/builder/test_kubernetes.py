from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from builder import deployment, kubernetes
from builder.deployment import DeploymentOptions
from builder.errors import InputError
from tests.builder import data

LOCAL, FETCHED = data.local(Path("/models/a")), data.fetched()
WEIGHTS = data.image(LOCAL, name="weights", kind="models")
KINDS = ["Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget", "NetworkPolicy"]


def resources(*names: str, weights: Any = None, **options: Any) -> dict[str, dict[str, Any]]:
    """Return the resources of one image, by their kind, or of the last of several."""
    wanted = DeploymentOptions(**options)
    images = [data.image(LOCAL, name=name) for name in names or ("retrieval",)]
    made = kubernetes.resources(deployment.of_images(images, wanted), wanted, weights=weights)
    return {resource["kind"]: resource for resource in made}


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["baked", "mounted"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_resource_is_one_of_kubernetes_s_api(kind: str, weights: Any) -> None:
    kubernetes_validate.validate(resources(weights=weights)[kind], "1.37", strict=True)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("spec", "template", "spec", "containers", 0, "readOnlyRootFs"), True),
        (("spec", "template", "spec", "terminationGracePeriodSeconds"), "30"),
        (("spec", "selector"), []),
    ],
)
def test_the_api_s_schema_finds_unknown_fields_and_wrong_types(path: tuple[Any, ...], value: Any) -> None:
    broken = resources()["Deployment"]
    place: Any = broken
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, "1.37", strict=True)


def test_the_pod_is_what_the_restricted_standard_wants() -> None:
    pod = resources()["Deployment"]["spec"]["template"]["spec"]
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "runAsGroup": 0,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert pod["containers"][0]["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_every_selector_finds_the_pods_and_the_autoscaler_the_deployment() -> None:
    made = resources("e5.1")
    labels = made["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert labels == {"app.kubernetes.io/name": "e5-1"}
    assert made["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    assert made["Service"]["spec"]["selector"] == labels
    assert made["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    assert made["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == labels
    assert made["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"] == made["Deployment"]["metadata"]["name"]


def test_requests_come_in_at_one_port_and_nothing_goes_out() -> None:
    spec = resources()["NetworkPolicy"]["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert (spec["ingress"], spec["egress"]) == ([{"ports": [{"protocol": "TCP", "port": "http"}]}], [])


def test_a_pod_ends_after_its_server_has_and_the_server_after_it_is_asked_for_no_more() -> None:
    pod = resources()["Deployment"]["spec"]["template"]["spec"]
    variables = {item["name"]: int(item["value"]) for item in pod["containers"][0]["env"]}
    assert pod["terminationGracePeriodSeconds"] > sum(variables.values())


def test_weights_are_mounted_where_the_cache_is() -> None:
    pod = resources(weights=WEIGHTS)["Deployment"]["spec"]["template"]["spec"]
    assert pod["volumes"][1] == {"name": "hf-cache", "image": {"reference": "example/weights:latest"}}
    assert pod["containers"][0]["volumeMounts"][1] == {
        "name": "hf-cache",
        "mountPath": "/opt/hf-cache",
        "subPath": "opt/hf-cache",
        "readOnly": True,
    }


def test_what_is_asked_for_is_in_the_resources() -> None:
    made = resources(port=80, replicas=3, cpus=5, memory_mib=700)
    assert made["Service"]["spec"]["ports"][0]["port"] == 80
    autoscaler = made["HorizontalPodAutoscaler"]["spec"]
    assert (autoscaler["minReplicas"], autoscaler["maxReplicas"]) == (3, 12)
    (container,) = made["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"] == {"cpu": "5", "memory": "700Mi"}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["3d"], "`3d` can't name a Service of Kubernetes"),
        (["a" * 64], f"`{'a' * 64}` can't name a Service of Kubernetes"),
        (["a.b", "a-b"], "`a.b` and `a-b` have one name for Kubernetes, `a-b`"),
    ],
)
def test_a_name_that_a_cluster_does_not_take_is_refused(names: list[str], message: str) -> None:
    with pytest.raises(InputError) as caught:
        resources(*names)
    assert caught.value.message == message
