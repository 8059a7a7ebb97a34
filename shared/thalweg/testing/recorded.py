"""Records of a replay as golden ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from thalweg.errors import RejectedError
from thalweg.graph.parse import parse_type
from thalweg.replay.compare import upstream_first
from thalweg.replay.partial import is_window
from thalweg.replay.reader import Replay
from thalweg.sdk.records import python_type
from thalweg.testing.comparing import plain
from thalweg.wire.capturing import captured_ports
from thalweg.wire.spec import DeploymentSpec

SUFFIX, ARTIFACT = ".mcap", "sha256:"
Fetch = Callable[[str], Path]
"""Local copy of an artifact. Blocking; raises ThalwegError."""


def is_replay(text: str) -> bool:
    """Whether a manifest names a replay there: a file, or an artifact."""
    return text.startswith(ARTIFACT) or text.lower().endswith(SUFFIX)


def open_golden(text: str, base: Path, fetch: Fetch) -> tuple[Replay, DeploymentSpec]:
    """A replay that a manifest names, and what ran. It need not have every record: a golden replay may have been cut short.

    Raises:
        RejectedError: `golden.unreadable`, it is not there, or damaged.
        ThalwegError: as `fetch` does.
    """
    path = fetch(text) if text.startswith(ARTIFACT) else base / text
    if not path.is_file():
        raise RejectedError(f"{text} is not there", code="golden.unreadable", hint="`thalweg run` captures one")
    replay = Replay(path)
    if replay.faults or replay.spec is None:
        raise RejectedError(f"{text} is damaged: {next(iter(replay.faults), 'what ran is missing')}", code="golden.unreadable")
    if is_window(replay):
        what = f"{text} is a window of a run: what its vertices did at its beginning comes from before it"
        raise RejectedError(what, code="golden.unreadable", hint="`thalweg replay trim` makes a replay of it that begins anew")
    return replay, replay.spec


def golden_ports(spec: DeploymentSpec) -> dict[tuple[str, str], str]:
    """Stream type of each port that was captured, upstream ones first."""
    types = {(one.name, port): kind for one in spec.vertices for port, kind in one.outputs.items()}
    there = set(captured_ports(spec))
    return {one: types[one] for one in upstream_first(spec) if one in there}


def golden_values(replay: Replay, vertex: str, port: str, kind: str) -> Iterator[Any]:
    """Records of a port, as they are compared."""
    decode = msgspec.msgpack.Decoder(python_type(parse_type(kind))).decode
    return (plain(decode(record.packed)) for record in replay.records(vertex, port))
