"""Answers calls about dead letters: writes what is to be done about them, which their vertex reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from thalweg.api import dead_letters as api
from thalweg.api.calls import Call
from thalweg.api.leases import check_owner
from thalweg.bus.connection import Client
from thalweg.bus.dead_letters import Standing, append_again, read_letters, read_standing
from thalweg.bus.deployments import load_deployment
from thalweg.bus.fenced import StaleWriteError
from thalweg.client.dead_letters import value_from_json, vertex_named
from thalweg.client.runs import read_commits
from thalweg.errors import RejectedError
from thalweg.wire.dead_letters import Letter, Settled, encode_again, is_settled, settle
from thalweg.wire.spec import DeploymentSpec, VertexSpec, has_ended
from thalweg_coordinator.api import Handler

MAX_AT_ONCE, MAX_BYTES = 256, 4 << 20
_LISTED = "`thalweg dead-letters list` shows those that are open"
Place = tuple[int, int]


class DeadLetters:
    """Handlers by call.

    Args:
        client: NATS connection.
        workspace: whose deployments.
    """

    def __init__(self, client: Client, workspace: str) -> None:
        self._client, self._workspace = client, workspace

    def handlers(self) -> dict[Call[Any, Any], Handler]:
        """By call of `thalweg.api.dead_letters`."""
        return {api.SETTLE: self.settle}

    async def settle(self, asked: api.Settle) -> api.Done:
        """Gives letters again, or drops them, in groups that are stored whole or not at all."""
        spec = await load_deployment(self._client, self._workspace, asked.name)
        check_owner("deployment", spec.name, spec.lease, asked.owner)
        vertex = vertex_named(spec, asked.vertex)
        commit = (await read_commits(self._client, spec)).get(vertex.name)
        refuse_unless_settled_by(spec, vertex, has_ended(vertex, commit))
        standing = await read_standing(self._client, spec, vertex, commit)
        counts = {found.sequence: len(found.letters) async for found in read_letters(self._client, spec, vertex.name)}
        wanted = check_named(asked, vertex.name, standing.settled, counts)
        work = _Work(self._client, spec, vertex, asked, standing, counts)
        async for found in read_letters(self._client, spec, vertex.name):
            for index, letter in enumerate(found.letters):
                place = (found.sequence, index)
                is_open = found.sequence in counts and not is_settled(standing.settled, *place)
                if is_open and (not wanted or place in wanted):
                    await work.add(place, letter)
        await work.flush()
        return api.Done(done=work.done, left=work.left)


class _Work:
    """Letters that are gathered into groups. `done` and `left` count them."""

    def __init__(
        self, client: Client, spec: DeploymentSpec, vertex: VertexSpec, asked: api.Settle, standing: Standing, counts: Mapping[int, int]
    ) -> None:
        self._client, self._spec, self._vertex, self._asked, self._counts = client, spec, vertex, asked, counts
        self._last, self._settled = standing.last, standing.settled
        self._places, self._letters, self._bytes = list[Place](), list[Letter](), 0
        self.done = self.left = 0

    async def add(self, place: Place, letter: Letter) -> None:
        if self._asked.action == "redrive":
            chosen = self._as_it_goes(letter)
            if chosen is None:
                self.left += 1
                return
            limit = min(MAX_BYTES, self._client.max_payload - 65_536)
            if self._places and self._bytes + len(chosen.value) > limit:
                await self.flush()
            self._letters.append(chosen)
            self._bytes += len(chosen.value)
        self._places.append(place)
        if len(self._places) >= MAX_AT_ONCE:
            await self.flush()

    def _as_it_goes(self, letter: Letter) -> Letter | None:
        """The letter with the record that is given again; None for one that has none, and was not named."""
        if not letter.port:
            why = f"{self._vertex.name} combines records of several inputs: one alone cannot be given again"
        elif self._asked.has_value:
            return msgspec.structs.replace(letter, value=value_from_json(self._vertex, letter.port, self._asked.value))
        elif letter.whole:
            return letter
        else:
            why = "its record is not kept whole: it was too long, or has a secret in it; --edit gives another one"
        if self._asked.letters:
            raise RejectedError(f"the letter cannot be given again: {why}", code="dead_letters.not_whole")
        return None

    async def flush(self) -> None:
        if not self._places:
            return
        settled, closed = settle(self._settled, self._places, self._counts)
        dropped = len(self._places) if self._asked.action == "drop" else 0
        body = encode_again(self._letters, dropped, closed, settled)
        try:
            self._last = await append_again(self._client, self._spec, self._vertex.name, body, self._last)
        except StaleWriteError:
            what = f"somebody else has settled dead letters of {self._vertex.name} meanwhile"
            raise RejectedError(what, code="dead_letters.busy", hint=f"{_LISTED}; try again") from None
        self.done += len(self._places)
        self._settled, self._places, self._letters, self._bytes = settled, [], [], 0


def refuse_unless_settled_by(spec: DeploymentSpec, vertex: VertexSpec, ended: bool) -> None:
    """Refuses a vertex that would not read what is to be done.

    Raises:
        RejectedError: `deployment.stopping`, `dead_letters.of_source`, `dead_letters.retired`, `dead_letters.ended`.
    """
    if spec.desired != "running":
        raise RejectedError(f"deployment {spec.name} is {spec.desired}", code="deployment.stopping", hint=_export(spec, vertex))
    if vertex.endpoint == "in":
        hint = f"the newest are kept; {_export(spec, vertex)}; send what is mended to the endpoint"
        raise RejectedError(f"dead letters of {vertex.name} came from outside", code="dead_letters.of_source", hint=hint)
    if not vertex.inputs:
        hint = f"mend what it reads; {_export(spec, vertex)}"
        raise RejectedError(f"dead letters of {vertex.name} are pieces of what it reads outside", code="dead_letters.of_source", hint=hint)
    if vertex.retired:
        what = f"{vertex.name} was retired in generation {vertex.retired}, and takes nothing more"
        raise RejectedError(what, code="dead_letters.retired", hint=f"{_export(spec, vertex)}, to feed them in again")
    if ended:
        what = f"{vertex.name} has come to its end, and takes nothing more"
        raise RejectedError(what, code="dead_letters.ended", hint=f"{_export(spec, vertex)}, to feed them into a new run")


def check_named(asked: api.Settle, vertex: str, settled: Settled, counts: Mapping[int, int]) -> set[Place]:
    """The letters that are named; empty where all are meant.

    Raises:
        RejectedError: `dead_letters.unknown`, one is not there, or no longer open.
    """
    wanted = {(one.sequence, one.index) for one in asked.letters}
    for sequence, index in sorted(wanted):
        if index >= counts.get(sequence, 0) or is_settled(settled, sequence, index):
            raise RejectedError(f"{vertex} has no open dead letter {sequence}:{index}", code="dead_letters.unknown", hint=_LISTED)
    return wanted


def _export(spec: DeploymentSpec, vertex: VertexSpec) -> str:
    return f"`thalweg dead-letters export {spec.name} {vertex.name} FILE.jsonl` saves them"
