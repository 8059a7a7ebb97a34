"""Names of record fields: one rule for types, sources and authors, so that Python and CEL can spell every field."""

from __future__ import annotations

import keyword
import re

from thalweg.errors import RejectedError

_NAME = re.compile(r"(?!__)[A-Za-z_][A-Za-z0-9_]*")
_OTHER = re.compile(r"[^A-Za-z0-9_]+")


def is_field_name(text: str) -> bool:
    """ASCII letters, digits and `_`, not starting with a digit or `__`, and no keyword of Python."""
    return _NAME.fullmatch(text) is not None and not keyword.iskeyword(text)


def field_name(text: str) -> str:
    """The field that a source makes of a column or key: a field name stays; in others, all but letters, digits and `_` turns into `_`.

    `wind speed (m/s)` becomes `wind_speed_m_s`, `größe` `gr_e`, `2024` `_2024`, `class` `class_`, an empty name `column`.
    """
    if is_field_name(text):
        return text
    name = _OTHER.sub("_", text).strip("_") or "column"
    return f"_{name}" if name[0].isdigit() else f"{name}_" if keyword.iskeyword(name) else name


def check_field_name(text: str, where: str) -> None:
    """Raises RejectedError, `type.field_name`, unless the text is a field name."""
    if not is_field_name(text):
        raise RejectedError(
            f"{where}: {text!r} is no field name",
            code="type.field_name",
            hint=f"letters, digits and _, no Python keyword; sources call this one {field_name(text)}",
        )
