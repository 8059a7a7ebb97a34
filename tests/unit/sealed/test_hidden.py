"""What a vertex with secrets writes and prints has them not."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from thalweg.embedded.process import feed
from thalweg.errors import RunFailedError
from thalweg.runtime.faults import MAX_DEAD_BYTES, Faults
from thalweg.runtime.standing import Standing
from thalweg.sdk.context import Context
from thalweg.sealed.redaction import Redactor
from thalweg.settings import child_environment
from thalweg.wire.spec import VertexSpec
from thalweg_vertex.output import LineSink
from thalweg_vertex.secrets import take_secrets

PLANTED = "pl\u00e4nted-0815"


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
    for name in ("SECRET_KEY", "SIGNING_KEY", "SECRET_DOOR", "S3_SECRET_KEY", "S3_ACCESS_KEY", "NATS_URL"):
        monkeypatch.setenv(f"THALWEG_{name}", "x")

    def seen(**needs: bool) -> set[str]:
        return {name[8:] for name in child_environment(**needs) if os.environ[name] == "x"}

    assert seen(with_store=False) == {"NATS_URL"}
    assert seen(with_store=True) == {"NATS_URL", "S3_SECRET_KEY", "S3_ACCESS_KEY"}
    assert seen(with_store=False, with_keys=True) == {"NATS_URL", "SECRET_KEY", "SIGNING_KEY"}
