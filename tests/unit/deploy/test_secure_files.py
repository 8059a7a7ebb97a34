"""What `deploy/` holds for TLS and credentials is valid, and gives no service keys of another."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from thalweg.access.keys import KeyFolder

ROOT = Path(__file__).resolve().parents[3]
BIN = Path(sys.executable).parent
KEYS = "/etc/thalweg/keys"


@pytest.fixture(scope="module")
def env_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("env") / "env"
    subprocess.run([ROOT / "deploy/make-env.sh", made], check=True)
    return made


@pytest.fixture(scope="module", params=[(), ("compose.docker.yaml",)], ids=["alone", "with-docker"])
def services(request: pytest.FixtureRequest, env_file: Path) -> dict[str, Any]:
    files = [word for name in ("compose.yaml", "compose.secure.yaml", *request.param) for word in ("-f", str(ROOT / "deploy" / name))]
    command = [str(BIN / "docker-compose"), "--env-file", str(env_file), *files, "--profile", "cli", "config", "--format=json"]
    env = {"PATH": os.environ["PATH"], "DOCKER_GID": "999"}
    found = subprocess.run(command, capture_output=True, text=True, env=env, check=True)
    parsed: dict[str, Any] = json.loads(found.stdout)["services"]
    return parsed


def test_the_service_that_makes_keys_is_bounded_without_rights_and_without_a_network(services: dict[str, Any]) -> None:
    keys = services["keys"]
    assert keys["cap_drop"] == ["ALL"] and keys["read_only"] is True and keys["network_mode"] == "none"
    assert keys["deploy"]["resources"]["limits"].keys() == {"cpus", "memory"}
    assert keys["restart"] == "no" and keys["image"] == services["gateway"]["image"]


def test_all_that_have_keys_wait_for_them_and_have_their_own_alone_to_read(services: dict[str, Any]) -> None:
    volumes = {"nats": "nats", "coordinator-1": "coordinator", "coordinator-2": "coordinator", "gateway": "gateway", "cli": "client"}
    assert services.keys() == {*volumes, "keys", "s3"}
    for name, service in services.items():
        if name != "keys":
            given = [(one["source"], one["target"], one["read_only"]) for one in service["volumes"] if "keys" in one["source"]]
            assert given == ([(f"keys-{volumes[name]}", KEYS, True)] if name in volumes else []), name
            assert name not in volumes or service["depends_on"]["keys"]["condition"] == "service_completed_successfully", name


def test_services_speak_tls_by_credentials_and_have_no_password(services: dict[str, Any], env_file: Path) -> None:
    password = dict(line.split("=", 1) for line in env_file.read_text().splitlines())["NATS_PASSWORD"]
    roles = {"coordinator-1": "coordinator", "coordinator-2": "coordinator", "gateway": "gateway", "cli": "client"}
    for name, role in roles.items():
        env = services[name]["environment"]
        assert env["THALWEG_NATS_URL"] == "tls://nats:4222" and env["THALWEG_NATS_CA"] == f"{KEYS}/ca.pem"
        assert env["THALWEG_NATS_CREDS"] == f"{KEYS}/{role}.creds"
        assert ("THALWEG_NATS_ISSUER" in env) is (role == "coordinator")
        assert password not in env.values()


def test_the_nats_server_accepts_its_settings_with_keys(env_file: Path, tmp_path: Path) -> None:
    for name in ("nats.conf", "secure.conf"):
        shutil.copy(ROOT / "deploy/nats" / name, tmp_path)
    KeyFolder(tmp_path / "keys").make(["default"], ["nats"])
    env = {**dict(line.split("=", 1) for line in env_file.read_text().splitlines()), "NATS_NAME": "nats"}
    subprocess.run([BIN / "nats-server", "-t", "-c", tmp_path / "secure.conf"], env=env, check=True, capture_output=True)
