"""`thalweg compose` makes a file that Compose accepts, the same each time, with what each vertex needs and no more."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from thalweg_cli.main import app

ROOT = Path(__file__).resolve().parents[3]
ENV = {"NATS_USER": "u", "NATS_PASSWORD": "p", "THALWEG_S3_ACCESS_KEY": "k", "THALWEG_S3_SECRET_KEY": "s"}
COMPONENT = """
from dataclasses import dataclass
from thalweg import Secret, component

@dataclass
class Number:
    n: int

@component("sealed", version="1.0.0")
def sealed(number: Number, token: Secret) -> Number:
    return number
"""
SEALED = """
backend: Sealed_1
vertices:
  door: {component: http-in@1.0.0, params: {type: "record{n: int}"}}
  check: {component: sealed@1.0.0, secrets: {token: api-key}}
  show: {component: http-out@1.0.0}
edges: [door.out -> check.in, check.out -> show.in]
"""


def composed(path: Path) -> dict[str, Any]:
    """What Compose understands."""
    command = [str(Path(sys.executable).parent / "docker-compose"), "-f", str(path), "config", "--format=json"]
    found = subprocess.run(command, capture_output=True, text=True, env={"PATH": os.environ["PATH"], **ENV})
    assert found.returncode == 0, found.stderr
    content: dict[str, Any] = json.loads(found.stdout)
    return content


def compose(*arguments: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["compose", *map(str, arguments)])
    return result.exit_code, result.output


def test_every_vertex_is_a_service_and_the_file_is_the_same_each_time(tmp_path: Path) -> None:
    out = tmp_path / "weather.yaml"
    assert compose(ROOT / "examples/weather/pipeline.yaml", "--out", out) == (0, "")
    first = out.read_bytes()
    compose(ROOT / "examples/weather/pipeline.yaml", "--out", out)
    assert out.read_bytes() == first
    services = composed(out)["services"]
    assert services.keys() == {"_deploy", "rows", "wet", "monthly", "save"}
    assert services["wet"]["command"] == ["vertex", "--deployment", "seattle-weather", "--vertex", "wet", "--kept"]
    assert [name for name in services if "THALWEG_S3_SECRET_KEY" in services[name]["environment"]] == ["_deploy", "rows", "save"]
    assert services["_deploy"]["volumes"][0]["source"] == str(ROOT / "examples/weather")
    assert [one["target"] for one in services["save"]["volumes"]] == ["/data"] and "volumes" not in services["wet"]
    for service in services.values():
        assert service["cap_drop"] == ["ALL"] and service["read_only"] is True


def test_secrets_are_files_that_are_mounted_by_slot(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(COMPONENT)
    (tmp_path / "graph.yaml").write_text(SEALED)
    assert compose(tmp_path / "graph.yaml", "--components", tmp_path / "mine.py", "--out", tmp_path / "out.yaml") == (0, "")
    found = composed(tmp_path / "out.yaml")
    assert found["name"] == "thalweg-sealed_1"
    (secret,) = found["services"]["check"]["secrets"]
    assert (secret["source"], secret["target"]) == ("api-key", "/run/secrets/token")
    assert found["secrets"]["api-key"]["file"] == str(tmp_path / "secrets/api-key")
    assert found["services"]["check"]["command"][-2:] == ["--secrets", "/run/secrets"]


def test_every_partition_is_a_service(tmp_path: Path) -> None:
    graph = yaml.safe_load((ROOT / "examples/doubling.yaml").read_text())
    graph["vertices"]["double"]["partitions"] = 2
    (tmp_path / "graph.yaml").write_text(yaml.safe_dump(graph))
    assert compose(tmp_path / "graph.yaml", "--out", tmp_path / "out.yaml") == (0, "")
    services = composed(tmp_path / "out.yaml")["services"]
    assert services.keys() == {"_deploy", "door", "double.1", "double.2", "show"}
    assert services["double.2"]["command"][-2:] == ["double~2", "--kept"]


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        ({"vertices": {"door": {"component": "nothing@1.0.0"}}}, 3, "nothing"),
        ({"edges": ["door.out -> nobody.in"]}, 3, "nobody"),
        (
            {"vertices": {"rows": {"component": "csv-source@1.0.0", "files": {"table": "../outside.csv"}}}, "edges": []},
            3,
            "not in the folder",
        ),
    ],
)
def test_what_cannot_run_is_refused_in_words(tmp_path: Path, change: dict[str, Any], code: int, said: str) -> None:
    (tmp_path / "outside.csv").write_text("n\n1\n")
    graph = {**yaml.safe_load((ROOT / "examples/doubling.yaml").read_text()), "aliases": {}, **change}
    (tmp_path / "in").mkdir()
    (tmp_path / "in/graph.yaml").write_text(yaml.safe_dump(graph))
    found = compose(tmp_path / "in/graph.yaml")
    assert found[0] == code and said in found[1]
    assert found[1].startswith("error: ")


def test_a_name_that_is_none_and_a_place_that_cannot_be_written_are_refused(tmp_path: Path) -> None:
    graph = ROOT / "examples/doubling.yaml"
    assert compose(graph, "--name", "no.name")[0] == 3
    code, said = compose(graph, "--out", tmp_path / "none/out.yaml")
    assert code == 3 and "cannot be written" in said
