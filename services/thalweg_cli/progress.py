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
            line = f"uploading {name}: {sent / max(total, 1):.0%}" if sent < total else ""
            room = console.width - 1
            console.print(f"{line[:room]:<{room}}", end="\r", highlight=False, markup=False)

        return show

    def _table(self, commits: dict[str, Commit]) -> Table:
        table = Table(box=None, pad_edge=False)
        table.add_column("vertex", no_wrap=True, overflow="ellipsis", min_width=6)
        shown = self._columns()
        for title in shown:
            table.add_column(title, justify="right", no_wrap=True)
        parts = {one.name: one.parts for one in self._plan.vertices}
        for vertex, name in ((one, name) for one in self._plan.vertices for name in one.parts):
            commit = commits.get(name)
            if commit is None:
                table.add_row(name, *("starting" if title == "state" else "" for title in shown))
                continue
            taken = commit.counters.records_in
            waiting = sum(
                commits[part].ports[port].count
                for src, port, _, _ in vertex.inputs
                for part in parts[src]
                if part in commits and port in commits[part].ports
            )
            lag = f"{max(waiting - taken, 0):,}" if vertex.inputs and vertex.partitions == 1 else ""  # of a share nobody knows the size
            state = "ended" if commit.ended else "failed" if commit.failure else "running"
            cells = {
                "in": f"{taken:,}",
                "out": f"{commit.counters.records_out:,}",
                "records/s": f"{self._rate(name, taken):,.0f}",
                "lag": lag,
                "state": state,
            }
            table.add_row(name, *(cells[title] for title in shown))
        return table

    def _columns(self) -> list[str]:
        """Beside the vertex: what there is room for, the least telling left out first."""
        width = self._console.width if self._console is not None else 80
        left_out = {title for title, needed in (("lag", 70), ("records/s", 56), ("in", 40)) if width < needed}
        return [title for title in ("in", "out", "records/s", "lag", "state") if title not in left_out]

    def _rate(self, vertex: str, taken: int) -> float:
        now = time.monotonic()
        since, before, rate = self._before.get(vertex, (now, taken, 0.0))
        if now - since >= 0.5:
            rate = (taken - before) / (now - since)
            self._before[vertex] = (now, taken, rate)
        else:
            self._before.setdefault(vertex, (now, taken, rate))
        return rate
