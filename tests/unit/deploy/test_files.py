"""What `deploy/` holds is valid: the image's recipe, the composed stack, the servers' settings."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
BIN = Path(sys.executable).parent


@pytest.fixture
def env_file(tmp_path: Path) -> Path:
    subprocess.run([ROOT / "deploy/make-env.sh", tmp_path / "env"], check=True)
    return tmp_path / "env"


def composed(env_file: Path) -> dict[str, Any]:
    options: list[str | Path] = ["--env-file", env_file, "-f", ROOT / "deploy/compose.yaml", "--profile", "cli"]
    command: list[str | Path] = [BIN / "docker-compose", *options, "config", "--format=json"]
    found = subprocess.run(command, capture_output=True, text=True, env={"PATH": os.environ["PATH"]}, check=True)
    services: dict[str, Any] = json.loads(found.stdout)["services"]
    return services


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    found = subprocess.run([BIN / "hadolint", ROOT / "deploy/Dockerfile"], capture_output=True, text=True)
    assert (found.returncode, found.stdout) == (0, "")


def test_the_composed_stack_is_valid_and_every_service_is_bounded_and_without_rights(env_file: Path) -> None:
    services = composed(env_file)
    assert {"nats", "s3", "coordinator-1", "coordinator-2", "gateway"} <= services.keys()
    for name, service in services.items():
        assert service["cap_drop"] == ["ALL"] and service["read_only"] is True, name
        assert name == "cli" or service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory"}, name
        assert all(port["host_ip"] == "127.0.0.1" for port in service.get("ports", [])), name
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert services["gateway"]["image"] == f"thalweg:{version}"


def test_the_stack_refuses_to_start_without_passwords() -> None:
    command: list[str | Path] = [BIN / "docker-compose", "--env-file", os.devnull, "-f", ROOT / "deploy/compose.yaml", "config", "-q"]
    found = subprocess.run(command, capture_output=True, text=True, env={"PATH": os.environ["PATH"]})
    assert found.returncode != 0
    assert "run deploy/make-env.sh" in found.stderr


def test_passwords_are_made_anew_are_for_their_owner_alone_and_are_never_replaced(env_file: Path, tmp_path: Path) -> None:
    subprocess.run([ROOT / "deploy/make-env.sh", tmp_path / "other"], check=True)
    assert env_file.stat().st_mode & 0o777 == 0o600
    assert not {*env_file.read_text().splitlines()[1:]} & {*(tmp_path / "other").read_text().splitlines()[1:]}
    again = subprocess.run([ROOT / "deploy/make-env.sh", env_file], capture_output=True, text=True)
    assert (again.returncode, again.stderr[:7]) == (3, "error: ")


def test_the_nats_server_accepts_its_settings(env_file: Path) -> None:
    env = {**dict(line.split("=", 1) for line in env_file.read_text().splitlines()), "NATS_NAME": "nats"}
    subprocess.run([BIN / "nats-server", "-t", "-c", ROOT / "deploy/nats/nats.conf"], env=env, check=True, capture_output=True)


def test_what_is_declared_of_the_nats_server_is_what_its_settings_say(env_file: Path) -> None:
    (said,) = re.findall(r"sync_interval: (\w+)", (ROOT / "deploy/nats/nats.conf").read_text())
    for name, service in composed(env_file).items():
        assert name in ("nats", "s3") or service["environment"]["THALWEG_NATS_SYNC"] == said
    coordinator = yaml.safe_load_all((ROOT / "deploy/kubernetes/coordinator.yaml").read_text())
    (container,) = (one["spec"]["template"]["spec"]["containers"][0] for one in coordinator if one["kind"] == "Deployment")
    assert {"name": "THALWEG_NATS_SYNC", "value": said} in container["env"]


def test_the_health_check_goes_by_the_age_of_the_file(tmp_path: Path) -> None:
    alive = tmp_path / "alive"

    def is_healthy() -> bool:
        env = {"PATH": os.environ["PATH"], "THALWEG_ALIVE_FILE": str(alive)}
        return subprocess.run([ROOT / "deploy/healthy.sh", "10"], env=env).returncode == 0

    assert not is_healthy()
    alive.touch()
    assert is_healthy()
    os.utime(alive, (0, 0))
    assert not is_healthy()
    alive.write_text("ended")
    os.utime(alive, (0, 0))
    assert is_healthy()
