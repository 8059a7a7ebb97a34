"""Finds where a run that was made again parts from the first one, by the replays of both."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from thalweg.artifacts import Store
from thalweg.bus.captures import finish_capture
from thalweg.errors import ThalwegError
from thalweg.replay.compare import Difference, first_difference, upstream_first
from thalweg.replay.proof import evidence_faults
from thalweg.replay.reader import Replay
from thalweg.wire.capturing import NONE, captured_ports
from thalweg.wire.evidence import account_faults, is_receipts
from thalweg.wire.spec import DeploymentSpec
from thalweg_cli.leased import Place

FILE_NAME = "replay.mcap"
PART = "the replay is a window of the run: counts and digests of its ports are those of a part"


@dataclass(frozen=True, slots=True)
class Parted:
    """Where two runs part, as far as that is known; `notes` say what is not."""

    first: Difference | None = None
    notes: list[str] = field(default_factory=list)


def capture_again(document: Mapping[str, Any], spec: DeploymentSpec) -> str:
    """What to capture of another run: what the first one's replay has."""
    return spec.capture if replay_of(document) is not None else NONE


def replay_of(document: Mapping[str, Any]) -> str | None:
    """The replay that evidence names; None where it names none."""
    replay = document.get("replay") or {}
    return replay.get("artifact") if isinstance(replay, dict) else None


async def find_first(place: Place, document: Mapping[str, Any], again: Mapping[str, Any], spec: DeploymentSpec) -> Parted:
    """Compares record by record, on the ports that are known to differ, what the graph computes first before the rest.

    Args:
        place: where the second run is.
        document, again: evidence of both runs.
        spec: of the second one.
    """
    artifact, ports = replay_of(document), differing_ports(document, again, spec)
    if artifact is None:
        return Parted(notes=["which record is the first that differs is not known: the first run was not captured"])
    if not ports:
        return Parted(notes=["no record of a captured port differs"])
    captured = await finish_capture(place.client, spec)
    if captured is None or captured.artifact is None:
        why = captured.reason if captured is not None else "it was not captured"
        return Parted(notes=[f"which record is the first that differs is not known: the second run has no replay: {why}"])
    store = Store.of(place.settings, place.lease)
    try:
        return await asyncio.to_thread(_compare, store, artifact, captured.artifact, document, ports)
    except ThalwegError as error:
        return Parted(notes=[f"which record is the first that differs is not known: {error}"])


def differing_ports(document: Mapping[str, Any], again: Mapping[str, Any], spec: DeploymentSpec) -> list[tuple[str, str]]:
    """Captured ports whose count or digest is another, upstream ones first."""
    there = set(captured_ports(spec)) if spec.capture != NONE else set()
    return [one for one in upstream_first(spec) if one in there and not _is_same(document, again, one)]


def _is_same(document: Mapping[str, Any], again: Mapping[str, Any], place: tuple[str, str]) -> bool:
    old, new = _port(document, place), _port(again, place)
    if old and new and is_receipts(document, *place):
        return bool(old["count"] == new["count"])
    return bool(old == new)


def _port(document: Mapping[str, Any], place: tuple[str, str]) -> Any:
    return document["vertices"].get(place[0], {"ports": {}})["ports"].get(place[1])


def _compare(store: Store, first: str, second: str, document: Mapping[str, Any], ports: list[tuple[str, str]]) -> Parted:
    before, after = (Replay(store.fetch(one, FILE_NAME)) for one in (first, second))
    found, notes = first_difference(before, after, ports), list[str]()
    vertex, port = (found.vertex, found.port) if found is not None else ports[0]
    pinned = _port(document, (vertex, port)) or {"count": 0, "digest": ""}
    if before.digest(vertex, port) != (pinned["count"], pinned["digest"]):
        notes.append(f"the first run's replay does not have all of {vertex}.{port}, or is damaged: an earlier record may differ")
    return Parted(found, [*notes, *(f"replay of the first run: {fault}" for fault in before.faults)])


def check_replay(store: Store, document: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """What is wrong with the replay that evidence names, and what is to be known of it."""
    artifact = replay_of(document)
    if artifact is None:
        return [], []
    try:
        replay = Replay(store.fetch(artifact, FILE_NAME))
    except ThalwegError:
        return [], []  # told where the artifacts are checked
    if not document["replay"]["complete"]:
        return [], [f"the replay is incomplete: {document['replay']['reason']}"]
    if not replay.verify() or replay.spec is None:
        return [f"replay: {fault}" for fault in replay.faults or ["it is incomplete"]], []
    if replay.completeness is not None and replay.completeness.window is not None:
        return [], [PART]
    told = replay.account
    lines = evidence_faults(replay, document) + (account_faults(told, document) if told is not None else [])
    return [f"replay: {line}" for line in lines], []
