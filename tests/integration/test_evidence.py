"""Evidence of deployments: verified, run again, and what differs is told."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from integration.deploying import Place, evidence_of, has, store_backend, store_lines, undeploy, when
from thalweg.api import deployments as api
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
