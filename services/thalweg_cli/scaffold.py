"""The folder of a new component: code, a test that passes as it stands, a note, requirements."""

from __future__ import annotations

import keyword
import sys
from pathlib import Path

from thalweg.errors import RejectedError
from thalweg.graph.fields import is_name

_CODE = '''"""The component {name}."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from thalweg import component


class Params(BaseModel):
    """What a pipeline file may set."""

    model_config = ConfigDict(extra="forbid")
    at_least: float = Field(0.0, description="smaller values are dropped")


@dataclass
class Reading:
    """What comes in."""

    value: float


@dataclass
class Doubled:
    """What goes out."""

    value: float


@component("{name}", version="0.1.0")
def {function}(reading: Reading, params: Params) -> Doubled | None:
    """Doubles readings, and drops small ones."""
    return Doubled(2 * reading.value) if reading.value >= params.at_least else None
'''
_TEST = '''"""The component {name}, run in memory as a vertex would run it."""

from __future__ import annotations

from {function} import {function}

from thalweg.testing import run_component


def test_readings_are_doubled_and_small_ones_dropped() -> None:
    found = run_component({function}, [{{"value": 1.0}}, {{"value": 3.0}}], params={{"at_least": 2.0}})
    assert [one.value for one in found.out] == [6.0]
    assert found.counters.filtered == 1
'''
_README = """# {name}

Doubles readings, and drops small ones. Test: `python -m pytest`. Release: `thalweg component publish .`
"""
_REQUIREMENTS = """# Packages that this component needs beside Thalweg, one a line, as in numpy==2.1.0
"""


def scaffold(name: str, parent: Path) -> Path:
    """Makes the folder `name` in `parent`.

    Raises:
        RejectedError: `name.invalid`, or `component.exists`, when there is a file or folder of that name.
    """
    function = name.replace("-", "_").lower()
    taken = keyword.iskeyword(function) or function in sys.stdlib_module_names or function in ("thalweg", "test", "conftest", "setup")
    if not is_name(name) or not function.isidentifier() or taken or function.startswith(("_", "test_")) or function.endswith("_test"):
        hint = "letters, digits and '-', first a letter, and no name of Python's own, as in daily-swing"
        raise RejectedError(f"{name!r} cannot name a component", code="name.invalid", hint=hint)
    folder = parent / name
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise RejectedError(f"{folder}: {error.strerror}", code="component.exists") from error
    files = {f"{function}.py": _CODE, f"test_{function}.py": _TEST, "README.md": _README}
    for file, text in files.items():
        (folder / file).write_text(text.format(name=name, function=function))
    (folder / "requirements.txt").write_text(_REQUIREMENTS)
    return folder
