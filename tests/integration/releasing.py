"""Publishes releases that tests write, and what they are used in."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

from thalweg.api import backends as backends_api
from thalweg.api import components as api
from thalweg.artifacts import Store
from thalweg.client import Session
from thalweg.graph.operations import AddVertex
from thalweg.graph.pipeline import Vertex
from thalweg.published import pack

WEATHER = Path(__file__).resolve().parents[2] / "examples/weather/data/seattle-weather.csv"


numbers_of_names = iter(range(1000))


CODE = '''
from collections.abc import Iterator
from pydantic import BaseModel, ConfigDict, Field
import thalweg
from thalweg.graph.parse import parse_type

class Params(BaseModel):
    model_config = ConfigDict(extra="forbid")
    count: int = Field(3, ge=0)

@thalweg.component("{name}", version="{version}")
def numbers(params: Params) -> Iterator[{type}]:
    """Counts."""
    yield from ()
'''


def write(folder: Path, name: str, version: str = "1.0.0", kind: str = "int", more: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "numbers.py").unlink(missing_ok=True)
    (folder / "main.py").write_text(CODE.format(name=name, version=version, type=kind) + more)
    return folder


def upload(store: Store, folder: Path) -> str:
    path = folder.parent / "archive.tar"
    path.write_bytes(pack(folder))
    return store.put_file(path).id


async def publish(session: Session, store: Store, folder: Path, author: str = "ada") -> api.Published:
    archive = await asyncio.to_thread(upload, store, folder)
    return await session.ask(api.PUBLISH, api.Publish(archive=archive, author=author), 60)


def pinning(backend: str, component: str, **params: Any) -> backends_api.Edit:
    vertex = Vertex(component=component, params=params)
    return backends_api.Edit(backend=backend, author="ada", operations=[AddVertex(name="source", vertex=vertex)])


def wheel(folder: Path) -> None:
    """A package that nothing on this machine has."""
    files = {
        "tiny_shift_of_tests.py": "SHIFT = 7\n",
        "tiny_shift_of_tests-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: tiny-shift-of-tests\nVersion: 1.0\n",
        "tiny_shift_of_tests-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    digests = {one: base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode() for one, text in files.items()}
    record = "".join(f"{one},sha256={digests[one]},{len(files[one])}\n" for one in files)
    with zipfile.ZipFile(folder / "tiny_shift_of_tests-1.0-py3-none-any.whl", "w") as archive:
        for one, text in {**files, "tiny_shift_of_tests-1.0.dist-info/RECORD": record}.items():
            archive.writestr(one, text)


def thalweg(environment: dict[str, str], folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "thalweg_cli", *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False)


PIPELINE = f"""
backend: swings
vertices:
  rows: {{component: csv-source@1.0.0, files: {{table: {WEATHER}}}, params: {{time: date}}}}
  swing: {{component: temp-swing@0.1.0}}
  save: {{component: jsonl-file@1.0.0}}
edges: [rows.out -> swing.in, swing.out -> save.in]
"""


SWING = '''
from dataclasses import dataclass
from pathlib import Path
import tiny_shift_of_tests
from thalweg import component
from helper_of_swing import widen

@dataclass
class Day:
    temp_max: float

@dataclass
class Swing:
    degrees: float
    unit: str

@component("temp-swing", version="0.1.0")
def temp_swing(day: Day) -> Swing:
    """Shifts."""
    unit = Path(__file__).with_name("unit.txt").read_text()
    return Swing(widen(day.temp_max) + tiny_shift_of_tests.SHIFT, unit)
'''
