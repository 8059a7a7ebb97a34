"""How far a vertex has come: what a commit says of it beside positions and ports; engine, outbox and source share one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from thalweg.runtime.inputs import BEGINNING
from thalweg.wire.commit import Counters


@dataclass(slots=True)
class Standing:
    """Changed in place while a vertex works.

    Attributes:
        counters: cumulative counts since the deployment began.
        watermark: event time in ns up to which the vertex has worked.
        cursor: of a source: (records read, the source's own cursor behind them).
        touched: something has happened that the log does not know yet.
        rebuilding: inputs are read again to make the state anew; outputs are suppressed.
    """

    counters: Counters = field(default_factory=Counters)
    watermark: int = BEGINNING
    cursor: Any = None
    touched: bool = False
    rebuilding: bool = False
