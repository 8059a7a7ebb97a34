"""The library as a whole, and the examples that use it."""

from __future__ import annotations

import csv
import importlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from thalweg.graph.pipeline import load_pipeline
from thalweg.graph.plan import check_pipeline
from thalweg.sdk.catalog import Catalog, components_in, load_release
from thalweg.testing import run_graph
from thalweg_components import INDEX


@pytest.mark.parametrize("full", sorted(INDEX))
def test_a_release_is_where_the_index_says_and_has_a_help_page(full: str) -> None:
    found = components_in(importlib.import_module(INDEX[full]))
    assert list(found) == [full]
    assert "**" in str(found[full].target.__doc__)


def test_finding_a_light_release_loads_no_heavy_library() -> None:
    check = (
        "import sys, importlib, thalweg_components as c; importlib.import_module(c.INDEX['csv-source@1.0.0']); "
        "sys.exit(bool({'cv2', 'av', 'pyarrow', 'numpy', 'cel_expr_python'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", check], env={"PYTHONPATH": ":".join(sys.path)}, check=False).returncode == 0


def test_the_weather_example_gives_the_wet_months(examples: Path) -> None:
    results = run_graph(examples / "weather/pipeline.yaml")
    table = pq.read_table(results["save"].generated["file"])
    assert table.num_rows == 46
    assert sum(table.column("wet_days").to_pylist()) == 623


def test_records_behind_a_closed_window_are_counted_as_late(drive: Callable[..., Any]) -> None:
    found = drive(
        "aggregate",
        [{"n": 1}, {"n": 20_000_000_000}, {"n": 2}],
        types={"in": "record{n: int}"},
        params={"time": "n", "window": {"kind": "tumbling", "size_s": 10}, "aggregates": {"count": {"op": "count"}}},
    )
    assert found.late == 1
    assert [one.count for one in found.out] == [1, 1]


SHOWN = sorted((Path(__file__).parents[3] / "examples/library").glob("*.yaml"))


@pytest.mark.parametrize("path", SHOWN, ids=lambda path: path.stem)
def test_an_example_of_the_library_runs_and_leaves_files(path: Path, tmp_path: Path) -> None:
    results = run_graph(path, workdir=tmp_path)
    left = [file for one in results.values() for file in one.generated.values()]
    assert left and all(any(file.iterdir()) if file.is_dir() else file.stat().st_size > 50 for file in left)
    assert all(one.counters.records_out for name, one in results.items() if one.outputs), "a vertex that emits nothing shows nothing"
    assert not any(one.counters.errors for one in results.values())


def test_every_component_that_a_batch_can_have_is_in_an_example(examples: Path) -> None:
    shown = " ".join(path.read_text() for path in examples.glob("*/*.yaml"))
    outside = {full for full in INDEX if INDEX[full].split(".")[1] == "endpoints" or not _is_deterministic(full)}
    assert [full for full in INDEX if full not in shown and full not in outside] == []


def test_every_component_that_speaks_to_the_outside_is_in_an_example_that_is_valid(examples: Path) -> None:
    outside = [*(examples / "outside").glob("*.yaml"), examples / "mqtt-postgres/pipeline.yaml", examples / "camera/pipeline.yaml"]
    for path in outside:
        assert check_pipeline(load_pipeline(path), Catalog(), path.parent).faults == [], path
    shown = " ".join(path.read_text() for path in outside)
    servers = {full for full, module in INDEX.items() if module.split(".")[1] in ("sources", "sinks") and not _is_deterministic(full)}
    assert [full for full in sorted(servers) if full not in shown] == []


def _is_deterministic(full: str) -> bool:
    """Those of servers outside are not."""
    return load_release(full, INDEX[full]).manifest.deterministic


def test_the_audio_example_tells_when_somebody_speaks(examples: Path) -> None:
    results = run_graph(examples / "audio/pipeline.yaml")
    rows = list(csv.DictReader(results["table"].generated["file"].read_text().splitlines()))
    assert [(round(float(row["start"])), round(float(row["end"]))) for row in rows] == [(1, 4), (5, 8), (9, 10)]


def test_the_documents_example_gives_a_table_of_texts(examples: Path) -> None:
    results = run_graph(examples / "documents/pipeline.yaml")
    texts = {row["name"]: row["text"] for row in pq.read_table(results["save"].generated["file"]).to_pylist()}
    assert texts["label.jpg"].splitlines() == ["SAMPLE 0047", "Site: North weir", "Depth: 2.5 m"]
    assert "Total 582.00 EUR" in texts["invoice.jpg"] and "Please check the northern gate." in texts["letter.jpg"]
