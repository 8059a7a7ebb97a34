"""Kubernetes objects of vertices, by pure functions: the launcher applies what `thalweg manifests` prints."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from thalweg.wire.spec import DeploymentSpec, VertexSpec

Manifest = dict[str, Any]
NAME, CONTAINER, SECRETS = "thalweg-vertex", "vertex", "/run/secrets/thalweg"
NATS_SECRET, STORE_SECRET = "thalweg-nats", "thalweg-store"  # with THALWEG_NATS_URL; with THALWEG_S3_…
WORKSPACE_ID, DEPLOYMENT_ID, VERTEX_ID = "thalweg/workspace-id", "thalweg/deployment-id", "thalweg/vertex-id"
DEPLOYMENT, VERTEX = "thalweg/deployment", "thalweg/vertex"
USER = 10001
STARTUP_S, GRACE_S = 120, 60
_SLUG = 18


@dataclass(frozen=True, slots=True)
class Placing:
    """Where vertices run, and what they may use.

    Attributes:
        namespace, image: of Kubernetes; of containers.
        memory_bytes, cpus: at most; 0 for no limit.
        storage_bytes: of the volume of a vertex that generates files.
    """

    namespace: str
    image: str
    memory_bytes: int = 1 << 30
    cpus: float = 1.0
    storage_bytes: int = 10 << 30


@dataclass(frozen=True, slots=True)
class Placed:
    """A vertex as far as Kubernetes has to know it.

    Attributes:
        needs_store: it is given the keys of the file store.
        keeps_files: its folder must outlive its pod.
        slots: of its secrets.
    """

    workspace: str
    deployment: str
    vertex: str
    needs_store: bool = True
    keeps_files: bool = False
    slots: tuple[str, ...] = ()

    @classmethod
    def of(cls, spec: DeploymentSpec, vertex: VertexSpec) -> Placed:
        """A vertex of a deployment."""
        return cls(spec.workspace, spec.name, vertex.name, vertex.needs_store, bool(vertex.generated), tuple(sorted(vertex.secrets)))

    @property
    def name(self) -> str:
        """Of its objects: short enough for what Kubernetes appends, and of this vertex alone."""
        return f"tw-{_slug(self.deployment)}-{_slug(self.vertex)}-{_id(self.workspace, self.deployment, self.vertex)}"

    @property
    def labels(self) -> dict[str, str]:
        """What it is found by. Names of Thalweg need not be values of labels, so they are hashed here, and whole in annotations."""
        ids = {VERTEX_ID: _id(self.workspace, self.deployment, self.vertex)}
        return {"app.kubernetes.io/name": NAME, **labels_of(self.workspace, self.deployment), **ids}

    @property
    def annotations(self) -> dict[str, str]:
        """Its names."""
        return {"thalweg/workspace": self.workspace, DEPLOYMENT: self.deployment, VERTEX: self.vertex}


def labels_of(workspace: str, deployment: str | None = None) -> dict[str, str]:
    """What the objects of a workspace, or of one of its deployments, have in common."""
    found = {"app.kubernetes.io/managed-by": "thalweg", WORKSPACE_ID: _id(workspace)}
    return found | ({DEPLOYMENT_ID: _id(workspace, deployment)} if deployment is not None else {})


def owner_manifest(workspace: str, deployment: str, placing: Placing) -> Manifest:
    """The object that owns all others of a deployment: when it goes, Kubernetes removes them."""
    name = f"tw-{_slug(deployment)}-{_id(workspace, deployment)}"
    annotations = {"thalweg/workspace": workspace, DEPLOYMENT: deployment}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": _metadata(name, placing, labels_of(workspace, deployment), annotations)}


def secret_manifest(placed: Placed, placing: Placing, values: Mapping[str, str]) -> Manifest:
    """The secrets of a vertex, a key for each slot."""
    data = {slot: base64.b64encode(value.encode()).decode() for slot, value in values.items()}
    metadata = _metadata(placed.name, placing, placed.labels, placed.annotations)
    return {"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": metadata, "data": data}


def vertex_manifest(placed: Placed, placing: Placing) -> Manifest:
    """The StatefulSet of a vertex: there are never two pods of it on purpose, and its volume stays with it."""
    metadata = _metadata(placed.name, placing, placed.labels, placed.annotations)
    spec: Manifest = {
        "replicas": 1,
        "serviceName": placed.name,
        "selector": {"matchLabels": placed.labels},
        "template": {"metadata": {"labels": placed.labels, "annotations": placed.annotations}, "spec": _pod(placed, placing)},
    }
    if placed.keeps_files:
        spec["volumeClaimTemplates"] = [_claim(placed, placing)]
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": metadata, "spec": spec}


def owned(manifest: Manifest, owner: Manifest) -> Manifest:
    """A manifest that goes when its owner, as the server has stored it, goes."""
    reference = {"apiVersion": owner["apiVersion"], "kind": owner["kind"]} | {key: owner["metadata"][key] for key in ("name", "uid")}
    return {**manifest, "metadata": {**manifest["metadata"], "ownerReferences": [reference]}}


def _pod(placed: Placed, placing: Placing) -> Manifest:
    volumes: list[Manifest] = [{"name": "tmp", "emptyDir": {}}]
    if not placed.keeps_files:
        volumes.append({"name": "data", "emptyDir": {}})
    if placed.slots:
        volumes.append({"name": "secrets", "secret": {"secretName": placed.name, "defaultMode": 0o440}})
    return {
        "terminationGracePeriodSeconds": GRACE_S,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(placed, placing)],
        "volumes": volumes,
    }


def _container(placed: Placed, placing: Placing) -> Manifest:
    arguments = ["vertex", "--deployment", placed.deployment, "--vertex", placed.vertex, "--kept"]
    mounts: list[Manifest] = [{"name": "tmp", "mountPath": "/tmp"}, {"name": "data", "mountPath": "/data"}]
    if placed.slots:
        mounts.append({"name": "secrets", "mountPath": SECRETS, "readOnly": True})
    sources = [NATS_SECRET, *([STORE_SECRET] if placed.needs_store else [])]
    return {
        "name": CONTAINER,
        "image": placing.image,
        "args": [*arguments, "--secrets", SECRETS] if placed.slots else arguments,
        "env": [{"name": "THALWEG_WORKSPACE", "value": placed.workspace}],
        "envFrom": [{"secretRef": {"name": name}} for name in sources],
        "resources": _resources(placing),
        "securityContext": {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}},
        # Until its deployment is there it waits, alive. A component that computes for minutes without a pause is not dead.
        "startupProbe": _probe(20, every_s=5, failures=STARTUP_S // 5),
        "readinessProbe": _probe(20, every_s=10, failures=2),
        "livenessProbe": _probe(300, every_s=30, failures=2),
        "volumeMounts": mounts,
    }


def _probe(max_age_s: int, *, every_s: int, failures: int) -> Manifest:
    return {
        "exec": {"command": ["thalweg-healthy", str(max_age_s)]},
        "periodSeconds": every_s,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }


def _resources(placing: Placing) -> Manifest:
    limits = {"memory": str(placing.memory_bytes)} if placing.memory_bytes else {}
    limits |= {"cpu": f"{round(placing.cpus * 1000)}m"} if placing.cpus else {}
    return {"requests": {"cpu": "50m", "memory": str(128 << 20)}, "limits": limits}


def _claim(placed: Placed, placing: Placing) -> Manifest:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": str(placing.storage_bytes)}}}
    return {"metadata": {"name": "data", "labels": placed.labels}, "spec": spec}


def _metadata(name: str, placing: Placing, labels: dict[str, str], annotations: dict[str, str]) -> Manifest:
    return {"name": name, "namespace": placing.namespace, "labels": labels, "annotations": annotations}


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower())[:_SLUG].strip("-") or "x"


def _id(*names: str) -> str:
    return hashlib.sha256("/".join(names).encode()).hexdigest()[:8]
