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


def test_every_container_is_bounded_watched_and_without_rights() -> None:
    placed = Placed("default", "flow", "a", slots=("token",))
    workloads = [one for one in documents() if one["kind"] in ("Deployment", "StatefulSet")] + [vertex_manifest(placed, PLACING)]
    assert len(workloads) == 4
    for one in workloads:
        pod = one["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]} and container["securityContext"]["readOnlyRootFilesystem"]
        assert container["resources"]["limits"]["memory"] and container["resources"]["requests"]
        assert {"startupProbe", "readinessProbe", "livenessProbe"} <= container.keys()


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
