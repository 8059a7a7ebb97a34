"""The place up to which a sink has delivered, kept in a table of the target, in the transaction that delivers."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from thalweg import Context, Place
from thalweg.errors import FencedOutError

TABLE = "thalweg_places"
CREATE = (
    f"create table {TABLE} (run varchar(255) not null, vertex varchar(255) not null, epoch bigint not null, "
    "rewound bigint not null, places text not null, primary key (run, vertex))"
)
_MINE = "where run = :run and vertex = :vertex"
_RETIRED = 2**62  # as an epoch: no copy of a vertex will ever have a higher one

# Runs one statement with values for its `:names`; what it gives has `rowcount` and `fetchone`.
Execute = Callable[[str, dict[str, Any]], Any]


class Delivered:
    """How far one vertex has delivered, over all copies of it.

    A row of `thalweg_places` for each run and vertex holds the last place of each edge, and the epoch of the copy that may write. All
    statements are such that any SQL database understands them. Where the vertex takes the place of retired partitions, what these have
    delivered is so, too.

    Args:
        context: says whose places they are. Without a run, as in unit tests, nothing is kept.
    """

    def __init__(self, context: Context) -> None:
        self._is_kept = bool(context.run)
        self._whose = {"run": context.run, "vertex": context.vertex}
        self._epoch, self._rewound = context.epoch, context.rewound
        self._last: dict[str, list[int]] = {}
        self._formers = dict(context.formers)
        self._before: dict[str, dict[str, list[int]]] = {}  # by retired partition; nobody can move these any more

    def claim(self, execute: Execute, *, is_there: bool) -> None:
        """Takes the row over: older copies cannot write from here on. In a transaction of its own.

        Args:
            execute: runs a statement.
            is_there: the table is; else it is made, which not everyone is allowed to.

        Raises:
            FencedOutError: a newer copy has it.
        """
        if not self._is_kept:
            return
        if not is_there:
            execute(CREATE, {})
        for name, rewound in self._formers.items():
            self._before[name] = self._retire(execute, name, rewound)
        taken = execute(f"update {TABLE} set epoch = :epoch {_MINE} and epoch <= :epoch", self._whose | {"epoch": self._epoch})
        if taken.rowcount:
            return
        if execute(f"select epoch from {TABLE} {_MINE}", self._whose).fetchone() is not None:
            raise self._fenced_out()
        values = self._whose | {"epoch": self._epoch, "rewound": self._rewound}
        execute(f"insert into {TABLE} (run, vertex, epoch, rewound, places) values (:run, :vertex, :epoch, :rewound, '{{}}')", values)

    def _retire(self, execute: Execute, name: str, rewound: int) -> dict[str, list[int]]:
        """Keeps any copy of a retired partition from delivering; what it has delivered, by edge."""
        whose = self._whose | {"vertex": name}
        if not execute(f"update {TABLE} set epoch = :epoch {_MINE}", whose | {"epoch": _RETIRED}).rowcount:
            return {}
        text, then = execute(f"select places, rewound from {TABLE} {_MINE}", whose).fetchone()
        return dict(json.loads(text)) if then == rewound else {}

    def _is_missing(self, place: Place) -> bool:
        at = [place.sequence, place.offset]
        lasts = [self._last, *(self._before.get(name, {}) for name in place.fell_to)]
        return all(at > last.get(place.edge, [0, -1]) for last in lasts)

    def missing(self, execute: Execute, places: list[Place]) -> list[int]:
        """Which of these are not delivered yet, by index. Their row is locked until the transaction ends.

        Raises:
            FencedOutError: a newer copy has claimed it.
        """
        if not self._is_kept:
            return list(range(len(places)))
        # An update, where others would `select … for update`: it locks in every database, SQLite's included.
        locked = execute(f"update {TABLE} set epoch = epoch {_MINE} and epoch = :epoch", self._whose | {"epoch": self._epoch})
        if not locked.rowcount:
            raise self._fenced_out()
        text, rewound = execute(f"select places, rewound from {TABLE} {_MINE}", self._whose).fetchone()
        self._last = json.loads(text) if rewound == self._rewound else {}
        return [index for index, one in enumerate(places) if self._is_missing(one)]

    def advance(self, execute: Execute, places: list[Place]) -> None:
        """Notes that these are delivered; in the same transaction, after `missing`."""
        if not self._is_kept:
            return
        for one in places:
            self._last[one.edge] = max(self._last.get(one.edge, [0, -1]), [one.sequence, one.offset])
        values = self._whose | {"places": json.dumps(self._last), "rewound": self._rewound}
        execute(f"update {TABLE} set places = :places, rewound = :rewound {_MINE}", values)

    def _fenced_out(self) -> FencedOutError:
        return FencedOutError(f"vertex {self._whose['vertex']} delivers in a newer copy", code="vertex.fenced_out")
