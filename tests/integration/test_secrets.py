"""Secrets against real servers: sealed where they are kept, with the vertex that is bound to them, and nowhere else."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml

from thalweg.api import backends, secrets
from thalweg.api.calls import Nothing
from thalweg.bus.buckets import Bucket, StaleWriteError
from thalweg.client import Session
from thalweg.embedded import EmbeddedStack
from thalweg.errors import RejectedError
from thalweg.graph.operations import AddVertex, BindSecret, UnbindSecret
from thalweg.graph.pipeline import Vertex
from thalweg.wire import subjects

LEAKS = Path(__file__).parent / "leaks.py"
PLANTED = 'pl@nted "tökén"/42+x?'
FORMS = {
    PLANTED.encode(),
    json.dumps(PLANTED)[1:-1].encode(),
    json.dumps(PLANTED, ensure_ascii=False)[1:-1].encode(),
    base64.b64encode(PLANTED.encode()),
    base64.b64encode(("user:" + PLANTED).encode())[8:],
    base64.urlsafe_b64encode(PLANTED.encode()),
    quote(PLANTED).encode(),
    repr(PLANTED)[1:-1].encode(),
}


def command(folder: Path, *arguments: str, given: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    """`thalweg …`; its output is kept beside the data, to be searched too."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("THALWEG_")}
    words = [sys.executable, "-m", "thalweg_cli", *arguments]
    done = subprocess.run(
        words, cwd=folder, env={**kept, **variables}, input=given, capture_output=True, text=True, timeout=90, check=False
    )
    with (folder / "said.txt").open("a") as said:
        said.write(done.stdout + done.stderr)
    return done


@contextmanager
def coordinator(folder: Path) -> Iterator[dict[str, str]]:
    """Servers and a coordinator; gives the variables of commands."""
    with EmbeddedStack(folder / "data") as stack:
        data = {"THALWEG_DATA": str(folder / "data"), "THALWEG_COMPONENTS": str(LEAKS)}
        variables = {**stack.environment(), **data}
        hidden = {"THALWEG_SECRET_KEY": base64.b64encode(bytes(range(32))).decode(), "THALWEG_SECRET_OTHER": "not for vertices"}
        with (folder / "coordinator.txt").open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "thalweg_coordinator"], env={**os.environ, **variables, **hidden}, stdout=output, stderr=output
            )
        try:
            deadline = time.monotonic() + 30
            while command(folder, "secret", "list", **variables).returncode:
                assert time.monotonic() < deadline
            yield variables
        finally:
            process.terminate()
            process.wait()


def graph(folder: Path, component: str, secret: str | None = "door", **vertex: Any) -> str:
    vertex |= {"component": f"{component}@1.0.0"} | ({"secrets": {"token": secret}} if secret else {})
    vertices = {"numbers": {"component": "numbers-for-leaks@1.0.0"}, "step": vertex, "save": {"component": "jsonl-file@1.0.0"}}
    path = folder / f"{component}.yaml"
    path.write_text(
        yaml.safe_dump({"backend": component, "vertices": vertices, "edges": ["numbers.out -> step.in", "step.out -> save.in"]})
    )
    return str(path)


def leaks(folder: Path) -> list[str]:
    """Files below a folder that have the planted secret in them in any form."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 5
    return [str(path) for path in files if any(form in path.read_bytes() for form in FORMS)]


def leaky(folder: Path) -> str:
    return graph(folder, "leak", on_error="dead-letter", params={"killed": str(folder / "killed")})


def test_a_planted_secret_is_found_nowhere(tmp_path: Path) -> None:
    with coordinator(tmp_path) as variables:
        assert command(tmp_path, "secret", "set", "door", given=PLANTED + "\n", **variables).returncode == 0
        done = command(tmp_path, "run", leaky(tmp_path), "--json", "--keep", **variables)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "killed").exists()
        dead = json.loads(done.stdout)["dead_letters"]
        assert len(dead) == 2 and "401 for ***" in dead[0]["error"] and "--token=***&retry=1" in dead[1]["error"]
        (saved,) = (tmp_path / "out").glob("*.jsonl")
        assert saved.read_text().count(f"of {len(PLANTED)} characters: ***") == 8
        log = next((tmp_path / "data/logs").glob("leak-*/step.log")).read_text()
        assert "connecting with ***" in log and "printed ***" in log and "half a line with ***" in log and "as bytes: ***" in log
        failed = command(tmp_path, "run", graph(tmp_path, "fail-with-secret"), "--keep", **variables)
        assert failed.returncode == 4 and "cannot log in with ***" in failed.stderr
        assert command(tmp_path, "apply", leaky(tmp_path), **variables).returncode == 0
        assert "door" in command(tmp_path, "backend", "log", "leak", "--json", **variables).stdout
        listed = command(tmp_path, "secret", "list", "--json", **variables)
        assert "backend" in listed.stdout and leaks(tmp_path) == []
    assert leaks(tmp_path) == []


def test_a_run_of_its_own_takes_secrets_from_its_environment_and_leaves_none(tmp_path: Path) -> None:
    variables = {"THALWEG_COMPONENTS": str(LEAKS)}
    unset = command(tmp_path, "run", leaky(tmp_path), **variables)
    assert unset.returncode == 3 and "THALWEG_SECRET_DOOR is not set" in unset.stderr
    done = command(tmp_path, "run", leaky(tmp_path), "--keep", THALWEG_SECRET_DOOR=PLANTED, **variables)
    assert done.returncode == 0, done.stderr
    assert leaks(tmp_path) == []


def test_vertices_are_given_no_keys_that_they_do_not_need(tmp_path: Path) -> None:
    with coordinator(tmp_path) as variables:
        assert command(tmp_path, "run", graph(tmp_path, "environment", secret=None), **variables).returncode == 0
    (saved,) = (tmp_path / "out").glob("*.jsonl")
    assert "THALWEG_NATS_URL" in saved.read_text()
    assert "_KEY" not in saved.read_text() and "SECRET" not in saved.read_text()


def test_a_secret_that_is_not_there_is_told_before_the_run(tmp_path: Path) -> None:
    with coordinator(tmp_path) as variables:
        done = command(tmp_path, "run", leaky(tmp_path), **variables)
        assert done.returncode == 3 and "there is no secret door" in done.stderr
        empty = command(tmp_path, "secret", "set", "door", given="\n", **variables)
        assert empty.returncode == 3 and "is empty" in empty.stderr
        large = command(tmp_path, "secret", "set", "door", given="x" * 70_000, **variables)
        assert large.returncode == 3 and len(large.stderr) < 300


async def test_secrets_are_listed_with_their_uses_and_stay_while_they_are_bound(session: Session) -> None:
    await session.ask(secrets.SET, secrets.SetSecret(name="bound-one", value="12345", author="ada"))
    vertex = Vertex(component="filter@1.0.0")
    operations = [AddVertex(name="v", vertex=vertex), BindSecret(vertex="v", slot="token", secret="bound-one")]
    edited = await session.ask(backends.EDIT, backends.Edit(backend="binds-a-secret", author="ada", operations=operations))
    assert not edited.warnings
    other = backends.Edit(
        backend="binds-another", author="ada", operations=[operations[0], BindSecret(vertex="v", slot="token", secret="unset")]
    )
    (warning,) = (await session.ask(backends.EDIT, other)).warnings
    assert warning.startswith("vertex v: secret unset is not set: `thalweg secret set unset`")
    assert (await session.ask(backends.SHOW, backends.Which(backend="binds-another"))).warnings == [warning]
    listed = {one.name: one for one in (await session.ask(secrets.LIST, Nothing())).secrets}
    assert [str(use) for use in listed["bound-one"].uses] == ["backend binds-a-secret: v.token"]
    assert listed["bound-one"].author == "ada"
    with pytest.raises(RejectedError, match="backend binds-a-secret") as refused:
        await session.ask(secrets.REMOVE, secrets.WhichSecret(name="bound-one"))
    assert refused.value.code == "secret.bound"
    unbind = backends.Edit(backend="binds-a-secret", author="ada", operations=[UnbindSecret(vertex="v", slot="token")])
    await session.ask(backends.EDIT, unbind)
    await session.ask(secrets.REMOVE, secrets.WhichSecret(name="bound-one"))
    assert "bound-one" not in [one.name for one in (await session.ask(secrets.LIST, Nothing())).secrets]
    with pytest.raises(RejectedError):
        await session.ask(secrets.REMOVE, secrets.WhichSecret(name="bound-one"))
    assert (await session.ask(secrets.SET, secrets.SetSecret(name="bound-one", value="again", author="bob"))).author == "bob"


async def test_what_a_bucket_holds_is_replaced_only_by_who_has_read_it(session: Session) -> None:
    bucket = Bucket(session.client, subjects.bucket("elsewhere", "artifacts"))
    assert (await bucket.get("a")).revision == 0
    await bucket.ensure()
    first = await bucket.put("a", b"1", 0)
    with pytest.raises(StaleWriteError):
        await bucket.put("a", b"2", 0)
    second = await bucket.put("a", b"2", first)
    with pytest.raises(StaleWriteError):
        await bucket.delete("a", first)
    await bucket.delete("a", second)
    assert (await bucket.get("a")).value is None and await bucket.keys() == []
    await bucket.put("a", b"3", (await bucket.get("a")).revision)
    assert await bucket.items() == {"a": b"3"}
