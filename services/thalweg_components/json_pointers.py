"""JSON pointers: where in a document something is. Source: RFC 6901."""

from __future__ import annotations

from typing import Any


def check_pointer(text: str) -> str:
    """The pointer.

    Raises:
        ValueError: it is none.
    """
    if text and not text.startswith("/"):
        raise ValueError(f"{text[:80]!r} is no JSON pointer: it is empty, or begins with /")
    return text


def find_pointer(document: Any, pointer: str) -> Any:
    """What is there; None where nothing is."""
    for token in pointer.split("/")[1:]:
        name = token.replace("~1", "/").replace("~0", "~")
        if isinstance(document, dict):
            document = document.get(name)
        elif isinstance(document, list) and name.isdecimal() and int(name) < len(document):
            document = document[int(name)]
        else:
            return None
    return document
