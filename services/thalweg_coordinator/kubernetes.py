"""The kubernetes launcher: a StatefulSet for each vertex, found again by its labels."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thalweg.errors import RejectedError, UnreachableError
from thalweg.launching import usual_image
from thalweg.settings import Settings
from thalweg.wire.manifests import (
    CONTAINER,
    DEPLOYMENT,
    VERTEX,
    Manifest,
    Placed,
    Placing,
    labels_of,
    owned,
    owner_manifest,
    secret_manifest,
    vertex_manifest,
)
from thalweg_coordinator.restarts import Restarts, exit_code_of
from thalweg_coordinator.statuses import Usage

try:
    import httpx
except ImportError as error:
    raise RejectedError(
        "launcher kubernetes: the Python package httpx is not installed",
        code="launcher.unavailable",
        hint="pip install 'thalweg[kubernetes]'",
    ) from error

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
LOOK_S = 1.0  # between two looks at what runs
CALL_TIMEOUT_S = 10.0
PAGE = 500
_TAIL_LINES, _LINE_LENGTH = 5, 200
_APPLY = {"fieldManager": "thalweg", "force": "true"}


@dataclass(frozen=True, slots=True)
class Cluster:
    """How the API server is reached.

    Attributes:
        url: of it.
        account: folder with `token`, which is read again for every call because it changes, `ca.crt` and `namespace`.
    """

    url: str
    account: Path = ACCOUNT

    @classmethod
    def around(cls) -> Cluster:
        """The cluster that this process runs in. Raises RejectedError (`launcher.unavailable`) where it runs in none."""
        host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
        if host is None or not (ACCOUNT / "namespace").exists():
            hint = "it works for a coordinator in a pod with a service account: see docs/kubernetes.md"
            raise RejectedError("launcher kubernetes: this coordinator does not run in a cluster", code="launcher.unavailable", hint=hint)
        return cls(f"https://{f'[{host}]' if ':' in host else host}:{port}")


class KubernetesLauncher:
    """Vertices of one workspace in the namespace of the coordinator. See `launching.Launcher`.

    Pods are started again by Kubernetes, and heed the spec by themselves.

    Args:
        settings: workspace, image and limits.
        cluster: where.
    """

    is_kept = True

    def __init__(self, settings: Settings, cluster: Cluster) -> None:
        self._workspace, self._account = settings.workspace, cluster.account
        verify: Any = httpx.create_ssl_context(verify=str(cluster.account / "ca.crt")) if cluster.url.startswith("https") else True
        self._http = httpx.Client(base_url=cluster.url, verify=verify, timeout=CALL_TIMEOUT_S, trust_env=False)
        namespace = (cluster.account / "namespace").read_text().strip()
        self._placing = Placing(namespace, settings.vertex_image or usual_image(), settings.vertex_memory_bytes, settings.vertex_cpus)
        self._seen: set[tuple[str, str]] = set()
        self._ending: set[tuple[str, str]] = set()  # those that were deleted, and are still there
        self._restarts: dict[tuple[str, str], Restarts] = {}
        self._looked_at = float("-inf")

    def observe(self) -> None:
        """Lists the StatefulSets and pods of the workspace, at most once a second; what is being deleted is there until its pod is gone."""
        if time.monotonic() - self._looked_at < LOOK_S:
            return
        self._seen = {_key(one) for one in self._list("apps/v1", "statefulsets")}
        self._restarts = {_key(one): found for one in self._list("v1", "pods") if (found := _restarts(one)) is not None}
        self._ending &= self._seen
        self._looked_at = time.monotonic()

    def start(
        self,
        deployment: str,
        vertex: str,
        generation: int = 1,
        *,
        drains: bool = False,
        secrets: Mapping[str, str] | None = None,
        with_store: bool = True,
        keeps_files: bool = True,
    ) -> None:
        """Applies the objects of a vertex; what is there already stays or is changed to it.

        Raises:
            RejectedError: `launcher.refused`: the server does not accept them, or this account may not.
            UnreachableError: `launcher.unreachable`.
        """
        placed = Placed(self._workspace, deployment, vertex, with_store, keeps_files, tuple(sorted(secrets or {})))
        owner = self._apply(owner_manifest(self._workspace, deployment, self._placing), "v1", "configmaps")
        if secrets:
            self._apply(owned(secret_manifest(placed, self._placing, secrets), owner), "v1", "secrets")
        self._apply(owned(vertex_manifest(placed, self._placing), owner), "apps/v1", "statefulsets")
        self._seen.add((deployment, vertex))

    def exit_code(self, deployment: str, vertex: str) -> int | None:
        """None: whatever its pod does, Kubernetes sees to it."""
        return None

    def restarts(self, deployment: str, vertex: str) -> Restarts | None:
        """What its pod says."""
        return self._restarts.get((deployment, vertex))

    def knows(self, deployment: str, vertex: str) -> bool:
        """Whether there is a StatefulSet of it."""
        return (deployment, vertex) in self._seen

    def generation(self, deployment: str, vertex: str) -> int:
        """Not known: the pod heeds it."""
        return 0

    def drains(self, deployment: str, vertex: str) -> bool:
        """Not known: the pod heeds it."""
        return False

    def signal(self, deployment: str, vertex: str, number: int) -> int | None:
        """None: nobody is signalled."""
        return None

    def usage(self, deployment: str) -> dict[str, Usage]:
        """Not known here; `kubectl top` tells."""
        return {}

    def forget(self, deployment: str, vertex: str) -> None:
        """Deletes its objects; it is known until its pod has drained and is gone."""
        if (deployment, vertex) in self._ending:
            return
        self._ending.add((deployment, vertex))
        placed = Placed(self._workspace, deployment, vertex)
        self._delete(self._path("apps/v1", "statefulsets", placed.name))
        self._delete(self._path("v1", "secrets", placed.name))

    def vertices(self, deployment: str) -> list[str]:
        """Those with a StatefulSet."""
        return sorted(vertex for name, vertex in tuple(self._seen) if name == deployment)

    def stop(self, deployment: str) -> None:
        """Deletes what owns the objects of a deployment; Kubernetes then stops their pods. Does not wait for that."""
        self._delete(self._path("v1", "configmaps", owner_manifest(self._workspace, deployment, self._placing)["metadata"]["name"]))
        for kind, version in (("statefulsets", "apps/v1"), ("secrets", "v1")):  # one without owner: it was applied by hand
            self._delete(self._path(version, kind), {"labelSelector": _selector(labels_of(self._workspace, deployment))})
        for key in tuple(self._seen):  # other threads start vertices of others meanwhile
            if key[0] == deployment:
                self._seen.discard(key)

    def deployments(self) -> list[str]:
        """Those with StatefulSets."""
        return sorted({name for name, _ in tuple(self._seen)})

    def log_tail(self, deployment: str, vertex: str) -> list[str]:
        """What Kubernetes has of its pod's output."""
        path = self._path("v1", "pods", f"{Placed(self._workspace, deployment, vertex).name}-0") + "/log"
        try:
            with _translated():
                answer = self._http.get(path, params={"tailLines": str(_TAIL_LINES)}, headers=self._headers())
        except UnreachableError:
            return []
        lines = answer.text.splitlines() if answer.is_success else []
        return [line[:_LINE_LENGTH] for line in lines if line.strip()]

    def clear(self, deployment: str, vertex: str | None = None) -> None:
        """Deletes volume claims."""
        labels = labels_of(self._workspace, deployment) if vertex is None else Placed(self._workspace, deployment, vertex).labels
        self._delete(self._path("v1", "persistentvolumeclaims"), {"labelSelector": _selector(labels)})

    def close(self) -> None:
        """Closes connections."""
        self._http.close()

    def _list(self, version: str, kind: str) -> list[Manifest]:
        found, query = list[Manifest](), {"labelSelector": _selector(labels_of(self._workspace)), "limit": str(PAGE)}
        while True:
            page = self._call("GET", self._path(version, kind), query)
            found += page["items"]
            if not (following := page["metadata"].get("continue")):
                return found
            query["continue"] = following

    def _apply(self, manifest: Manifest, version: str, kind: str) -> Manifest:
        path = self._path(version, kind, manifest["metadata"]["name"])
        return self._call("PATCH", path, _APPLY, json.dumps(manifest), {"Content-Type": "application/apply-patch+yaml"})

    def _delete(self, path: str, query: Mapping[str, str] | None = None) -> None:
        # In the foreground, so that it is listed until its pods are gone.
        body = json.dumps({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Foreground"})
        self._call("DELETE", path, query, body, {"Content-Type": "application/json"}, may_be_gone=True)

    def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: str | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        may_be_gone: bool = False,
    ) -> Manifest:
        with _translated():
            answer = self._http.request(method, path, params=query, content=body, headers={**self._headers(), **(headers or {})})
        if answer.is_success:
            found: Manifest = answer.json()
            return found
        if answer.status_code == 404 and may_be_gone:
            return {}
        raise _refusal(answer)

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {(self._account / 'token').read_text().strip()}", "Accept": "application/json"}

    def _path(self, version: str, kind: str, name: str = "") -> str:
        group = "api" if version == "v1" else "apis"
        return f"/{group}/{version}/namespaces/{self._placing.namespace}/{kind}" + (f"/{name}" if name else "")


def _key(found: Manifest) -> tuple[str, str]:
    notes = found["metadata"]["annotations"]
    return notes[DEPLOYMENT], notes[VERTEX]


def _restarts(pod: Manifest) -> Restarts | None:
    """Of its container, beside which a cluster may have put others; None before it has one."""
    for one in pod.get("status", {}).get("containerStatuses", []):
        if one["name"] != CONTAINER:
            continue
        ended = one.get("lastState", {}).get("terminated") or one.get("state", {}).get("terminated")
        return Restarts(one["restartCount"], exit_code_of(ended["exitCode"]) if ended else None)
    return None


def _selector(labels: Mapping[str, str]) -> str:
    return ",".join(f"{name}={value}" for name, value in labels.items())


def _refusal(answer: httpx.Response) -> RejectedError | UnreachableError:
    try:
        said = str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        said = answer.reason_phrase
    if answer.status_code >= 500 or answer.status_code in (409, 429):
        return UnreachableError(f"Kubernetes: {said}", code="launcher.unreachable")
    hint = "see the role in deploy/kubernetes/coordinator.yaml" if answer.status_code in (401, 403) else None
    return RejectedError(f"Kubernetes: {said}", code="launcher.refused", hint=hint)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (httpx.HTTPError, OSError) as error:
        raise UnreachableError(f"the Kubernetes API does not answer: {error}", code="launcher.unreachable") from error
