"""Purges from a deployment's log what nobody needs any more, as `trimming` plans it."""

from __future__ import annotations

import time

from thalweg.bus import deployments
from thalweg.bus.connection import Client
from thalweg.bus.heads import StoredMessage, latest_commits
from thalweg.bus.holds import held_from
from thalweg.bus.watch import Look
from thalweg.wire.spec import DeploymentSpec
from thalweg_coordinator.delaying import TrimDelay
from thalweg_coordinator.trimming import Mark, Window, keep_of, plan_trim, plan_windows


class Trims:
    """What has been purged of one log; made anew with the log."""

    def __init__(self, client: Client) -> None:
        self._client, self._delay, self._mark = client, TrimDelay(), Mark(0, {})
        self._trimmed: dict[str, int] = {}
        self._windows: dict[str, int] = {}

    async def trim(self, spec: DeploymentSpec, look: Look) -> None:
        """Purges what can go since the last time."""
        heads = look.heads
        windows = [one for one in plan_windows(spec, latest_commits(heads)) if self._has_grown(one)]
        if not windows and not self._news(plan_trim(spec, heads)):
            return
        held = await held_from(self._client, spec.workspace, spec.name)
        plan = plan_trim(spec, heads, held)
        if spec.keep_messages or spec.keep_s:
            counts = await deployments.count_messages(self._client, spec.workspace, spec.name)
            plan = self._delay.hold_back(spec, dict(plan), look.last_sequence, counts, time.monotonic())
        for subject, sequence in self._news(plan):
            await deployments.purge_below(self._client, spec.workspace, spec.name, subject, sequence)
            self._trimmed[subject] = sequence
        if windows:
            await self._purge_windows(spec, windows, held, heads)

    async def _purge_windows(self, spec: DeploymentSpec, windows: list[Window], held: int | None, heads: list[StoredMessage]) -> None:
        for window in windows:
            keep = keep_of(window, held, self._mark)
            if keep is not None:
                await deployments.purge_but_last(self._client, spec.workspace, spec.name, window.subject, keep)
                # What a hold has kept is looked at again, though nothing more is written: its writer may wait for room.
                self._windows[window.subject] = window.written - (keep - window.keep)
        if held is None or held > self._mark.sequence:
            last = max(head.sequence for head in heads)
            self._mark = Mark(last, {one.subject: one.written for one in plan_windows(spec, latest_commits(heads))})

    def _has_grown(self, window: Window) -> bool:
        known = self._windows.get(window.subject, 0)
        return window.written - (known if known <= window.written else 0) > window.keep // 4  # one that went back counts on from there

    def _news(self, plan: list[tuple[str, int]]) -> list[tuple[str, int]]:
        return [(subject, sequence) for subject, sequence in plan if sequence > self._trimmed.get(subject, 0)]
