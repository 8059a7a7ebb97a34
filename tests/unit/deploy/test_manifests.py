"""Kubernetes objects are valid by Kubernetes' own schemas, and hold no more rights than they need."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from thalweg.wire.manifests import Placed, Placing, owner_manifest, secret_manifest, vertex_manifest

FOLDER = Path(__file__).resolve().parents[3] / "deploy/kubernetes"
PLACING = Placing("flows", "thalweg:1")
VERSIONS = ("1.29", "1.33")


def documents() -> list[dict[str, Any]]:
    return [one for path in sorted(FOLDER.glob("*.yaml")) if path.stem != "kustomization" for one in yaml.safe_load_all(path.read_text())]


@pytest.mark.parametrize("schemas", VERSIONS)
def test_the_base_is_valid(schemas: str) -> None:
    for one in documents():
        kubernetes_validate.validate(one, schemas, strict=True)


def test_the_base_names_what_is_there() -> None:
    resources = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"]
    assert sorted({path.name for path in FOLDER.glob("*.yaml")} - {"kustomization.yaml"} | {"../nats"}) == sorted(resources)


def test_the_base_has_the_images_of_this_version() -> None:
    image = f"thalweg:{version('thalweg')}"
    (named,) = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["images"]
    (coordinator,) = (one for one in documents() if one["kind"] == "Deployment" and one["metadata"]["name"] == "thalweg-coordinator")
    env = {one["name"]: one["value"] for one in coordinator["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert image == f"{named['name']}:{named['newTag']}" == env["THALWEG_VERTEX_IMAGE"]


def pods() -> dict[str, dict[str, Any]]:
    """Templates of all pods by name, those of vertices among them."""
    placed = Placed("default", "flow", "a", slots=("token",)), Placed("default", "flow", "b", keeps_files=True)
    workloads = [one for one in documents() if one["kind"] in ("Deployment", "StatefulSet")] + [
        vertex_manifest(one, PLACING) for one in placed
    ]
    return {one["metadata"]["name"]: one["spec"]["template"] for one in workloads}


def test_every_container_is_bounded_and_watched() -> None:
    assert len(pods()) == 5
    for name, template in pods().items():
        (container,) = template["spec"]["containers"]
        assert container["resources"]["limits"]["memory"] and container["resources"]["requests"].keys() == {"cpu", "memory"}, name
        assert {"startupProbe", "readinessProbe", "livenessProbe"} <= container.keys(), name


def restricted_faults(pod: dict[str, Any]) -> list[str]:
    """What Kubernetes' Pod Security Standard «restricted» forbids in a pod; it demands that more is said than left out.

    Source: kubernetes.io/docs/concepts/security/pod-security-standards
    """
    own, faults = pod.get("securityContext", {}), [f"{key}" for key in ("hostNetwork", "hostPID", "hostIPC") if pod.get(key)]
    kinds = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
    faults += [f"volume {one['name']}" for one in pod.get("volumes", []) if not one.keys() - {"name"} <= kinds]
    faults += ["sysctls"] if own.get("sysctls") else []
    for container in [*pod["containers"], *pod.get("initContainers", []), *pod.get("ephemeralContainers", [])]:
        context = container.get("securityContext", {})
        both = own | context
        capabilities = context.get("capabilities", {})
        checks = {
            "allowPrivilegeEscalation": context.get("allowPrivilegeEscalation") is False,
            "runAsNonRoot": both.get("runAsNonRoot") is True,
            "runAsUser": both.get("runAsUser") != 0,
            "seccompProfile": both.get("seccompProfile", {}).get("type") in ("RuntimeDefault", "Localhost"),
            "capabilities": "ALL" in capabilities.get("drop", []) and {*capabilities.get("add", [])} <= {"NET_BIND_SERVICE"},
            "privileged": not context.get("privileged"),
            "procMount": context.get("procMount", "Default") == "Default",
            "seLinuxOptions": not {"user", "role"} & both.get("seLinuxOptions", {}).keys(),
            "hostPort": not any(one.get("hostPort") for one in container.get("ports", [])),
        }
        faults += [f"{container['name']}: {name}" for name, is_kept in checks.items() if not is_kept]
    return faults


def test_every_pod_is_restricted_as_the_namespace_demands() -> None:
    (namespace,) = (one for one in documents() if one["kind"] == "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for name, template in pods().items():
        assert restricted_faults(template["spec"]) == [], name
        assert template["spec"]["containers"][0]["securityContext"]["readOnlyRootFilesystem"], name  # which «restricted» does not ask for
        assert template["spec"].get("automountServiceAccountToken") is False or name == "thalweg-coordinator"


def test_the_check_for_restricted_pods_finds_what_is_not() -> None:
    bare = {"containers": [{"name": "a", "ports": [{"hostPort": 80}]}], "hostNetwork": True, "volumes": [{"name": "x", "hostPath": {}}]}
    told = "hostNetwork, volume x, a: allowPrivilegeEscalation, a: runAsNonRoot, a: seccompProfile, a: capabilities, a: hostPort"
    assert restricted_faults(bare) == told.split(", ")


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    """Whether pods with these labels are meant."""
    wanted = selector.get("matchExpressions", [])
    assert all(one["operator"] in ("In", "Exists") for one in wanted)
    named = all(one["key"] in labels and labels[one["key"]] in one.get("values", [labels[one["key"]]]) for one in wanted)
    return named and selector.get("matchLabels", {}).items() <= labels.items()


def test_who_may_connect_to_whom() -> None:
    templates = pods()
    policies = [one["spec"] for one in documents() if one["kind"] == "NetworkPolicy"]
    for name, template in templates.items():
        assert any(selects(one["podSelector"], template["metadata"]["labels"]) and "Ingress" in one["policyTypes"] for one in policies), (
            name
        )

    def may(source: dict[str, str], target: str, port: int | str) -> bool:
        rules = [
            rule
            for one in policies
            if selects(one["podSelector"], templates[target]["metadata"]["labels"])
            for rule in one.get("ingress", [])
        ]
        return any(
            port in [one["port"] for one in rule["ports"]]
            and ("from" not in rule or any(selects(one["podSelector"], source) for one in rule["from"]))
            for rule in rules
        )

    vertex, *_ = (name for name in templates if name.startswith("tw-"))
    stranger, client = {"app.kubernetes.io/name": "stranger"}, {"thalweg/nats-client": "yes"}
    insiders = [one["metadata"]["labels"] for name, one in templates.items() if name != "nats"]
    assert all(may(one, "nats", 4222) and not may(one, "nats", 6222) for one in [*insiders, client])
    assert not may(stranger, "nats", 4222) and not may(client, "nats", 8222)
    assert may(stranger, "thalweg-gateway", "http") and may(stranger, "thalweg-coordinator", "metrics")
    assert not any(may(one, vertex, port) for one in [*insiders, stranger, client] for port in (4222, 8080, "http"))


def test_what_policies_services_and_budgets_select_is_there_with_its_ports() -> None:
    templates, found = pods(), documents()
    named = {one["name"] for template in templates.values() for one in template["spec"]["containers"][0].get("ports", [])}
    selectors = [{"matchLabels": one["spec"]["selector"]} for one in found if one["kind"] == "Service"]
    budgets = [one["spec"] for one in found if one["kind"] == "PodDisruptionBudget"]
    selectors += [one["selector"] for one in budgets]
    assert [any(selects(one, template["metadata"]["labels"]) for template in templates.values()) for one in selectors] == [True] * 4
    assert all(one["maxUnavailable"] == 1 for one in budgets)
    ports = [
        port["port"] for one in found if one["kind"] == "NetworkPolicy" for rule in one["spec"].get("ingress", []) for port in rule["ports"]
    ]
    assert {one for one in ports if isinstance(one, str)} <= named
    targets = [port["targetPort"] for one in found if one["kind"] == "Service" for port in one["spec"]["ports"] if "targetPort" in port]
    assert {*targets} <= named


def test_a_coordinator_may_do_what_the_launcher_does_and_no_more() -> None:
    (role,) = (one for one in documents() if one["kind"] == "Role")
    rules = {resource: {*one["verbs"]} for one in role["rules"] for resource in one["resources"]}
    assert not {"get", "list", "watch"} & rules["secrets"]
    assert rules.keys() == {"statefulsets", "secrets", "configmaps", "persistentvolumeclaims", "pods", "pods/log"}
    assert rules["pods"] == {"list"} and rules["pods/log"] == {"get"}
    assert not any("*" in verbs for verbs in rules.values())


@pytest.mark.parametrize("schemas", VERSIONS)
def test_objects_of_vertices_are_valid_whatever_their_names(schemas: str) -> None:
    for deployment, vertex in (("flow", "a~2"), ("A_-", "9--"), ("x" * 63, "-".join("abcdefgh") + "_")):
        placed = Placed("default", deployment, vertex, keeps_files=True, slots=("token",))
        for one in (
            owner_manifest("default", deployment, PLACING),
            secret_manifest(placed, PLACING, {"token": "x"}),
            vertex_manifest(placed, PLACING),
        ):
            kubernetes_validate.validate(one, schemas, strict=True)


def test_a_vertex_without_files_is_not_given_the_keys_of_the_file_store() -> None:
    for uses_store, expected in ((True, ["thalweg-nats", "thalweg-store"]), (False, ["thalweg-nats"])):
        (container,) = vertex_manifest(Placed("default", "flow", "a", uses_store), PLACING)["spec"]["template"]["spec"]["containers"]
        assert [one["secretRef"]["name"] for one in container["envFrom"]] == expected
