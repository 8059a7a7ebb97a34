"""Published releases, by the API of a real coordinator and by the command: immutable, pinned, checked, yanked, rehearsed."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as fuzz
from hypothesis import strategies as st

from thalweg.api import backends as backends_api
from thalweg.api import components as api
from thalweg.artifacts import Store
from thalweg.bus.connection import connect
from thalweg.bus.presence import wait_for_coordinator
from thalweg.client import Session
from thalweg.embedded import EmbeddedStack
from thalweg.errors import RejectedError
from thalweg.graph.operations import AddVertex, SetParam
from thalweg.graph.pipeline import Vertex
from thalweg.published import Environments, pack
from thalweg.settings import Settings
from thalweg.wire import subjects
from thalweg.wire.spec import VertexSpec
from thalweg_vertex.releases import ElsewhereError, prepare

WEATHER = Path(__file__).resolve().parents[2] / "examples/weather/data/seattle-weather.csv"
_numbers = iter(range(1000))
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


@pytest.fixture
def name() -> str:
    return f"numbers-{next(_numbers)}"


def pinning(backend: str, component: str, **params: Any) -> backends_api.Edit:
    vertex = Vertex(component=component, params=params)
    return backends_api.Edit(backend=backend, author="ada", operations=[AddVertex(name="source", vertex=vertex)])


async def test_a_release_is_what_it_was_published_as(session: Session, store: Store, name: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "a", name)
    (first,) = (await publish(session, store, folder)).new
    assert first.full_name == f"{name}@1.0.0" and first.manifest.outputs == {"out": "int"} and first.yanked is None
    again = await publish(session, store, folder, author="bob")
    assert not again.new and again.known == [first]
    with pytest.raises(RejectedError, match="was published with other content by ada") as refused:
        await publish(session, store, write(folder, name, kind="str"))
    assert refused.value.code == "release.exists"
    (second,) = (await publish(session, store, write(folder, name, version="1.1.0", kind="str"))).new
    listed = (await session.ask(api.RELEASES, backends_api.Nothing())).releases
    assert [one for one in listed if one.manifest.name == name] == [first, second]


async def test_only_what_changed_of_a_folder_is_new(session: Session, store: Store, name: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "a", name)
    (folder / "other.py").write_text(CODE.format(name=f"{name}-other", version="1.0.0", type="int"))
    assert len((await publish(session, store, folder)).new) == 2
    (folder / "other.py").write_text(CODE.format(name=f"{name}-other", version="2.0.0", type="str"))
    found = await publish(session, store, folder)
    assert [one.full_name for one in found.new] == [f"{name}-other@2.0.0"]
    assert [one.full_name for one in found.known] == [f"{name}@1.0.0"]


async def test_of_two_that_publish_at_once_one_is_first(session: Session, store: Store, name: str, tmp_path: Path) -> None:
    archives = [upload(store, write(tmp_path / kind, name, kind=kind)) for kind in ("int", "str", "bool")]
    asked = [session.ask(api.PUBLISH, api.Publish(archive=one, author="ada"), 60) for one in archives]
    found = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(isinstance(one, api.Published) for one in found) == 1
    assert {one.code for one in found if isinstance(one, RejectedError)} == {"release.exists"}


async def test_every_coordinator_knows_a_release_at_once(
    session: Session, other_session: Session, store: Store, name: str, tmp_path: Path
) -> None:
    await session.ask(backends_api.EDIT, pinning(name, f"{name}@1.0.0"))
    shown = await asyncio.gather(*(other_session.ask(backends_api.SHOW, backends_api.Which(backend=name)) for _ in range(4)))
    assert not any(one.deployable for one in shown)
    await publish(session, store, write(tmp_path / "a", name))
    shown = await asyncio.gather(*(other_session.ask(backends_api.SHOW, backends_api.Which(backend=name)) for _ in range(8)))
    assert all(one.deployable for one in shown)


async def test_params_are_checked_by_the_code_of_the_release(session: Session, store: Store, name: str, tmp_path: Path) -> None:
    await publish(session, store, write(tmp_path / "a", name))
    edited = await session.ask(backends_api.EDIT, pinning(name, f"{name}@1.0.0", count=-1))
    assert not edited.deployable and "params.count" in edited.faults[0]
    change = backends_api.Edit(backend=name, author="ada", operations=[SetParam(vertex="source", path="count", value=5)])
    assert (await session.ask(backends_api.EDIT, change)).deployable


@pytest.mark.parametrize(
    ("given_name", "version", "more", "code"),
    [
        ("filter", "1.0.0", "", "release.name_taken"),
        ("a.b", "1.0.0", "", "release.invalid"),
        ("x-new", "1.0", "", "release.version"),
        ("x-new", "1.0.0-a..b", "", "release.version"),
        ("x-new", "../1", "", "release.version"),
        ("x-new", "1.0.0", "raise ValueError(1)", "component.unreadable"),
        ("x-new", "1.0.0", "import os; os._exit(0)", "release.crashed"),
    ],
)
async def test_what_cannot_be_released_is_refused(
    session: Session, store: Store, tmp_path: Path, given_name: str, version: str, more: str, code: str
) -> None:
    before = await session.ask(api.RELEASES, backends_api.Nothing())
    with pytest.raises(RejectedError) as refused:
        await publish(session, store, write(tmp_path / "a", given_name, version, more=more))
    assert refused.value.code == code
    assert await session.ask(api.RELEASES, backends_api.Nothing()) == before


async def test_archives_that_are_none_are_refused(session: Session, store: Store, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"no archive")
    with (tmp_path / "large").open("wb") as file:
        file.truncate(60_000_000)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/main.py").write_text("x = 1")
    ids = [store.put_file(tmp_path / one).id for one in ("a", "large")] + [store.put_directory(tmp_path / "folder").id]
    for archive, code in zip(ids, ["release.archive"] * 3, strict=True):
        with pytest.raises(RejectedError) as refused:
            await session.ask(api.PUBLISH, api.Publish(archive=archive, author="eve"), 60)
        assert refused.value.code == code
    with pytest.raises(RejectedError) as refused:
        await session.ask(api.PUBLISH, api.Publish(archive="sha256:" + "0" * 64, author="eve"), 60)
    assert refused.value.code == "artifact.unknown"


async def test_who_pins_a_yanked_release_keeps_it_and_is_warned(session: Session, store: Store, name: str, tmp_path: Path) -> None:
    for version in ("1.0.0", "1.1.0", "2.0.0-rc.1"):
        await publish(session, store, write(tmp_path / "a", name, version))
    await session.ask(backends_api.EDIT, pinning(name, f"{name}@1.0.0"))
    ask = api.Yank(component=f"{name}@1.0.0", author="ada", reason="loses records")
    found = await session.ask(api.YANK, ask)
    assert found.release.yanked == "loses records" and found.pinned_by == [f"{name}: source"]
    shown = await session.ask(backends_api.SHOW, backends_api.Which(backend=name))
    assert shown.deployable and "is yanked: loses records; newer: 1.1.0" in shown.warnings[0]
    (line,) = (await session.ask(api.OUTDATED, api.AskOutdated(backend=name))).vertices
    assert line.newer == ["1.1.0"] and line.yanked == "loses records"
    await session.ask(api.YANK, api.Yank(component=f"{name}@1.1.0", author="ada"))
    await session.ask(api.YANK, api.Yank(component=f"{name}@2.0.0-rc.1", author="ada"))
    document = {"vertices": {"source": {"component": name}}}
    unpinned = backends_api.Apply(backend=f"{name}-b", author="ada", document=document, pin_latest=True)
    assert not (await session.ask(backends_api.APPLY, unpinned)).deployable
    await session.ask(api.YANK, api.Yank(component=f"{name}@1.1.0", author="ada", undo=True))
    pinned = await session.ask(backends_api.APPLY, unpinned)
    assert pinned.deployable and not pinned.warnings
    assert f"{name}@1.1.0" in str(pinned.changes)
    with pytest.raises(RejectedError) as refused:
        await session.ask(api.YANK, api.Yank(component="filter@1.0.0", author="eve"))
    assert refused.value.code == "release.unknown"


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
    listed = (await session.ask(api.RELEASES, backends_api.Nothing())).releases
    assert f"{name}@2.0.0" not in [one.full_name for one in listed]
    same = await session.ask(api.REHEARSE, api.Rehearse(component=f"{name}@1.0.0"), 60)
    assert len(same.backends) == 2 and not any(one.faults for one in same.backends)


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


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pip's own settings lead to one wheel and nothing else."""
    wheel(tmp_path)
    for variable, value in {"NO_INDEX": "1", "FIND_LINKS": str(tmp_path), "CONFIG_FILE": os.devnull}.items():
        monkeypatch.setenv(f"PIP_{variable}", value)


@pytest.mark.usefixtures("index")
def test_an_environment_is_made_once_and_sees_what_thalweg_sees(tmp_path: Path) -> None:
    environments = Environments(tmp_path / "environments")
    wanted = ["tiny-shift-of-tests==1.0"]
    with ThreadPoolExecutor() as pool:
        pythons = set(pool.map(environments.python_for, [wanted] * 3))
    assert len(pythons) == 1 and environments.python_for([]) == sys.executable
    code = "import thalweg, pydantic, tiny_shift_of_tests as one; print(one.SHIFT, one.__file__)"
    shown = subprocess.run([*pythons, "-c", code], capture_output=True, text=True, timeout=60, check=True).stdout
    assert shown.startswith(f"7 {tmp_path / 'environments'}")


@pytest.mark.usefixtures("index")
def test_an_environment_that_cannot_be_made_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    hashed = [f"tiny-shift-of-tests==1.0 --hash=sha256:{'0' * 64}"]
    for requirements, timeout_s, said in ((hashed, 60.0, "DO NOT MATCH THE HASHES"), (["tiny-shift-of-tests"], 0.0, "takes too long")):
        with pytest.raises(RejectedError, match=said) as refused:
            Environments(tmp_path / "environments", timeout_s).python_for(requirements)
        assert refused.value.code == "release.environment"
    assert not [one for one in (tmp_path / "environments").iterdir() if one.is_dir()]


@pytest.mark.usefixtures("index")
def test_a_vertex_looks_at_the_archive_before_anything_else(settings: Settings, store: Store, tmp_path: Path) -> None:
    folder = write(tmp_path / "a", "numbers-x", more="raise SystemExit")
    spec = VertexSpec("x", "numbers-x@1.0.0", "", "main.py", "source", archive=upload(store, folder))
    found = prepare(settings, spec)
    assert found is not None and (found / "main.py").exists()
    with pytest.raises(RejectedError) as refused:
        prepare(settings, msgspec.structs.replace(spec, archive="sha256:" + "0" * 64))
    assert refused.value.code == "artifact.unknown"
    (folder / "requirements.txt").write_text("tiny-shift-of-tests\n")
    with pytest.raises(ElsewhereError) as elsewhere:
        prepare(settings, msgspec.structs.replace(spec, archive=upload(store, folder)))
    assert elsewhere.value.python.startswith(str(settings.data / "environments"))


@pytest.fixture
def environment(stack: EmbeddedStack, tmp_path: Path) -> Iterator[dict[str, str]]:
    """A workspace with a coordinator of its own; pip finds one wheel and nothing else."""
    wheel(tmp_path)
    kept = {one: value for one, value in os.environ.items() if not one.startswith("THALWEG_")}
    pip = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path), "PIP_CONFIG_FILE": os.devnull}
    workspace = f"w{next(_numbers)}-{os.getpid()}"
    variables = {**kept, **pip, **stack.environment(), "THALWEG_WORKSPACE": workspace, "THALWEG_DATA": str(tmp_path / "data")}
    (tmp_path / "coordinator.log").touch()
    with (tmp_path / "coordinator.log").open("wb") as log:
        service = subprocess.Popen([sys.executable, "-m", "thalweg_coordinator"], env=variables, stdout=log, stderr=log)

    async def is_up() -> bool:
        client = await connect(stack.nats_url, "test")
        try:
            return await wait_for_coordinator(client, workspace, 20)
        finally:
            await client.close()

    try:
        assert asyncio.run(is_up())
        yield variables
    finally:
        service.terminate()
        service.wait()


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


def test_a_published_release_runs_from_its_archive_in_an_environment_of_its_own(environment: dict[str, str], tmp_path: Path) -> None:
    def run(*words: str, code: int = 0) -> str:
        result = thalweg(environment, tmp_path, *words)
        assert result.returncode == code, result.stdout + result.stderr
        return result.stdout + result.stderr

    run("component", "new", "temp-swing")
    assert "1 passed" in run("component", "rehearse", "temp-swing", "--test")
    folder = tmp_path / "temp-swing"
    (folder / "temp_swing.py").write_text(SWING)
    (folder / "helper_of_swing.py").write_text("def widen(x):\n    return 0 * x\n")
    (folder / "unit.txt").write_text("°C")
    (folder / "requirements.txt").write_text("no-such-package-of-tests==1.0\n")
    assert "No matching distribution" in run("component", "publish", "temp-swing", code=3)
    (folder / "requirements.txt").write_text("tiny-shift-of-tests==1.0\n")
    assert "published temp-swing@0.1.0" in run("component", "publish", "temp-swing")
    assert "is published already" in run("component", "publish", "temp-swing")
    folder.rename(tmp_path / "moved")
    (tmp_path / "pipeline.yaml").write_text(PIPELINE)
    run("apply", "pipeline.yaml")
    assert "swing.out: record{degrees: float, unit: str}" in run("validate", "pipeline.yaml")
    run("run", "pipeline.yaml")
    (written,) = (tmp_path / "out").glob("*.jsonl")
    lines = written.read_text().splitlines()
    assert len(lines) == 1461 and json.loads(lines[0]) == {"degrees": 7.0, "unit": "°C"}
    assert len([one for one in (tmp_path / "data/environments").iterdir() if one.is_dir()]) == 1
    assert "pinned by swings: swing" in run("component", "yank", "temp-swing@0.1.0", "--reason", "wrong unit")
    assert "# warning: vertex swing: temp-swing@0.1.0 is yanked: wrong unit" in run("backend", "show", "swings")
    assert "warning: vertex swing" in run("apply", "pipeline.yaml")
    assert "wrong unit" in run("backend", "outdated")
    assert "yanked: wrong unit" in run("component", "list").replace("\n", " ")
    run("run", "pipeline.yaml", "--out", "again")
    moved = tmp_path / "moved"
    (moved / "temp_swing.py").write_text(SWING.replace("temp_max", "humidity").replace("0.1.0", "0.2.0"))
    assert "swings (swing): breaks" in run("component", "rehearse", "moved", code=3)


NUMBERS = st.integers(-(2**63), 2**64 - 1)
HOSTILE = st.fixed_dictionaries(
    {},
    optional={
        "archive": st.sampled_from(["sha256:" + "0" * 64, "sha256:x", "../x", ""]) | st.none() | NUMBERS,
        "component": st.sampled_from(["a.b@1", "a b@1.0.0", "*@*", ">", "x@..", "x@1.0.0", "filter@1.0.0", "x" * 99, "../x@1"]) | NUMBERS,
        "author": st.just("eve") | st.text(max_size=5) | NUMBERS,
        "reason": st.text(max_size=20) | st.none(),
        "undo": st.booleans() | st.text(max_size=3),
        "backend": st.sampled_from(["nothing-of-that-name", "a.b", "*", ""]) | NUMBERS,
        "surplus": st.none(),
    },
)
VERBS = [("component", "publish"), ("component", "yank"), ("component", "rehearse"), ("component", "list"), ("backend", "outdated")]
READS = {("component", "rehearse"), ("component", "list"), ("backend", "outdated")}


@fuzz(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=200) | HOSTILE.map(msgspec.msgpack.encode), call=st.sampled_from(VERBS))
async def test_requests_that_are_none_get_a_typed_error_and_change_nothing(session: Session, body: bytes, call: tuple[str, str]) -> None:
    before = await session.ask(api.RELEASES, backends_api.Nothing())
    reply = await session.client.request(subjects.api("default", *call), body, timeout=10)
    answer: dict[str, Any] = msgspec.msgpack.decode(reply.data)
    if "error" in answer:
        assert answer["error"]["code"] and answer["error"]["code"] != "internal"
    else:
        assert call in READS
    assert await session.ask(api.RELEASES, backends_api.Nothing()) == before
