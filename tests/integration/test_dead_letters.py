"""Dead letters of a running graph: looked at, given again exactly once, dropped, saved."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from integration.deploying import Place, evidence_of, read_lines, status_of, store_backend, undeploy, until, when
from thalweg.api import deployments as api
from thalweg.api.backends import EDIT, Edit
from thalweg.api.dead_letters import SETTLE, Settle, Which
from thalweg.bus.deployments import count_messages
from thalweg.client import Session
from thalweg.errors import RejectedError
from thalweg.graph.operations import SetParam
from thalweg.wire import subjects
from thalweg.wire.commit import Commit
from thalweg.wire.spec import DeploymentSpec, EdgeSpec, VertexSpec
from thalweg_coordinator.dead_letters import refuse_unless_settled_by


async def store_picky(session: Session, count: int = 10**6) -> str:
    vertices = {
        "numbers": {"component": "numbers@1.0.0", "params": {"count": count, "pause_s": 0.01}},
        "picky": {"component": "picky@1.0.0", "on_error": "dead-letter"},
        "lines": {"component": "jsonl-file@1.0.0"},
    }
    return await store_backend(session, vertices, "numbers.out -> picky.in", "picky.out -> lines.in")


async def picky_of(session: Session, name: str) -> api.VertexStatus:
    return next(one for one in (await status_of(session, name)).vertices if one.vertex == "picky")


def told(place: Place, *words: str) -> Any:
    done = place.command("dead-letters", *words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


async def test_letters_are_given_again_exactly_once_though_the_vertex_is_killed(place: Place, asking: Session, tmp_path: Path) -> None:
    name = await store_picky(asking)
    await asking.ask(api.DEPLOY, api.Deploy(backend=name))
    await when(asking, name, lambda vertices, whole: vertices["picky"].dead >= 4 if "picky" in vertices else False)
    first, second, *_ = told(place, "list", name, "picky")
    assert (first["error"], first["code"], first["whole"], first["where"]) == ("3 ends in 3", "data.invalid", True, "record 4")
    assert told(place, "show", name, "picky", first["index"])["value"] == 3
    dropped = await asking.ask(
        SETTLE, Settle(name=name, vertex="picky", action="drop", letters=[Which(sequence=int(first["index"].split(":")[0]))])
    )
    assert (dropped.done, dropped.left) == (1, 0)
    gone = place.command("dead-letters", "show", name, "picky", first["index"])
    assert gone.returncode == 3 and "no open dead letter" in gone.stderr
    edit = {"EDITOR": "sed -i s/13/1000013/"}
    os.environ |= edit
    try:
        edited = place.command("dead-letters", "redrive", name, "picky", "--index", second["index"], "--edit")
    finally:
        del os.environ["EDITOR"]
    assert (edited.returncode, edited.stdout) == (0, "1 given again to picky\n"), edited.stderr

    await asking.ask(EDIT, Edit(backend=name, author="ada", operations=[SetParam(vertex="picky", path="refuse", value=False)]))
    await asking.ask(api.REDEPLOY, api.Redeploy(name=name))
    await when(asking, name, lambda vertices, whole: vertices["picky"].generation == 2)  # what it was would refuse them again
    given = await asking.ask(SETTLE, Settle(name=name, vertex="picky", action="redrive"))
    pid = place.pid(name, "picky")
    if pid is not None:
        os.kill(pid, signal.SIGKILL)
    assert given.done >= 3

    async def is_done() -> bool:
        found = await picky_of(asking, name)
        return found.dead > 0 and found.dead_open == 0

    await until(is_done)
    at = await picky_of(asking, name)
    await when(asking, name, lambda vertices, whole: vertices["picky"].records_in > at.records_in)
    assert told(place, "list", name) == []

    async def is_removed() -> bool:
        counts = await count_messages(asking.client, "default", name)
        return subjects.port("default", name, "picky", "_dead") not in counts

    await until(is_removed)
    report = await undeploy(asking, name)
    numbers = sorted(one["n"] for one in read_lines(place, report))
    whole = [n for n in numbers if n < 1_000_000]
    refused_again = {1_000_013}  # it ends in 3, too, was kept aside again, and came with the rest
    assert whole == [n for n in range(whole[-1] + 1) if n not in (3, 13)] and set(numbers) - set(whole) == refused_again
    vertex = (await evidence_of(asking, report))["vertices"]["picky"]
    assert (vertex["given_up"], vertex["redriven"]) == (1, 1 + given.done)


async def test_letters_of_what_has_ended_are_saved_to_be_fed_again(place: Place, asking: Session, tmp_path: Path) -> None:
    name = await store_picky(asking, count=24)
    await asking.ask(api.DEPLOY, api.Deploy(backend=name))
    await when(asking, name, lambda vertices, whole: whole.state == "finished")
    done = place.command("dead-letters", "redrive", name, "picky", "--all")
    assert done.returncode == 3 and "has come to its end" in done.stderr and "dead-letters export" in done.stderr
    path = tmp_path / "letters.jsonl"
    assert place.command("dead-letters", "export", name, "picky", str(path), "--values").returncode == 0
    assert path.read_text() == "3\n13\n23\n"
    assert place.command("dead-letters", "export", name, "picky", str(path)).returncode == 3  # never over a file that is there
    for words, code in ((("redrive", name, "picky"), 2), (("drop", name, "nobody", "--all"), 3), (("show", name, "picky", "x"), 2)):
        assert place.command("dead-letters", *words).returncode == code
    await undeploy(asking, name, discard=True)


@pytest.mark.parametrize(
    ("vertex", "ended", "desired", "code"),
    [
        (VertexSpec("v", "c@1", "", "", "source"), False, "running", "dead_letters.of_source"),
        (VertexSpec("v", "c@1", "", "", "source", endpoint="in"), False, "running", "dead_letters.of_source"),
        (VertexSpec("v", "c@1", "", "", "sink", inputs=[EdgeSpec("a", "out", "in", "int")]), True, "running", "dead_letters.ended"),
        (VertexSpec("v", "c@1", "", "", "sink", inputs=[EdgeSpec("a", "out", "in", "int")]), False, "draining", "deployment.stopping"),
    ],
)
def test_what_would_not_be_read_is_refused(vertex: VertexSpec, ended: bool, desired: Any, code: str) -> None:
    spec = DeploymentSpec("w", "d", "b", [vertex], desired=desired)
    with pytest.raises(RejectedError) as raised:
        refuse_unless_settled_by(spec, vertex, ended)
    assert raised.value.code == code and "export d v" in str(raised.value.hint)
    assert Commit(1, 1).counters.open_letters == 0
