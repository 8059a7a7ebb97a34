"""Sinks and sources as a vertex drives them, one batch or one restart at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from itertools import islice
from typing import Any

from thalweg import Context, Place, Receipt, Secret
from thalweg.graph.parse import parse_type
from thalweg.sdk.component import component_of
from thalweg.sdk.records import python_type

EDGE = "rows.out>in"


class Copy:
    """One copy of a sink vertex, in a life of a deployment.

    Args:
        component: the sink.
        kind: stream type of its records.
        params, secrets: as bound.
        epoch, rewound, run: as the context says them.
    """

    def __init__(
        self,
        component: Any,
        kind: str,
        params: dict[str, Any],
        secrets: dict[str, str],
        *,
        epoch: int = 1,
        rewound: int = 0,
        run: str = "default/d@1",
        vertex: str = "sink",
        formers: dict[str, int] | None = None,
    ) -> None:
        self.context = Context(vertex, {"in": parse_type(kind)}, {}, {})
        self.context.formers = formers or {}
        self.context.run, self.context.epoch, self.context.rewound = run, epoch, rewound
        self._class = python_type(parse_type(kind))
        self._sink = component()
        model = component_of(component).params
        assert model is not None
        self._sink.params = model.model_validate(params)
        for slot, is_needed in component_of(component).secrets.items():
            setattr(self._sink, slot, Secret(secrets[slot]) if slot in secrets or is_needed else None)
        for slot in component_of(component).files:
            setattr(self._sink, slot, None)
        self._runner = asyncio.Runner()
        try:
            self._run(self._sink.setup(self.context))
        except BaseException:
            self.close()
            raise

    def give(self, first: int, records: list[dict[str, Any]], *fell_to: str) -> list[Receipt]:
        """Delivers a batch whose records stand on the log from a place on."""
        self.context.places = [Place(EDGE, first + index, 0, fell_to) for index in range(len(records))]
        self.context.record_ids = [first + index for index in range(len(records))]
        receipts: list[Receipt] = self._run(self._sink.process([self._class(**one) for one in records]))
        return receipts

    def close(self) -> None:
        """Ends it."""
        self._run(self._sink.close())
        self._runner.close()

    def _run(self, given: Any) -> Any:
        return self._runner.run(given) if asyncio.iscoroutine(given) else given


class Reading:
    """One copy of a source vertex; `close` it, or use it in a `with`.

    Args:
        component: the source.
        params, secrets: as bound.
    """

    def __init__(self, component: Any, params: dict[str, Any], secrets: dict[str, str]) -> None:
        model = component_of(component).params
        assert model is not None
        self._source = component()
        self._source.params = model.model_validate(params)
        for slot, is_needed in component_of(component).secrets.items():
            setattr(self._source, slot, Secret(secrets[slot]) if slot in secrets or is_needed else None)
        for slot in component_of(component).files:
            setattr(self._source, slot, None)
        kind = component.resolve_types(self._source.params, {}, {})["out"]
        self._source.setup(Context("source", {}, {"out": kind}, {"out": python_type(kind)}))

    def __enter__(self) -> Reading:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def items(self, cursor: Any = None) -> Iterable[Any]:
        """All items behind a cursor."""
        found: Iterable[Any] = self._source.read(cursor)
        return found

    def take(self, count: int, cursor: Any = None) -> list[Any]:
        """The first items behind a cursor."""
        return list(islice(self.items(cursor), count))

    def close(self) -> None:
        """Ends it."""
        self._source.close()
