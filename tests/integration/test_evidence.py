"""Evidence of deployments: verified, run again, and what differs is told."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from integration.deploying import Place, evidence_of, has, store_backend, store_lines, undeploy, when
from thalweg.api import deployments as api
from thalweg.artifacts import Store
from thalweg.client import Session


async def test_evidence_is_verified_and_run_again_and_tells_what_differs(place: Place, asking: Session, tmp_path: Path) -> None:
    name = await store_lines(asking, 10_000_000, 0.0005)
    await asking.ask(api.DEPLOY, api.Deploy(backend=name))
    await when(asking, name, has("lines", 100))
    report = await undeploy(asking, name)
    assert report.evidence is not None
    for command, said in (("verify", "verified"), ("rerun", "reproduced")):
        done = await asyncio.to_thread(place.command, "evidence", command, report.evidence)
        assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, [said]), done
    forged = await evidence_of(asking, report)
    forged["vertices"]["tag"]["records_in"] += 1
    (tmp_path / "forged.json").write_text(json.dumps(forged))
    for command in ("verify", "rerun"):
        done = await asyncio.to_thread(place.command, "evidence", command, str(tmp_path / "forged.json"))
        assert done.returncode == 5 and "error: signature: " in done.stderr, done
    (kept,) = report.generated
    (stored,) = place.settings.data.rglob(f"artifacts/{kept.artifact.removeprefix('sha256:')}")
    stored.write_bytes(b"other")
    done = await asyncio.to_thread(place.command, "evidence", "verify", report.evidence)
    assert done.returncode == 5 and "lines: generated file" in done.stderr


async def test_what_chance_has_decided_comes_out_of_the_replay(place: Place, asking: Session, tmp_path: Path) -> None:
    vertices = {
        "numbers": {"component": "numbers@1.0.0", "params": {"count": 300, "pause_s": 0.0005}},
        "others": {"component": "numbers@1.0.0", "params": {"count": 200, "pause_s": 0.0007}},
        "first": {"component": "first-come@1.0.0"},
        "guess": {"component": "guess@1.0.0"},
    }
    edges = ("numbers.out -> first.left", "others.out -> first.right", "others.out -> guess.in")
    name = await store_backend(asking, vertices, *edges)
    await asking.ask(api.DEPLOY, api.Deploy(backend=name, capture="all"))
    await when(asking, name, lambda vertices, whole: whole.state == "finished")
    report = await undeploy(asking, name)
    assert report.evidence is not None and report.replay is not None and report.replay.artifact is not None
    done = await asyncio.to_thread(place.command, "evidence", "rerun", report.evidence)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines() == ["guess is not deterministic: it gave what it gave then", "reproduced"]

    path = await asyncio.to_thread(Store.of(place.settings).fetch, report.replay.artifact, "run.mcap")
    case = {"name": "as then", "replay": str(path), "expect": [{"replay": str(path)}]}
    live = {**case, "name": "asked now", "live": ["guess"]}
    manifest = tmp_path / "chance.test.yaml"
    manifest.write_text(json.dumps({"backend": name, "cases": [case, live]}))
    done = await asyncio.to_thread(place.command, "test", str(manifest), "-v")
    assert done.returncode == 5 and "✓ as then" in done.stdout and "✗ asked now" in done.stdout, done.stdout + done.stderr


async def test_a_run_that_comes_out_otherwise_is_not_reproduced(place: Place, asking: Session) -> None:
    vertices = {"numbers": {"component": "numbers@1.0.0"}, "noisy": {"component": "noisy@1.0.0"}}
    name = await store_backend(asking, vertices, "numbers.out -> noisy.in")
    await asking.ask(api.DEPLOY, api.Deploy(backend=name))
    await when(asking, name, lambda vertices, whole: whole.state == "finished")
    report = await undeploy(asking, name)
    assert report.evidence is not None
    done = await asyncio.to_thread(place.command, "evidence", "rerun", report.evidence)
    assert done.returncode == 5 and done.stdout.splitlines()[-1] == "not reproduced"
    assert done.stderr.startswith("error: noisy.out: 100 records with digest")
