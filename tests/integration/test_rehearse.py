"""Rehearsals: what a candidate would do to stored backends, said before it is released."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from integration.deploying import Place
from integration.releasing import WEATHER, pinning, publish, upload, write
from thalweg.api import backends as backends_api
from thalweg.api import components as api
from thalweg.api.calls import Nothing
from thalweg.artifacts import Store
from thalweg.client import Session


async def test_a_rehearsal_says_which_backends_a_candidate_breaks(session: Session, store: Store, name: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "a", name)
    await publish(session, store, folder)
    await session.ask(backends_api.EDIT, pinning(f"{name}-plain", f"{name}@1.0.0"))
    await session.ask(backends_api.EDIT, pinning(f"{name}-param", f"{name}@1.0.0", count=2))
    code = (folder / "main.py").read_text().replace("count:", "number:").replace("1.0.0", "2.0.0")
    (folder / "main.py").write_text(code)
    archive = await asyncio.to_thread(upload, store, folder)
    found = await session.ask(api.REHEARSE, api.Rehearse(archive=archive), 60)
    faults = {one.backend: one.faults for one in found.backends}
    assert faults[f"{name}-plain"] == [] and "count" in faults[f"{name}-param"][0] and found.candidates == [f"{name}@2.0.0"]
    listed = (await session.ask(api.RELEASES, Nothing())).releases
    assert f"{name}@2.0.0" not in [one.full_name for one in listed]
    same = await session.ask(api.REHEARSE, api.Rehearse(component=f"{name}@1.0.0"), 60)
    assert len(same.backends) == 2 and not any(one.faults for one in same.backends)


STEP = '''
from dataclasses import dataclass
from thalweg import component

@dataclass
class Day:
    temp_max: float

@dataclass
class Swing:
    degrees: float

@component("rehearsed-step", version="{version}")
def step(day: Day) -> Swing | None:
    """Warm days."""
    return {result}

def test_it() -> None:
    assert step(Day(20.0)) is not None
'''
GRAPH = f"""
backend: warm-days
vertices:
  rows: {{component: csv-source@1.0.0, files: {{table: {WEATHER}}}, params: {{time: date}}}}
  warm: {{component: rehearsed-step@1.0.0}}
  save: {{component: jsonl-file@1.0.0}}
edges: [rows.out -> warm.in, warm.out -> save.in]
"""


@pytest.mark.usefixtures("asking")
async def test_a_rehearsal_runs_stored_backends_with_the_candidate_and_names_what_differs_first(place: Place, tmp_path: Path) -> None:
    async def run(*words: str) -> tuple[int, str]:
        done = await asyncio.to_thread(place.command, *words)
        return done.returncode, done.stdout + done.stderr

    def write_step(version: str, result: str) -> str:
        folder = tmp_path / "step"
        folder.mkdir(exist_ok=True)
        code, _, test = STEP.format(version=version, result=result).partition("def test_it")
        (folder / "step.py").write_text(code)
        (folder / "test_step.py").write_text("from step import Day, step\n\ndef test_it" + test)
        return str(folder)

    assert (await run("component", "publish", write_step("1.0.0", "Swing(day.temp_max) if day.temp_max > 15 else None")))[0] == 0
    (tmp_path / "graph.yaml").write_text(GRAPH)
    assert (await run("apply", str(tmp_path / "graph.yaml")))[0] == 0
    same = write_step("1.0.1", "None if day.temp_max <= 15 else Swing(day.temp_max)")
    code, said = await run("component", "rehearse", same, "--test")
    assert code == 0 and "warm-days (warm): ok, 2 ports the same" in said and "1 passed" in said, said
    code, said = await run(
        "component", "rehearse", write_step("1.1.0", "Swing(day.temp_max) if day.temp_max > 16 else None"), "--test", "--json"
    )
    told = json.loads(said)["runs"]["warm-days"]
    assert code == 5 and told["verdict"] == "differs" and told["lines"][0].startswith("warm.out: "), said
    code, said = await run(
        "component", "rehearse", write_step("1.2.0", "Swing(day.temp_max) if 1 / (day.temp_max - 20) else None"), "--test"
    )
    assert code == 5 and "warm-days (warm): fails" in said and "ZeroDivisionError" in said, said
    assert (await run("component", "rehearse", str(tmp_path / "step")))[0] == 0
