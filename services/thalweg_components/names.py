"""Names of fields that params give."""

from __future__ import annotations

from collections.abc import Iterable

from thalweg.errors import RejectedError
from thalweg.graph.field_names import is_field_name


def check_names(names: Iterable[str], what: str = "fields") -> None:
    """Raises RejectedError, `params.invalid`, unless all are field names and none is there twice."""
    seen: set[str] = set()
    for name in names:
        if not is_field_name(name):
            hint = "use letters, digits and _, no digit in front, no Python keyword"
            raise RejectedError(f"{what}: {name!r} is no valid field name", code="params.invalid", hint=hint)
        if name in seen:
            raise RejectedError(f"{what}: the field {name!r} would be there twice", code="params.invalid")
        seen.add(name)
