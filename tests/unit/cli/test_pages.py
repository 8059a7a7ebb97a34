"""Help pages, progress and summaries, as people read them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, Field
from rich.console import Console
from typer.testing import CliRunner

from thalweg import GeneratedFile, InputFile, Secret, component
from thalweg.errors import RunFailedError
from thalweg.graph.pipeline import Expectation, load_pipeline
from thalweg.graph.plan import check_pipeline
from thalweg.sdk.catalog import Catalog
from thalweg.sdk.component import component_of
from thalweg.sdk.release import ComponentRelease
from thalweg.testing import run_component
from thalweg.wire.commit import Commit, Counters, PortDigest
from thalweg_cli.main import app
from thalweg_cli.pages import page_lines
from thalweg_cli.progress import Progress
from thalweg_cli.summary import Saved, Summary

ROOT = Path(__file__).resolve().parents[3]


class Size(BaseModel):
    """A nested shape."""

    width: int = Field(ge=1, le=99)
    unit: Literal["px", "mm"] = "px"


class Params(BaseModel):
    """Params."""

    size: Size = Field(description="how large")
    format: Literal["jpeg", "png"] = "jpeg"


@component("shown", version="1.0.0")
class Shown:
    """A page."""

    params: Params
    table: Annotated[InputFile, "csv", {"day": "timestamp"}]
    token: Secret | None
    report: Annotated[GeneratedFile, "text", "report.txt"]

    def process(self, record: int) -> int:
        """As it is."""
        return record


@component("unlucky", version="1.0.0")
def unlucky(record: int) -> int:
    """Never succeeds."""
    raise ValueError("no luck")


class Parent:
    """Has a handler."""

    def on_left(self, record: int) -> int:
        """As it is."""
        return record


@component("child", version="1.0.0")
class Child(Parent):
    """Adds another."""

    def on_right(self, record: int) -> int:
        """As it is."""
        return record


def test_a_page_shows_what_is_required_and_nested_shapes() -> None:
    lines = {(what, name): text for what, name, text in page_lines(ComponentRelease(component_of(Shown), "x").manifest)}
    assert lines["param", "size"] == "{width: int ≥ 1 ≤ 99, unit?: px | mm}, required; how large"
    assert lines["param", "format"] == 'jpeg | png, default "jpeg"'
    assert lines["file", "table"] == "csv, required; must have columns day: timestamp"
    assert lines["secret", "token"] == "optional"
    assert lines["generated file", "report"] == "text, saved as <vertex>-report.txt"


def test_type_variables_are_explained() -> None:
    shown = CliRunner().invoke(app, ["component", "show", "deduplicate"]).output
    assert "input in: any type" in shown
    assert "output out: same type as in" in shown


def test_every_release_has_a_page() -> None:
    catalog = Catalog()
    for full in catalog.names():
        release = catalog.find(*full.split("@"))
        assert release is not None
        assert page_lines(release.manifest)


def test_handlers_of_base_classes_are_ports() -> None:
    assert list(component_of(Child).inputs) == ["left", "right"]


def test_a_version_that_is_not_there_names_those_that_are() -> None:
    result = CliRunner().invoke(app, ["component", "show", "filter@9.9.9"])
    assert result.exit_code == 3
    assert "filter has no version 9.9.9" in result.output
    assert "filter has 1.0.0" in result.output


@pytest.mark.parametrize("width", [40, 50, 60, 80])
def test_progress_fits_a_narrow_terminal(width: int) -> None:
    pipeline = load_pipeline(ROOT / "examples/weather/pipeline.yaml")
    plan = check_pipeline(pipeline, Catalog(), ROOT / "examples/weather")
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=True)
    commit = Commit(epoch=1, number=1, counters=Counters(records_in=12_345_678, records_out=12_345_678))
    console.print(Progress(plan, console)._table({"rows": commit}))
    lines = out.getvalue().splitlines()
    assert len(lines) == 1 + len(plan.vertices)
    assert "12,345,678" in lines[1]


def test_a_record_that_fails_every_try_says_how_often() -> None:
    with pytest.raises(RunFailedError, match=r"no luck \(tried 5 times\)"):
        run_component(unlucky, [1], on_error="retry")


def summary(expect: list[Expectation], saved: list[Saved]) -> Summary:
    commits = {name: Commit(epoch=1, number=1, ports={"out": PortDigest(30_000, "")}) for name in ("a", "b")}
    return Summary("d", 1.0, commits, saved, [], expect, Path("evidence.json"))


@pytest.mark.parametrize(
    ("bounds", "told"),
    [
        ({"min": 40_000}, ["expected at least 40,000 records on a.out, got 30,000"]),
        ({"min": 2, "max": 2}, ["expected exactly 2 records on a.out, got 30,000"]),
        ({"max": 5}, ["expected at most 5 records on a.out, got 30,000"]),
        ({"min": 1, "max": 5}, ["expected 1 to 5 records on a.out, got 30,000"]),
        ({"min": 1}, []),
    ],
)
def test_unmet_expectations_say_what_was_expected(bounds: dict[str, int], told: list[str]) -> None:
    assert summary([Expectation.model_validate({"vertex": "a", "count": bounds})], []).unmet() == told


def test_saved_files_are_in_the_order_of_the_vertices() -> None:
    saved = [Saved(vertex, "file", Path(vertex), "sha256:0", 1) for vertex in ("b", "a")]
    assert [one["vertex"] for one in summary([], saved).as_json()["generated"]] == ["a", "b"]
