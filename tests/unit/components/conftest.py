"""Drives one component over records in memory, watermarks included."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from thalweg import At, Bad, Emit
from thalweg.graph.parse import parse_type
from thalweg.graph.types import StreamType
from thalweg.runtime.program import Program
from thalweg.sdk.catalog import components_in
from thalweg.sdk.records import python_type
from thalweg_components import INDEX

DATA = Path(__file__).parents[3] / "examples"


@dataclass
class Driven:
    """What a component gave."""

    out: list[Any] = field(default_factory=list)
    times: list[int | None] = field(default_factory=list)
    cursors: list[Any] = field(default_factory=list)
    faults: list[Bad] = field(default_factory=list)
    types: dict[str, StreamType] = field(default_factory=dict)
    late: int = 0

    def take(self, value: Any) -> None:
        """Files one result."""
        if isinstance(value, Bad):
            self.faults.append(value)
            self.cursors.append(value.cursor)
        elif isinstance(value, (At, Emit)):
            self.out.append(value.value)
            self.times.append(value.time_ns)
            if isinstance(value, At):
                self.cursors.append(value.cursor)
        else:
            self.out.append(value)

    def rows(self) -> list[tuple[Any, ...]]:
        """Records as tuples."""
        return [msgspec.structs.astuple(one) for one in self.out]


def drive(
    name: str,
    records: Any = (),
    *,
    types: dict[str, str | StreamType] | None = None,
    params: dict[str, Any] | None = None,
    files: dict[str, Path] | None = None,
    generated: dict[str, Path] | None = None,
    times: list[int] | None = None,
    cursor: Any = None,
    restart_at: int | None = None,
) -> Driven:
    """Runs release `name` over records: values, field dicts, or (port, value); `restart_at` restores it from a snapshot there."""
    full = f"{name}@1.0.0"
    component = components_in(importlib.import_module(INDEX[full]))[full]
    checked = component.params.model_validate(params or {}) if component.params else None
    inputs = {port: parse_type(kind) if isinstance(kind, str) else kind for port, kind in (types or {}).items()}
    found = Driven(types=component.target.resolve_types(checked, inputs, files or {}) if hasattr(component.target, "resolve_types") else {})
    given = checked.model_dump(mode="json") if checked else {}

    def make(state: bytes | None) -> Program:
        program = Program(component, "it", given, inputs, found.types, files or {}, generated or {})
        program.start(state)
        return program

    program = make(None)
    if component.kind == "source":
        for one in program.source(cursor):
            found.take(one)
    for index, record in enumerate(records):
        if index == restart_at:
            program = make(program.snapshot())
        _feed(program, component, inputs, found, record, times[index] if times else index)
    for one in program.finish():
        found.take(one)
    found.late += program.context.late_count
    program.close()
    return found


def _feed(program: Program, component: Any, inputs: dict[str, StreamType], found: Driven, record: Any, time_ns: int) -> None:
    for one in program.watermark(time_ns):
        found.take(one)
    program.context.time_ns = time_ns
    if "*" in program.calls:
        given: Any = {port: _typed(value, inputs[port]) for port, value in record.items()}
        port = "*"
    else:
        port, given = record if isinstance(record, tuple) else ("in", record)
        given = _typed(given, inputs[port]) if port in inputs else given
    for one in program.results(program.calls[port]([given] if component.batched else given)):
        found.take(one)


def _typed(value: Any, kind: StreamType) -> Any:
    return msgspec.convert(value, python_type(kind)) if isinstance(value, dict) else value


@pytest.fixture(name="drive")
def drive_fixture() -> Callable[..., Driven]:
    """The driver."""
    return drive


@pytest.fixture
def examples() -> Path:
    """Folder of the examples with their data."""
    return DATA
