"""Reads a pipeline file that may not be well formed, so that the faults of its other parts are found as well."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from thalweg.graph.pipeline import Pipeline
from thalweg.graph.plan import Fault, Inspect, Plan, check_pipeline
from thalweg.graph.releases import Releases
from thalweg.graph.wording import DataFault, data_faults

_SPARE = frozenset({"generated", "partitions", "key", "on_error"})  # a vertex can be checked without
_FOLLOW_UPS = frozenset({"graph.empty", "input.unconnected"})  # of what was left out


@dataclass(frozen=True, slots=True)
class Draft:
    """What of a pipeline file is well formed, and the faults of the rest; no pipeline where nothing is left."""

    pipeline: Pipeline | None
    faults: tuple[Fault, ...] = ()


def read_draft(content: Any, what: str) -> Draft:
    """Reads the content of a pipeline file; `what` names it in messages."""
    try:
        return Draft(Pipeline.model_validate(content))
    except ValidationError as error:
        found = data_faults(error, Pipeline.model_json_schema())
    faults = tuple(Fault("pipeline.invalid", (what,), one.message, detail=one.path) for one in found)
    try:
        return Draft(Pipeline.model_validate(_sound_part(content, found)), faults)
    except ValidationError:
        return Draft(None, faults)


def check_draft(draft: Draft, releases: Releases, base: Path | None, inspect: Inspect | None = None) -> Plan:
    """As `check_pipeline`, with the faults of the draft before those of the graph."""
    if draft.pipeline is None:
        return Plan(Pipeline(backend="unnamed"), list(draft.faults))
    plan = check_pipeline(draft.pipeline, releases, base, inspect)
    if draft.faults:
        plan.faults = [*draft.faults, *(one for one in plan.faults if one.code not in _FOLLOW_UPS)]
    return plan


def _sound_part(content: Any, faults: list[DataFault]) -> Any:
    """The content without what is faulty, and without what names a vertex that is left out."""
    if not isinstance(content, dict):
        return content
    content = copy.deepcopy(content)
    dropped: dict[str, set[Any]] = {}
    for place in (one.place for one in faults):
        if not place:
            continue
        head, *rest = place
        if head == "vertices" and len(rest) > 1 and (rest[1] in _SPARE or _is_unknown(place, faults)):
            content["vertices"][rest[0]].pop(rest[1], None)
        elif rest:
            dropped.setdefault(str(head), set()).add(rest[0])
        elif head == "backend":
            content["backend"] = "unnamed"
        else:
            content.pop(head, None)
    for head, names in dropped.items():
        content[head] = _without(content[head], names)
    lost = dropped.get("vertices", set())
    for head in ("edges", "expect", "aliases"):
        if lost and head in content:
            content[head] = _without(content[head], _naming(content[head], lost))
    return content


def _is_unknown(place: tuple[int | str, ...], faults: list[DataFault]) -> bool:
    return len(place) == 3 and any(one.place == place and one.kind == "extra_forbidden" for one in faults)


def _without(held: Any, names: set[Any]) -> Any:
    if isinstance(held, dict):
        return {name: value for name, value in held.items() if name not in names}
    return [value for index, value in enumerate(held) if index not in names]


def _naming(held: Any, vertices: set[Any]) -> set[Any]:
    """Keys or indices of edges, expectations and aliases that name one of the vertices."""
    items = held.items() if isinstance(held, dict) else enumerate(held)
    return {key for key, value in items if _names(value) & vertices}


def _names(value: Any) -> set[Any]:
    if isinstance(value, str):
        return {part.strip().partition(".")[0] for part in value.split("->")}
    return {value.get("vertex")} if isinstance(value, dict) else set()
