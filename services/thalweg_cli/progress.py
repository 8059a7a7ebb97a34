"""The progress display of a run: per vertex records in, out, rate and lag; a live table on a terminal, nothing elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

from thalweg.graph.plan import Plan
from thalweg.wire.commit import Commit


class Progress:
    """Shows how far each vertex is.

    Args:
        plan: what runs.
        console: where to show it; None shows nothing.
    """

    def __init__(self, plan: Plan, console: Console | None) -> None:
        self._plan, self._console = plan, console if console is not None and console.is_terminal else None
        self._live: Live | None = None
        self._before: dict[str, tuple[float, int, float]] = {}

    def __enter__(self) -> Self:
        if self._console is not None:
            self._live = Live(console=self._console, refresh_per_second=8, transient=True)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def update(self, commits: dict[str, Commit]) -> None:
        """Shows the newest commits."""
        if self._live is not None:
            self._live.update(self._table(commits))

    def upload(self, name: str) -> Callable[[int, int], None] | None:
        """A callback that shows an upload's progress on a terminal."""
        if self._console is None:
            return None
        console = self._console

        def show(sent: int, total: int) -> None:
            console.print(f"uploading {name}: {sent / max(total, 1):.0%}", end="\r", highlight=False)

        return show

    def _table(self, commits: dict[str, Commit]) -> Table:
        table = Table(box=None, pad_edge=False)
        table.add_column("vertex")
        for title in ("in", "out", "records/s", "lag", "state"):
            table.add_column(title, justify="right")
        for vertex in self._plan.vertices:
            commit = commits.get(vertex.name)
            if commit is None:
                table.add_row(vertex.name, "", "", "", "", "starting")
                continue
            taken = commit.counters.records_in
            waiting = sum(
                commits[src].ports[port].count for src, port, _, _ in vertex.inputs if src in commits and port in commits[src].ports
            )
            lag = f"{max(waiting - taken, 0):,}" if vertex.inputs else ""
            state = "ended" if commit.ended else "failed" if commit.failure else "running"
            table.add_row(
                vertex.name, f"{taken:,}", f"{commit.counters.records_out:,}", f"{self._rate(vertex.name, taken):,.0f}", lag, state
            )
        return table

    def _rate(self, vertex: str, taken: int) -> float:
        now = time.monotonic()
        since, before, rate = self._before.get(vertex, (now, taken, 0.0))
        if now - since >= 0.5:
            rate = (taken - before) / (now - since)
            self._before[vertex] = (now, taken, rate)
        else:
            self._before.setdefault(vertex, (now, taken, rate))
        return rate
