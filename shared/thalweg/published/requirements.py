"""The requirements of a release: names and versions of packages, nothing that leads pip elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

from thalweg.errors import RejectedError

REQUIREMENTS = "requirements.txt"
MAX_LINES, MAX_BYTES = 500, 1 << 20
_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_VERSION = r"(?:===|==|~=|!=|<=|>=|<|>)\s*[A-Za-z0-9.*+!_-]+"
_LINE = re.compile(
    rf"{_NAME}(?:\s*\[\s*{_NAME}(?:\s*,\s*{_NAME})*\s*\])?\s*(?:{_VERSION}(?:\s*,\s*{_VERSION})*)?\s*(?:;[^@]*?)?"
    r"(?:\s+--hash=sha(?:256|384|512):[0-9a-f]+)*"
)


def read_requirements(folder: Path) -> list[str]:
    """The lines of a folder's `requirements.txt`, without comments; empty where there is none.

    Raises:
        RejectedError: `release.requirements`: an option, URL or path, which would not mean the same everywhere.
    """
    path = folder / REQUIREMENTS
    if not path.exists():
        return []
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _refused(str(error)) from error
    lines = [re.split(r"(?:^|\s)#", line, maxsplit=1)[0].strip() for line in text.replace("\\\n", " ").splitlines()]
    found = [line for line in lines if line]
    if len(found) > MAX_LINES or len(text) > MAX_BYTES:
        raise _refused(f"more than {MAX_LINES} lines")
    for line in found:
        if len(line) > 10_000 or _LINE.fullmatch(line) is None:
            raise _refused(f"{line[:100]!r} is no package with a version")
    return found


def _refused(what: str) -> RejectedError:
    hint = "one package a line, as in `numpy==2.1.0`; options, URLs and paths are not taken: indexes are each machine's own settings"
    return RejectedError(f"{REQUIREMENTS}: {what}", code="release.requirements", hint=hint)
