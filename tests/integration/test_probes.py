"""`thalweg validate --connect`: what vertices would connect to is opened first, with the secrets that they would have."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from thalweg.api.probes import Probing
from thalweg.client.probes import run_probes
from thalweg.sdk.catalog import Catalog
from thalweg.settings import Settings
from thalweg_vertex.probe import probe

PARTS = Path(__file__).parent / "probing.py"


@pytest.fixture
def port() -> Iterator[int]:
    """Somebody listens there."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def nobodys_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def probing(component: str, **params: Any) -> Probing:
    release = Catalog(paths=(PARTS,)).find(component, "1.0.0")
    assert release is not None and release.manifest.has_probe
    return Probing(
        vertex="v", component=f"{component}@1.0.0", code=release.manifest.code, digest=release.manifest.digest, params=dict(params)
    )


def validate(folder: Path, env: dict[str, str], port: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    vertices = {
        "knock": {"component": "knock-source@1.0.0", "params": {"port": port}},
        "door": {"component": "key-sink@1.0.0", "secrets": {"key": "office"}},
        "plain": {"component": "jsonl-file@1.0.0"},
    }
    (folder / "p.yaml").write_text(
        yaml.safe_dump({"backend": "b", "vertices": vertices, "edges": ["knock.out -> door.in", "knock.out -> plain.in"]})
    )
    words = [sys.executable, "-m", "thalweg_cli", "validate", "p.yaml", "--components", str(PARTS), "--connect", *arguments]
    return subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, timeout=60, check=False)


def without_server(**variables: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("THALWEG_")} | variables


def test_connections_that_open_are_named(tmp_path: Path, port: int) -> None:
    done = validate(tmp_path, without_server(THALWEG_SECRET_OFFICE="the-right-one"), port)
    assert done.returncode == 0, done.stderr
    assert "connections opened: knock, door" in done.stdout


def test_each_connection_that_fails_is_named_with_its_target_and_no_secret(tmp_path: Path) -> None:
    free = nobodys_port()
    done = validate(tmp_path, without_server(THALWEG_SECRET_OFFICE="a-wrong-one"), free, "--json")
    assert done.returncode == 6, done.stderr
    found = {one["vertex"]: one for one in json.loads(done.stdout)["connections"]}
    assert (found["knock"]["outcome"], found["knock"]["target"]) == ("unreachable", f"tcp://127.0.0.1:{free}")
    assert (found["door"]["outcome"], found["door"]["target"], found["door"]["hint"]) == ("refused", "door://office", "another key")
    assert f"vertex knock (knock-source@1.0.0) cannot be reached: tcp://127.0.0.1:{free}: " in done.stderr
    assert "vertex door (key-sink@1.0.0) refuses: door://office: " in done.stderr
    assert "a-wrong-one" not in done.stdout + done.stderr


def test_a_coordinator_tries_them_with_the_secrets_of_the_workspace(tmp_path: Path, port: int, environment: dict[str, str]) -> None:
    words = [sys.executable, "-m", "thalweg_cli", "secret", "set", "office"]
    subprocess.run(words, env=environment, input="a-wrong-one", text=True, check=True, timeout=60)
    done = validate(tmp_path, environment, port)
    assert done.returncode == 3
    assert "vertex door (key-sink@1.0.0) refuses" in done.stderr and "knock (" not in done.stderr
    assert "a-wrong-one" not in done.stdout + done.stderr


def test_a_probe_that_hangs_is_ended(tmp_path: Path) -> None:
    (found,) = run_probes([(probing("deaf-sink"), {})], {}, timeout_s=3)
    assert (found.outcome, found.code) == ("unreachable", "probe.timed_out")


def test_a_probe_has_what_the_vertex_would_have(port: int) -> None:
    assert probe(Settings(), probing("knock-source", port=port), {}).outcome == "opened"
    without = probe(Settings(), probing("key-sink"), {})
    assert (without.outcome, without.code) == ("refused", "secret.unbound")
    other = probing("knock-source", port=port).model_copy(update={"digest": "sha256:00"})
    assert probe(Settings(), other, {}).code == "release.digest_mismatch"
