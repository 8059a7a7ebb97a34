"""What a run did, as people and as programs read it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import typer

from thalweg.graph.pipeline import Expectation
from thalweg.wire.capturing import Captured
from thalweg.wire.commit import Commit
from thalweg.wire.evidence import port_count
from thalweg.wire.receipts import Delivered
from thalweg_cli.deployments import show_captured


@dataclass(frozen=True)
class Saved:
    """A generated file, saved."""

    vertex: str
    slot: str
    path: Path
    artifact: str
    size_bytes: int


@dataclass(frozen=True)
class Summary:
    """Counts and digests of every vertex, generated files, the first dead letters, what sinks have delivered."""

    deployment: str
    seconds: float
    commits: dict[str, Commit]
    saved: list[Saved]
    dead: list[dict[str, Any]]
    expect: list[Expectation]
    evidence: Path
    captured: Captured | None = None
    delivered: dict[str, Delivered] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The same as JSON values."""
        return {
            "deployment": self.deployment,
            "seconds": round(self.seconds, 3),
            "vertices": {
                name: {
                    "in": commit.counters.records_in,
                    "out": commit.counters.records_out,
                    "dead": commit.counters.dead,
                    "late": commit.counters.late,
                    "dropped": commit.counters.dropped,
                    "errors": commit.counters.errors,
                    "delivered": asdict(self.delivered[name]) if name in self.delivered else None,
                    "ports": {port: {"count": stored.count, "digest": stored.digest} for port, stored in commit.ports.items()},
                }
                for name, commit in self.commits.items()
            },
            "generated": [
                {"vertex": one.vertex, "slot": one.slot, "path": str(one.path), "artifact": one.artifact, "size_bytes": one.size_bytes}
                for one in self._saved_in_order()
            ],
            "dead_letters": self.dead,
            "evidence": str(self.evidence),
            "replay": msgspec.to_builtins(self.captured) if self.captured is not None else None,
            "unmet": self.unmet(),
        }

    def show(self) -> None:
        """Prints a few lines."""
        width = max(map(len, self.commits))
        for name, commit in self.commits.items():
            counters = commit.counters
            known = (("dead", counters.dead), ("late", counters.late), ("dropped", counters.dropped))
            extra = "".join(f", {value:,} {label}" for label, value in known if value)
            digest = "".join(f"  {port} {stored.digest[:12]}" for port, stored in commit.ports.items())
            sent = self.delivered.get(name)
            told = f"  delivered {sent.count:,}{f' to {sent.target}' if sent.target else ''}" if sent is not None else digest
            typer.echo(f"{name:<{width}}  {counters.records_in:>9,} in  {counters.records_out:>9,} out{extra}{told}")
        for one in self._saved_in_order():
            typer.echo(f"saved {one.path}  {one.size_bytes:,} bytes  {one.artifact[:19]}…")
        for letter in self.dead:
            place, error = letter["where"], letter["error"]  # a source's error names its place itself
            typer.echo(f"dead letter: {letter['vertex']}: {error if error.startswith(place) else f'{place}: {error}'}")
        if self.captured is not None:
            show_captured(self.captured)
        typer.echo(f"evidence {_short(self.evidence)}")
        typer.echo(f"done in {self.seconds:.1f} s")
        for line in self.unmet():
            typer.echo(f"error: {line}", err=True)

    def unmet(self) -> list[str]:
        """Expectations that are not met, as lines."""
        lines = []
        for one in self.expect:
            count = port_count(self.commits, one.vertex, one.port)
            low, high = one.count.min, one.count.max
            if (low is not None and count < low) or (high is not None and count > high):
                lines.append(f"expected {_bounds(low, high)} records on {one.vertex}.{one.port}, got {count:,}")
        return lines

    def _saved_in_order(self) -> list[Saved]:
        """In the order of the vertices, then of their slots: vertices end in any order."""
        order = list(self.commits)
        return sorted(self.saved, key=lambda one: (order.index(one.vertex), one.slot))


def _short(path: Path) -> Path:
    """Relative to the working directory where it is below that."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _bounds(low: int | None, high: int | None) -> str:
    if low == high:
        return f"exactly {low:,}"
    if high is None:
        return f"at least {low:,}"
    return f"{low:,} to {high:,}" if low else f"at most {high:,}"
