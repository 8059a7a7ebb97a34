"""Decides by what is on the log whether a window of it is to be saved; pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from thalweg.graph.partitions import partition_of
from thalweg.wire.capturing import DEAD_LETTER, ERROR, EXPECTATION
from thalweg.wire.commit import HEADER, Commit, decode_commit
from thalweg.wire.spec import DeploymentSpec, ExpectSpec
from thalweg.wire.subjects import DEAD_PORT, parse_port

MAX_CAUSE = 300


class Triggers:
    """Looks at one log, message by message.

    Args:
        spec: what runs, with what sets off a trigger.
        errors: counts of errors by vertex, as of the message before the first one.
        told: what has been told before and is not told again.
    """

    def __init__(self, spec: DeploymentSpec, errors: Mapping[str, int], told: Collection[str]) -> None:
        self._spec, self.errors, self.told = spec, dict(errors), list(told)
        self._commits: dict[str, Commit] = {}

    def take_over(self, spec: DeploymentSpec) -> None:
        """The deployment is another generation from here on."""
        self._spec = spec

    def look(self, subject: str, headers: Mapping[str, str]) -> str | None:
        """Why a window is to be saved now; None where nothing has happened."""
        place, text = parse_port(subject), headers.get(HEADER)
        if place is None or text is None or not self._spec.capture_on:
            return None
        commit, vertex = decode_commit(text), place[0]
        is_dead = place[1] == DEAD_PORT and DEAD_LETTER in self._spec.capture_on
        found = self._error(vertex, commit) or self._expectation(vertex, commit)
        if is_dead and found is None:
            found = f"{DEAD_LETTER}: {vertex} has put {_count(commit.counters.dead, 'record')} aside"
        return found[:MAX_CAUSE] if found is not None else None

    def _error(self, vertex: str, commit: Commit) -> str | None:
        before, now = self.errors.get(vertex, 0), commit.counters.errors
        self.errors[vertex] = now
        if ERROR not in self._spec.capture_on:
            return None
        if commit.failure is not None:
            said = f"{ERROR}: {vertex} has failed: {commit.failure.message}"
            return self._once(f"{vertex} failed in {commit.epoch}", said)
        return f"{ERROR}: {vertex} has met {_count(now, 'error')}" if now > before else None

    def _expectation(self, vertex: str, commit: Commit) -> str | None:
        if EXPECTATION not in self._spec.capture_on:
            return None
        self._commits[vertex] = commit
        own = [one for one in self._spec.expect if one.vertex == partition_of(vertex)[0]]
        broken = ((one, self._broken(one)) for one in own)
        told = (self._once(f"{one.vertex}.{one.port} {one.min} {one.max}", said) for one, said in broken if said is not None)
        return next((said for said in told if said is not None), None)

    def _broken(self, expected: ExpectSpec) -> str | None:
        """Of all partitions of its vertex, as far as they have committed since this began to look."""
        parts = [one.name for one in self._spec.vertices if partition_of(one.name)[0] == expected.vertex]
        commits = [self._commits[name] for name in parts if name in self._commits]
        count = sum(one.ports[expected.port].count for one in commits if expected.port in one.ports)
        said = f"{EXPECTATION}: {expected.vertex}.{expected.port} has put out {count:,} records"
        if expected.max is not None and count > expected.max:
            return f"{said}, more than {expected.max:,}"
        if (
            expected.min is not None
            and count < expected.min
            and len(commits) == len(parts)
            and all(one.ended or one.retired for one in commits)
        ):
            return f"{said} at its end, fewer than {expected.min:,}"
        return None

    def _once(self, key: str, said: str) -> str | None:
        if key in self.told:
            return None
        self.told.append(key)
        return said


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")
