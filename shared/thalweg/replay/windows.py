"""Writes a window of a run, out of a ring, as a replay that is whole in itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from thalweg.replay.completeness import Completeness, Stretch
from thalweg.replay.format import Entry
from thalweg.replay.recorder import Recorder
from thalweg.replay.ring import Ring
from thalweg.replay.said import Said
from thalweg.wire.capturing import ALL, captured_ports
from thalweg.wire.spec import DeploymentSpec


def about_of(spec: DeploymentSpec) -> dict[str, str]:
    """What a replay says of itself at its beginning: nothing that a redeploy changes."""
    return {
        "format": "thalweg-replay/1",
        "workspace": spec.workspace,
        "deployment": spec.name,
        "backend": spec.backend,
        "deployed_ns": str(spec.deployed_ns),
        "capture": spec.capture,
    }


def packed_spec(spec: DeploymentSpec) -> bytes:
    """What ran, as it is attached."""
    return msgspec.json.encode(msgspec.structs.replace(spec, desired="running"))


def types_of(spec: DeploymentSpec) -> dict[tuple[str, str], str]:
    """Stream type of each output port."""
    return {(one.name, port): kind for one in spec.vertices for port, kind in one.outputs.items()}


def write_window(path: Path, ring: Ring, spec: DeploymentSpec, cause: str, reason: str | None = None) -> Completeness:
    """Writes what a ring has; its account. Blocking; messages may be added to the ring meanwhile, and are not in it.

    Args:
        path: the file; one that is there is replaced.
        ring: of the log.
        spec: what runs.
        cause: why it is saved.
        reason: why it is not whole, where that is known.

    Raises:
        OSError: the disk does not take it.
    """
    path.unlink(missing_ok=True)
    path.with_suffix(".tail").unlink(missing_ok=True)
    said, types, extent = Said(is_window=True), types_of(spec), ring.extent()
    entries = ring.window()
    first = next(entries, None)
    recorder = Recorder(
        path,
        about_of(spec),
        packed_spec(spec),
        lambda vertex, port: types.get((vertex, port)),
        is_gapless=spec.capture == ALL,
        start=first.sequence if first is not None else 1,
    )
    for entry in _with(first, entries):
        recorder.add_entry(entry)
        said.add(entry)
    window = Stretch(ring.last_s, first.time_ns if first is not None else 0, extent.to_ns, cause)
    return recorder.seal(_captured(said.written(), spec), reason, window=window)


def _with(first: Entry | None, rest: Iterator[Entry]) -> Iterator[Entry]:
    if first is not None:
        yield first
    yield from rest


def _captured(written: Mapping[tuple[str, str], int], spec: DeploymentSpec) -> dict[tuple[str, str], int]:
    return {place: written[place] for place in captured_ports(spec) if place in written}
