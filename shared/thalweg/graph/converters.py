"""Finds the converter release that would fit into an edge that was refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from thalweg.graph.accept import Bindings, Conflict, find_conflict, is_generic, substitute
from thalweg.graph.field_names import is_field_name
from thalweg.graph.parse import parse_type
from thalweg.graph.releases import Release, Releases, latest_of
from thalweg.graph.types import StreamType, format_type

MAX_TRIED = 128  # of converters and params for one edge
MAX_ASKED = 1024  # of converters for one graph: each is a call of its code
MAX_SHOWN = 300  # characters of a type in a hint
FIELD, TO = "field", "to"  # params of converters that mean the same in all of them


class Converters:
    """The newest release, not yanked, of every component that declares itself a converter.

    Which one is suggested does not depend on chance: those that need no params go first, then those whose param `to` is the target's
    type, then those whose `to` is the type at the first conflict (the image in a record), then those whose param `field` is the
    field of the conflict; among equals the first by name.

    Args:
        releases: where they are found; asked at the first refused edge only.
    """

    def __init__(self, releases: Releases) -> None:
        self._releases = releases
        self._found: list[Release] | None = None
        self._asked = 0

    def hint(self, source: StreamType, target: StreamType, conflict: Conflict) -> str | None:
        """What would make the edge fit, as `NAME turns SOURCE into TARGET`; None where nothing is known."""
        for tried, (params, release) in enumerate(self._attempts(target, conflict)):
            if tried >= MAX_TRIED:
                break
            found = self._outcome(release, params, source)
            if found is not None and find_conflict(found[1], target) is None:
                return _told(release, params, *found)
        return None

    def hint_for(self, source: StreamType, accepts: Callable[[StreamType], bool]) -> str | None:
        """The same for a component that takes any type and then refuses some: of the converters that need no params, the first that helps.

        Args:
            source: what arrives.
            accepts: whether the component takes a type.
        """
        for tried, release in enumerate(self._all()):
            if tried >= MAX_TRIED:
                break
            found = None if release.manifest.params_schema.get("required") else self._outcome(release, {}, source)
            if found is not None and accepts(found[1]):
                return _told(release, {}, *found)
        return None

    def _attempts(self, target: StreamType, conflict: Conflict) -> Iterator[tuple[dict[str, Any], Release]]:
        for params in _params_to_try(target, conflict):
            for release in self._all():
                schema = release.manifest.params_schema
                if set(params) <= set(schema.get("properties", {})) and set(schema.get("required", [])) <= set(params):
                    yield params, release

    def _all(self) -> list[Release]:
        if self._found is None:
            self._found = []
            for name in sorted({full.partition("@")[0] for full in self._releases.names()}):
                version = latest_of(name, self._releases)
                release = self._releases.find(name, version) if version is not None else None
                if release is not None and _can_convert(release):
                    self._found.append(release)
        return self._found

    def _outcome(self, release: Release, params: dict[str, Any], source: StreamType) -> tuple[StreamType, StreamType] | None:
        """What it takes and what it gives, with these params and this input; None when it does not take it."""
        (takes,) = map(parse_type, release.manifest.inputs.values())
        ((port, text),) = release.manifest.outputs.items()
        gives, bindings = parse_type(text), Bindings()
        if find_conflict(source, takes, bindings) is not None:
            return None
        if not is_generic(gives):
            return takes, gives
        if self._asked >= MAX_ASKED:
            return None
        self._asked += 1
        try:
            checked, faults = release.check_params(params)
            found = {} if faults else release.resolve(checked, dict.fromkeys(release.manifest.inputs, source), {})
        except Exception:  # it refuses, or its own code fails: then it is no help here
            return None
        return (source, substitute(found[port], bindings)) if port in found else None


def _told(release: Release, params: dict[str, Any], takes: StreamType, gives: StreamType) -> str:
    given = ", ".join(f'{name}: "{text}"' for name, text in params.items())
    with_params = f" with params {{{given}}}" if given else ""
    return f"{release.manifest.name}@{release.manifest.version}{with_params} turns {_shown(takes)} into {_shown(gives)}"


def _params_to_try(target: StreamType, conflict: Conflict) -> list[dict[str, str]]:
    """In order of preference, none twice."""
    whole, part = (_to(one) for one in (target, conflict.target))
    field: dict[str, str] = {FIELD: conflict.path} if is_field_name(conflict.path) else {}
    found: list[dict[str, str]] = []
    for params in ({}, whole, part, field, {**field, **part}):
        if params not in found:
            found.append(params)
    return found


def _to(kind: StreamType) -> dict[str, str]:
    text = format_type(kind)
    return {} if is_generic(kind) or len(text) > MAX_SHOWN else {TO: text}


def _can_convert(release: Release) -> bool:
    manifest = release.manifest
    needs_more = any(slot.required for slot in manifest.file_schema.values()) or set(manifest.secrets) - set(manifest.optional_secrets)
    return manifest.converter and len(manifest.inputs) == len(manifest.outputs) == 1 and not needs_more


def _shown(kind: StreamType) -> str:
    text = format_type(kind)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"
