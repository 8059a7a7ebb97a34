"""Checks evidence against what is stored, and runs it again."""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from thalweg.api.backends import SHOW as SHOW_BACKEND
from thalweg.api.backends import Which
from thalweg.api.calls import Nothing
from thalweg.api.evidence import KEY, SHOW, WhichEvidence
from thalweg.artifacts import Store
from thalweg.bus.deployments import store_deployment
from thalweg.client import open_session
from thalweg.client.runs import follow, wait_for_log
from thalweg.errors import NotReproducedError, RejectedError, ThalwegError, UnreachableError
from thalweg.graph.fields import is_name
from thalweg.replay.compare import Difference
from thalweg.sdk.catalog import Catalog, load_release
from thalweg.sealed.evidence import check_signature, workspace_key
from thalweg.settings import Settings
from thalweg.wire.evidence import build, differences, spec_from
from thalweg.wire.spec import DeploymentSpec, VertexSpec
from thalweg_cli.by_recording import by_recording
from thalweg_cli.first_difference import Parted, capture_again, check_replay, find_first, replay_of
from thalweg_cli.leased import Place, run_leased
from thalweg_cli.servers import servers_of_data

MAX_EVIDENCE_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Found:
    """What differs, what is to be known beside it, the first record that differs."""

    lines: list[str]
    notes: list[str]
    first: Difference | None = None


def verify_evidence(settings: Settings, which: str, key: str | None, components: list[str]) -> Found:
    """Checks a document. Blocking.

    Raises:
        RejectedError: it cannot be read.
        UnreachableError: a server does not answer.
    """
    settings = settings.model_copy(update={"data": settings.data.resolve()})
    document, trusted = read_evidence(settings, which, key)
    notes: list[str] = []
    try:
        notes.append(f"signed by {check_signature(document, trusted)}" + ("" if trusted else ", which is not known here"))
    except RejectedError as error:
        return Found([f"signature: {error}"], notes)
    spec, lines = spec_from(document), list[str]()
    with servers_of_data(settings) as ready:
        store = Store.of(ready)
        for what, artifact in _artifacts(document):
            try:
                store.check(artifact)
            except RejectedError as error:
                lines.append(f"{what}: {error}")
        lines += _release_faults(spec, _catalog(settings, components))
        if spec.revision:
            lines += asyncio.run(_graph_faults(ready, spec))
        replayed, said = check_replay(store, document)
    return Found(lines + replayed, notes + said)


def rerun_evidence(settings: Settings, which: str, key: str | None, components: list[str], live: list[str]) -> Found:
    """Runs a document's pins again; what is not determined by them comes out of the replay. Blocking.

    Args:
        settings: servers to use.
        which: id, or a file.
        key: to trust.
        components: where releases are.
        live: vertices that are not deterministic, and run all the same.

    Raises:
        RejectedError: it cannot be read, or what ran has no single set of pins.
        NotReproducedError: its signature is not good, or a release is not the one that ran.
        RunFailedError: a vertex failed.
        Interrupted: SIGINT or SIGTERM; all that was started has ended.
    """
    settings = settings.model_copy(update={"data": settings.data.resolve()})
    document, trusted = read_evidence(settings, which, key)
    try:
        check_signature(document, trusted)
    except RejectedError as error:  # as `verify` tells it
        raise NotReproducedError(f"signature: {error}", code=error.code, hint=error.hint) from None
    if why := _unrepeatable(document):
        raise RejectedError(f"{document['id']} cannot be run again: {why}", code="evidence.not_repeatable")
    catalog = _catalog(settings, components)
    spec = spec_from(document)
    if faults := _release_faults(spec, catalog):
        raise NotReproducedError("\n".join(faults), code="evidence.release_differs")
    name = f"rerun-{spec.name[:40]}-{os.urandom(4).hex()}"
    vertices, capture = [_located(one, catalog) for one in spec.vertices], capture_again(document, spec)
    spec = msgspec.structs.replace(spec, name=name, lease=name, vertices=vertices, workspace=settings.workspace, capture=capture)
    spec, notes = by_recording(settings, document, spec, live, catalog)
    lines, parted = _run(settings, spec, document)
    return Found(lines, notes + parted.notes, parted.first)


def _run(settings: Settings, spec: DeploymentSpec, document: dict[str, Any]) -> tuple[list[str], Parted]:
    note = f"thalweg evidence rerun of {spec.backend}"
    return run_leased(
        settings, spec.name, note, spec.vertices, lambda place: _compared(place, spec, document), at_end="roll back", servers=_own_servers
    )


async def _compared(place: Place, spec: DeploymentSpec, document: dict[str, Any]) -> tuple[list[str], Parted]:
    """What the run puts out otherwise, and from which record on."""
    await store_deployment(place.client, spec)
    await wait_for_log(place.client, spec)
    again = build(spec, await follow(place.client, spec, lambda commits: None), document["id"], 0, "unknown")
    lines = differences(document, again)
    return lines, await find_first(place, document, again, spec) if lines else Parted()


def read_evidence(settings: Settings, which: str, key: str | None) -> tuple[dict[str, Any], str | None]:
    """The document, and the key to trust: the given one, else the coordinator's, else the data folder's."""
    path = _path(settings, which)
    if path is None and settings.nats_url is None:
        raise RejectedError(
            f"there is no file {which}, and no evidence of that id in {settings.data / 'evidence'}",
            code="evidence.unknown",
            hint="THALWEG_NATS_URL says where a coordinator runs",
        )
    if path is None:
        if not is_name(which):
            raise RejectedError(f"there is no file {which}", code="evidence.unknown")
        return asyncio.run(_asked(settings, which, key))
    try:
        if path.stat().st_size > MAX_EVIDENCE_BYTES:
            raise RejectedError(f"{path} is too large for evidence", code="evidence.unreadable")
        document = json.loads(path.read_text())
    except OSError as error:
        raise RejectedError(f"{path} cannot be read: {error.strerror}", code="evidence.unreadable") from error
    except (ValueError, RecursionError) as error:
        raise RejectedError(f"{path} is not JSON: {error}", code="evidence.unreadable") from error
    if not isinstance(document, dict):
        raise RejectedError(f"{path} holds no evidence", code="evidence.unreadable")
    return document, key or asyncio.run(_trusted(settings))


def _path(settings: Settings, which: str) -> Path | None:
    places = (Path(which), settings.data / "evidence" / f"{which}.json")
    return next((one for one in places if one.is_file()), None)


async def _asked(settings: Settings, which: str, key: str | None) -> tuple[dict[str, Any], str]:
    async with open_session(settings) as session:
        found = await session.ask(SHOW, WhichEvidence(id=which))
    return found.document, key or found.key


async def _trusted(settings: Settings) -> str | None:
    if settings.nats_url is not None:
        try:
            async with open_session(settings) as session:
                return (await session.ask(KEY, Nothing())).key
        except UnreachableError:
            pass
    if settings.signing_key is None and not (settings.data / "signing.key").exists():
        return None
    return workspace_key(settings.signing_key, settings.data).public


def _own_servers(settings: Settings, name: str, keep: bool) -> AbstractContextManager[Settings]:
    return servers_of_data(settings)


def _artifacts(document: dict[str, Any]) -> list[tuple[str, str]]:
    """Everything in the file store that a document names, and what it calls it."""
    found = [(f"input {artifact}", artifact) for artifact in document["input_artifacts"]]
    for vertex, one in document["vertices"].items():
        found += [(f"{vertex}: generated file {slot} ({file['name']})", file["artifact"]) for slot, file in one["generated"].items()]
    if (replay := replay_of(document)) is not None:
        found.append(("replay", replay))
    if (logs := document.get("logs")) is not None:
        found.append(("logs", logs["artifact"]))
    found += [(f"source of {one.component}", one.archive) for one in spec_from(document).vertices if one.archive]
    return found


def _unrepeatable(document: dict[str, Any]) -> str | None:
    """Why nothing could make the same of it again."""
    if document["redeployed"]:
        return "it was redeployed while it ran"
    if document["verdict"] == "not finished":
        return "it did not come to its end"
    if any(one.get("redriven") or one.get("given_up") for one in document["vertices"].values()):
        return "dead letters were given again, or dropped, while it ran"
    return None


def _catalog(settings: Settings, components: list[str]) -> Catalog:
    return Catalog(paths=(*settings.components, *map(Path, components)))


def _release_faults(spec: DeploymentSpec, catalog: Catalog) -> list[str]:
    lines = []
    for vertex in spec.vertices:
        if vertex.archive:
            continue  # its source is an artifact, and is checked as one
        found = _digest_here(vertex, catalog)
        if found != vertex.digest:
            lines.append(
                f"{vertex.name}: {vertex.component} was {vertex.digest[:19]}…, "
                + (f"here it is {found[:19]}…" if found else "and is not here")
            )
    return lines


def _digest_here(vertex: VertexSpec, catalog: Catalog) -> str | None:
    try:
        return load_release(vertex.component, _located(vertex, catalog).code).manifest.digest
    except (ThalwegError, ImportError):
        return None


def _located(vertex: VertexSpec, catalog: Catalog) -> VertexSpec:
    """With its code where it is here, which need not be where it was."""
    found = catalog.find(*vertex.component.split("@", 1)) if not vertex.archive else None
    return msgspec.structs.replace(vertex, code=found.code) if found is not None else vertex


async def _graph_faults(settings: Settings, spec: DeploymentSpec) -> list[str]:
    try:
        async with open_session(settings) as session:
            found = await session.ask(SHOW_BACKEND, Which(backend=spec.backend, revision=spec.revision))
    except RejectedError as error:
        return [f"graph: {error}"]
    if found.digest == spec.graph_digest:
        return []
    return [f"graph: {spec.backend} at revision {spec.revision} was {spec.graph_digest[:19]}…, now it is {found.digest[:19]}…"]
