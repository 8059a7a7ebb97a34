"""The examples of the documents do what the documents say."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml

from thalweg.graph.accept import find_conflict
from thalweg.graph.converters import Converters
from thalweg.graph.parse import parse_type
from thalweg.graph.pipeline import Pipeline, Vertex, load_pipeline
from thalweg.graph.plan import check_pipeline
from thalweg.sdk.catalog import Catalog, load_module
from thalweg.testing import run_component, run_graph
from thalweg.testing.manifest import (
    Case,
    Failing,
    FileExpectation,
    Manifest,
    PortExpectation,
    ToleranceText,
    VertexExpectation,
    load_manifest,
)
from thalweg_components import INDEX

ROOT = Path(__file__).resolve().parents[2]
HEAD = """
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated
from pydantic import BaseModel, ConfigDict, Field
from thalweg import At, Context, Emit, GeneratedFile, InputFile, Receipt, component

@dataclass
class Day:
    temp_max: float
    temp_min: float

@dataclass
class Swing:
    degrees: float
"""


def blocks(document: str) -> list[str]:
    """The indented blocks of a document."""
    text = (ROOT / document).read_text()
    return [
        textwrap.dedent(found[0]).strip() + "\n" for found in re.finditer(r"(?:^(?: {4}.*)?\n)+", text, re.MULTILINE) if found[0].strip()
    ]


@pytest.fixture(scope="module")
def documented(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("docs") / "documented.py"
    path.write_text("\n\n".join([HEAD, *(one for one in blocks("docs/components.md") if "@component(" in one)]))
    return vars(load_module(str(path)))


def test_the_example_of_the_readme_runs(tmp_path: Path) -> None:
    found = blocks("README.md")
    code, pipeline = tmp_path / "my_components.py", tmp_path / "pipeline.yaml"
    code.write_text(next(one for one in found if "@component(" in one))
    pipeline.write_text(next(one for one in found if one.startswith("backend:")).replace("examples/", f"{ROOT}/examples/"))
    results = run_graph(pipeline, catalog=Catalog(paths=(code,)), workdir=tmp_path)
    assert results["rows"].counters.records_out == 1461
    assert len(results["save"].generated["file"].read_text().splitlines()) == results["swing"].counters.records_out > 0


def test_the_readme_names_the_digests_of_the_weather_example() -> None:
    results = run_graph(ROOT / "examples/weather/pipeline.yaml")
    readme = (ROOT / "README.md").read_text()
    assert all(f"out {results[name].digest[:12]}" in readme for name in ("rows", "wet", "monthly"))


def test_the_documented_test_passes(documented: dict[str, Any]) -> None:
    test = next(one for one in blocks("docs/components.md") if "run_component(" in one)
    exec(test, dict(documented))


def test_the_documented_components_run(documented: dict[str, Any], tmp_path: Path) -> None:
    swing = documented["Swing"]
    best = run_component(documented["RecordSwing"], [swing(3.0), swing(2.0), swing(4.5)])
    assert [one.degrees for one in best.out] == [3.0, 4.5]
    sides = run_component(documented["Sides"], [swing(3.0), swing(12.0)])
    assert [[one.degrees for one in sides.outputs[port]] for port in ("small", "large")] == [[3.0], [12.0]]
    (tmp_path / "lines.txt").write_text("a\nb\n")
    assert run_component(documented["line_source"], files={"text": tmp_path / "lines.txt"}).out == ["a", "b"]
    report = run_component(documented["SwingReport"], [swing(3.0)], times=[0], workdir=tmp_path)
    assert report.generated["report"].read_text() == "1970-01-01 3.0\n"


def test_the_documented_ways_to_combine_inputs_do_what_is_said(documented: dict[str, Any]) -> None:
    swing = documented["Swing"]
    inputs = {"north": [swing(5.0), swing(7.0), swing(8.0)], "south": [swing(4.0), swing(1.0)]}
    times = {"north": [10, 30, 50], "south": [20, 40]}

    def run(name: str) -> list[float]:
        return [one.degrees for one in run_component(documented[name], inputs, times=times).out]

    assert run("Merged") == [5.0, -4.0, 7.0, -1.0, 8.0]
    assert sorted(run("FirstCome")) == [-4.0, -1.0, 5.0, 7.0, 8.0]
    assert run("difference") == [1.0, 6.0]
    assert run("spread") == [1.0, 3.0, 6.0, 7.0]


def test_the_documented_pipeline_runs(tmp_path: Path) -> None:
    text = next(one for one in blocks("docs/pipelines.md") if one.startswith("backend:"))
    (tmp_path / "pipeline.yaml").write_text(text.replace("examples/", f"{ROOT}/examples/"))
    results = run_graph(tmp_path / "pipeline.yaml", workdir=tmp_path)
    assert results["wet"].counters.records_out == 623
    assert results["save"].generated["file"].name == "wet-days.jsonl"


def test_the_example_of_the_library_runs(tmp_path: Path) -> None:
    found = blocks("docs/library.md")
    (tmp_path / "pipeline.yaml").write_text(next(one for one in found if one.startswith("backend: readings")))
    (tmp_path / "check.py").write_text(next(one for one in found if "def process" in one))
    (tmp_path / "stations.csv").write_text("code,city\nA,Aachen\nB,Bonn\n")
    results = run_graph(tmp_path / "pipeline.yaml", workdir=tmp_path)
    hot = [one for one in results["checked"].out if one.temp > 25.0]
    assert results["alarms"].out == [f"{one.city or ''}: {one.temp:.1f} °C" for one in hot]
    assert {one.city for one in results["checked"].out} == {"Aachen", "Bonn", None}


def test_the_documented_copy_of_a_table_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "copy.yaml").write_text(next(one for one in blocks("docs/library.md") if one.startswith("backend: copy-orders")))
    assert check_pipeline(load_pipeline(tmp_path / "copy.yaml"), Catalog(), tmp_path).faults == []


def test_the_library_page_names_every_component() -> None:
    text = (ROOT / "docs/library.md").read_text()
    assert [full for full in INDEX if f"`{full.partition('@')[0]}`" not in text] == []


def test_the_suggested_converter_is_the_documented_one() -> None:
    emitted, accepted = parse_type("record{day: str, wind: str}"), parse_type("record{wind: float}")
    conflict = find_conflict(emitted, accepted)
    assert conflict is not None
    assert f"hint: {Converters(Catalog()).hint(emitted, accepted, conflict)}\n" in (ROOT / "docs/types.md").read_text()


def test_every_key_of_a_pipeline_file_is_documented() -> None:
    text = (ROOT / "docs/pipelines.md").read_text()
    assert [key for key in (*Pipeline.model_fields, *Vertex.model_fields) if f"| `{key}` |" not in text] == []


def test_the_documented_manifest_is_one_and_every_key_is_documented(tmp_path: Path) -> None:
    found, text = blocks("docs/testing.md"), (ROOT / "docs/testing.md").read_text()
    for document in (found, blocks("README.md")):
        (tmp_path / "m.yaml").write_text(next(one for one in document if one.startswith("pipeline:")))
        assert load_manifest(tmp_path / "m.yaml").cases[0].name == "rainy days are kept"
    expect = yaml.safe_load(next(one for one in found if one.startswith("expect:")))["expect"]
    Case.model_validate({"name": "a", "expect": expect})
    keys = [
        *Manifest.model_fields, *Case.model_fields, *ToleranceText.model_fields, *Failing.model_fields,
        *PortExpectation.conditions, *VertexExpectation.conditions, *FileExpectation.conditions,
    ]  # fmt: skip
    assert [key for key in keys if not re.search(rf"[`{{ ]{key}[`:]", text)] == []


def test_types_go_where_the_document_says() -> None:
    rows = re.findall(r"^\| `(.+)` \| `(.+)` \| (yes|no) \|$", (ROOT / "docs/types.md").read_text(), re.MULTILINE)
    assert len(rows) > 15
    for source, target, goes in rows:
        emitted, accepted = (parse_type(one.replace("\\|", "|")) for one in (source, target))
        assert (find_conflict(emitted, accepted) is None) == (goes == "yes"), f"{source} -> {target}"
