"""What `deploy/` holds for three NATS servers is valid, and names them all alike."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
BIN = Path(sys.executable).parent
SERVERS = ("nats", "nats-2", "nats-3")


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    env_file = tmp_path_factory.mktemp("env") / "env"
    subprocess.run([ROOT / "deploy/make-env.sh", env_file], check=True)
    files = [word for name in ("compose.yaml", "compose.cluster.yaml") for word in ("-f", str(ROOT / "deploy" / name))]
    command = [str(BIN / "docker-compose"), "--env-file", str(env_file), *files, "--profile", "cli", "config", "--format=json"]
    found = subprocess.run(command, capture_output=True, text=True, env={"PATH": os.environ["PATH"]}, check=True)
    parsed: dict[str, Any] = json.loads(found.stdout)["services"]
    return parsed


def test_composed_servers_differ_in_their_names_and_data_alone(services: dict[str, Any]) -> None:
    for name in SERVERS:
        service = services[name]
        assert service["environment"].pop("NATS_NAME") == name
        assert [one["source"] for one in service["volumes"] if one["target"] == "/data"] == [name]
        service["volumes"] = [one for one in service["volumes"] if one["target"] != "/data"]
    (published,) = services["nats"].pop("ports")
    assert published["host_ip"] == "127.0.0.1"
    assert services["nats"] == services["nats-2"] == services["nats-3"]
    assert services["nats"]["cap_drop"] == ["ALL"] and services["nats"]["read_only"] is True


def test_composed_services_know_all_servers_and_keep_every_stream_on_them(services: dict[str, Any]) -> None:
    for name in ("coordinator-1", "coordinator-2", "gateway", "cli"):
        env = services[name]["environment"]
        assert env["THALWEG_REPLICAS"] == "3"
        assert [one.rpartition("@")[2].removeprefix("nats://") for one in env["THALWEG_NATS_URL"].split(",")] == [
            f"{server}:4222" for server in SERVERS
        ]


def test_a_server_of_a_cluster_accepts_its_settings(services: dict[str, Any]) -> None:
    env = {"NATS_NAME": "nats", **services["nats"]["environment"]}
    subprocess.run([BIN / "nats-server", "-t", "-c", ROOT / "deploy/nats/cluster.conf"], env=env, check=True, capture_output=True)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl, which builds overlays")
@pytest.mark.parametrize("schemas", ["1.29", "1.33"])
def test_the_overlay_is_valid_and_has_three_servers(schemas: str) -> None:
    built = subprocess.run(["kubectl", "kustomize", ROOT / "deploy/kubernetes-cluster"], capture_output=True, text=True, check=True).stdout
    objects = list(yaml.safe_load_all(built))
    for one in objects:
        kubernetes_validate.validate(one, schemas, strict=True)
    by_name = {(one["kind"], one["metadata"]["name"]): one["spec"] for one in objects if "spec" in one}
    nats = by_name["StatefulSet", "nats"]
    (container,) = nats["template"]["spec"]["containers"]
    env = {one["name"]: one.get("value") for one in container["env"]}
    assert nats["replicas"] == env["NATS_ROUTES"].count("nats://") == 3
    assert [*env].index("NATS_ROUTE_PASSWORD") < [*env].index("NATS_ROUTES")  # else it is not put in there
    for name in ("thalweg-coordinator", "thalweg-gateway"):
        (container,) = by_name["Deployment", name]["template"]["spec"]["containers"]
        assert {"name": "THALWEG_REPLICAS", "value": "3"} in container["env"]
