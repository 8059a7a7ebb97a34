"""The digest of a release covers its code, and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from thalweg.sdk import source
from thalweg.sdk.catalog import components_in, load_module

MAIN = """
from thalweg import component
import math

@component("adder", version="1.0.0")
def adder(n: int) -> int:
    from helper import more
    return more(n)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "main.py").write_text(MAIN)
    (tmp_path / "helper.py").write_text("import deep.inside\ndef more(n): return n + 1\n")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/__init__.py").write_text("")
    (tmp_path / "deep/inside.py").write_text("from . import beside\n")
    (tmp_path / "deep/beside.py").write_text("")
    (tmp_path / "stranger.py").write_text("")
    return tmp_path


def digest(folder: Path) -> str:
    source._read.cache_clear()
    return source.source_digest(components_in(load_module(str(folder / "main.py")))["adder@1.0.0"])


@pytest.mark.parametrize("name", ["main.py", "helper.py", "deep/inside.py", "deep/beside.py"])
def test_a_change_of_any_imported_module_changes_it(folder: Path, name: str) -> None:
    before = digest(folder)
    (folder / name).write_text((folder / name).read_text() + "\n# changed")
    assert digest(folder) != before


def test_neither_the_place_nor_the_neighbours_change_it(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    before = digest(folder)
    (folder / "stranger.py").write_text("changed = True")
    assert digest(folder) == before
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "copy"
    shutil.copytree(folder, elsewhere)
    assert digest(elsewhere) == before


def test_a_release_of_the_library_covers_its_helpers() -> None:
    from thalweg_components.processors import aggregate

    names = {name.rpartition(".")[2] for name, _ in source._sources(aggregate.__name__, Path(aggregate.__file__))}
    assert names == {"aggregate", "aggregates", "windows", "expressions", "cel_fields", "cel_tokens", "times"}
