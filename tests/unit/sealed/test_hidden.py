"""What a vertex with secrets writes and prints has them not."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from thalweg import At, Secret, component
from thalweg.embedded.process import feed
from thalweg.errors import RunFailedError
from thalweg.graph.derive import stream_type
from thalweg.graph.parse import parse_type
from thalweg.runtime.assemble import assemble
from thalweg.runtime.engine import Cut, Limits
from thalweg.runtime.faults import MAX_DEAD_BYTES, Faults
from thalweg.runtime.inputs import Message
from thalweg.runtime.standing import Standing
from thalweg.sdk.context import Context
from thalweg.sealed.redaction import Redactor
from thalweg.settings import child_environment
from thalweg.wire.commit import Commit
from thalweg.wire.spec import VertexSpec
from thalweg_vertex.output import LineSink
from thalweg_vertex.secrets import take_secrets
from unit.runtime.simulator import stream, vertex_spec

PLANTED = "pl\u00e4nted-0815"


@dataclass
class Kept:
    """State of a component."""

    header: str = ""


def test_packed_values_keep_their_types() -> None:
    redactor = Redactor([PLANTED, "12345678"])
    value = {"a": [f"x {PLANTED}", 12345678, 1.5, None], "b": PLANTED.encode()}
    packed = msgspec.msgpack.encode(value)
    assert msgspec.msgpack.decode(redactor.packed(packed)) == {"a": ["x ***", 12345678, 1.5, None], "b": b"***"}
    assert msgspec.msgpack.decode(redactor.packed(packed, numbers=True))["a"][1] == "***"
    clean = msgspec.msgpack.encode({"a": 1})
    assert redactor.packed(clean) is clean


def test_dead_letters_are_redacted_before_they_are_cut() -> None:
    context = Context("v", {}, {}, {})
    faults = Faults("v", "dead-letter", Standing(), context, Redactor([PLANTED]))
    context.position = f"row of {PLANTED}"
    record = {"filler": "x" * (MAX_DEAD_BYTES - 15), "token": PLANTED}
    faults.settle(ValueError("y" * 4080 + PLANTED), record, 1)
    body = faults.cut()
    assert body is not None and b"0815" not in body and b"pl\xc3" not in body
    (letter,) = msgspec.msgpack.decode(body)
    assert letter["where"] == "row of ***" and len(letter["value"]) <= MAX_DEAD_BYTES


def test_printed_lines_are_passed_on_whole_and_redacted() -> None:
    target = io.BytesIO()
    sink = LineSink(target)
    text = io.TextIOWrapper(sink, encoding="utf-8", write_through=True)  # type: ignore[type-var]
    text.write("before\n")
    sink.redactor = Redactor([PLANTED])
    for piece in ("a pl", "\u00e4nted", "-0815 and\nmo"):
        text.write(piece)
    assert target.getvalue() == b"before\na *** and\n"
    sink.finish()
    assert target.getvalue().endswith(b"\nmo")


def test_a_large_secret_goes_through_a_pipe_that_nobody_reads_yet() -> None:
    reads = "import sys, time; time.sleep(0.2); print(len(sys.stdin.buffer.read()))"
    child = subprocess.Popen([sys.executable, "-c", reads], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdin is not None and child.stdout is not None
    feed(child.stdin, b"x" * 1_000_000)
    assert child.stdout.read() == b"1000000\n"
    child.wait()
    child.stdout.close()


@pytest.mark.parametrize("come", ["", '{"token": ', "{}", "[]"])
def test_secrets_that_have_not_come_whole_are_no_fault_of_the_vertex(come: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vertex = VertexSpec("v", "c@1.0.0", "sha256:0", "c", "sink", secrets={"token": "door"})
    (tmp_path / "given").write_text(come)
    with (tmp_path / "given").open() as given:
        monkeypatch.setattr(sys, "stdin", given)
        with pytest.raises(RunFailedError) as refused:
            take_secrets(vertex)
    assert refused.value.code == "secret.undelivered"


def test_children_see_the_keys_that_they_need(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SECRET_KEY", "SIGNING_KEY", "SECRET_DOOR", "S3_SECRET_KEY", "S3_ACCESS_KEY", "NATS_URL", "NATS_CREDS", "NATS_ISSUER"):
        monkeypatch.setenv(f"THALWEG_{name}", "x")

    def seen(**needs: bool) -> set[str]:
        return {name[8:] for name in child_environment(**needs) if os.environ[name] == "x"}

    assert seen(with_store=False) == {"NATS_URL"}
    assert seen(with_store=True) == {"NATS_URL", "S3_SECRET_KEY", "S3_ACCESS_KEY"}
    assert seen(with_store=False, with_keys=True) == {"NATS_URL", "SECRET_KEY", "SIGNING_KEY"}
    assert seen(with_store=False, with_access=True) == {"NATS_URL", "NATS_CREDS", "NATS_ISSUER"}


@component("keeper", version="1.0.0")
class Keeper:
    """Keeps the tokens that it is told to."""

    token: Secret
    state: Kept

    def process(self, n: int) -> int:
        """Keeps it at the third number."""
        if n == 2:
            self.state.header = f"Bearer {self.token.reveal()}"
        return n


@component("cursor-of-tokens", version="1.0.0")
def leaky(token: Secret, cursor: str | None) -> Iterator[At[int]]:
    """Puts a secret into its cursor."""
    yield At(1, cursor="page 1")
    yield At(2, cursor=f"page 2 {token.reveal()}")


def cuts_of(target: Any, values: list[int]) -> list[Cut]:
    kinds = {"in": stream_type(int)} if values else {}
    spec, release = vertex_spec(target, kinds)
    secrets = {"token": PLANTED}
    engine = assemble(spec, release, {}, {}, Limits(), parse_type, secrets, Redactor(secrets.values()))
    engine.restore(Commit(epoch=1, number=1, claim=True), None)
    cuts = []
    for number, value in enumerate(values, 1):
        (message, _) = stream([value])
        engine.offer(Message(spec.inputs[0].key, number, number, message.body, message.watermark, False))
        engine.step()
        cuts.append(engine.cut())
    while not values and not (engine.finished or engine.failure):
        engine.step()
        cuts.append(engine.cut())
    engine.program.close()
    return cuts


def test_a_state_that_keeps_a_secret_fails_the_vertex_and_gets_nowhere() -> None:
    good, same, failed = cuts_of(Keeper, [0, 1, 2])
    assert good.commit.failure is None and same.commit.failure is None
    assert failed.commit.failure is not None and failed.commit.failure.code == "secret.kept"
    assert failed.commit.number == same.commit.number + 1 and failed.commit.positions == same.commit.positions
    assert failed.commit.ports == same.commit.ports and failed.commit.counters.records_in == 2
    assert not any(PLANTED.encode() in body for _, body in failed.parts)
    assert [msgspec.msgpack.decode(body)["v"] for port, body in failed.parts if port == "out"] == [[]]
    states = [msgspec.msgpack.decode(body)["s"] for port, body in (*same.parts, *failed.parts) if port == "out"]
    assert states[0] == states[1] and states[0] is not None


def test_a_cursor_that_keeps_a_secret_fails_the_vertex() -> None:
    cuts = cuts_of(leaky, [])
    failure = cuts[-1].commit.failure
    assert failure is not None and failure.code == "secret.kept" and cuts[-1].commit.counters.records_in == 0
