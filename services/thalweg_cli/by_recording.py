"""Has a run that is made again from its evidence follow what was recorded of it: answers that would change, orders of arrival."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from thalweg.errors import RejectedError, ThalwegError
from thalweg.graph.partitions import partition_of
from thalweg.graph.releases import Releases
from thalweg.replay.feeding import content_of, unknown_vertex
from thalweg.replay.ordering import in_recorded_order
from thalweg.replay.reader import Replay
from thalweg.replay.standing_in import StandIns, Wishes, plan_stand_ins, put_in
from thalweg.settings import Settings
from thalweg.wire.spec import DeploymentSpec, FileSpec
from thalweg_cli.first_difference import FILE_NAME, replay_of
from thalweg_cli.replay import open_replay


def by_recording(
    settings: Settings, document: Mapping[str, Any], spec: DeploymentSpec, live: Collection[str], releases: Releases
) -> tuple[DeploymentSpec, list[str]]:
    """The spec of the run to make, and what is to be known of it, as lines. Blocking.

    Args:
        settings: where the replay is.
        document: the evidence.
        spec: what ran.
        live: vertices that are not deterministic, and run all the same.
        releases: where components are found.

    Raises:
        RejectedError: `vertex.unknown`.
    """
    names = dict.fromkeys(partition_of(one.name)[0] for one in spec.vertices)
    for name in live:
        if name not in names:
            raise unknown_vertex(name, names)
    if not document["not_deterministic"] and not any(one.is_by_arrival for one in spec.vertices):
        return spec, []
    try:
        replay, file = _replay(settings, document)
        ran = replay.spec
        assert ran is not None
        stand_ins = plan_stand_ins(content_of(spec), replay, ran, Wishes(live=live), releases, sources_run=True)
    except ThalwegError as error:
        doubtful = [f"{name} is not deterministic: it, and what follows it, may differ" for name in document["not_deterministic"]]
        doubtful += [f"{one.name} takes records as they come: their order may differ" for one in spec.vertices if one.is_by_arrival]
        return spec, [*doubtful, *([str(error)] if doubtful else [])]
    vertices, notes = in_recorded_order(put_in(spec.vertices, stand_ins, file, releases), ran, file)
    return msgspec.structs.replace(spec, vertices=vertices), [*_told(stand_ins), *stand_ins.notes, *notes]


def _replay(settings: Settings, document: Mapping[str, Any]) -> tuple[Replay, FileSpec]:
    artifact = replay_of(document)
    if artifact is None:
        raise RejectedError("the run was not captured, so nothing recorded can be followed", code="replay.no_input")
    replay = open_replay(settings, artifact)
    if not replay.is_complete or replay.spec is None:
        why = next(iter(replay.faults), "it does not have all")
        raise RejectedError(f"the replay is incomplete, so nothing recorded can be followed: {why}", code="replay.incomplete")
    return replay, FileSpec(artifact, FILE_NAME, document["replay"]["size_bytes"])


def _told(stand_ins: StandIns) -> list[str]:
    return [f"{name} is not deterministic: it gave what it gave then" for name in (*stand_ins.answered, *stand_ins.given)]
