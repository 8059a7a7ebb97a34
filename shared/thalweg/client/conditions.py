"""Conditions on records: CEL expressions, as the component `filter` has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from thalweg.graph.types import StreamType
from thalweg.runtime.program import Program
from thalweg.sdk.catalog import Catalog

Condition = Callable[[Any], bool]


def condition(expression: str, stream_type: StreamType) -> Condition:
    """Whether a CEL expression is true for a record of a type.

    What is returned raises RecordError for a record that the expression has no value for.

    Raises:
        RejectedError: the expression does not fit the type.
    """
    release = Catalog().find("filter", "1.0.0")
    assert release is not None
    params, _ = release.check_params({"where": expression})
    release.resolve(params, {"in": stream_type}, {})
    program = Program(release.component, "condition", params, {"in": stream_type}, {"out": stream_type}, {}, {})
    program.start()
    passes = program.calls["in"]
    return lambda value: passes(value) is not None
