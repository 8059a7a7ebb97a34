"""The command line: parses, calls, prints; every error becomes one line, a hint line and its exit code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.markdown import Markdown
from rich.table import Table

from thalweg.errors import RejectedError, ThalwegError
from thalweg.graph.pipeline import load_pipeline, pipeline_json_schema
from thalweg.graph.plan import check_pipeline
from thalweg.graph.types import format_type
from thalweg.sdk.catalog import Catalog
from thalweg.settings import load_settings
from thalweg_cli.interrupts import Interrupted
from thalweg_cli.overrides import apply_overrides
from thalweg_cli.run import run_pipeline

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Data pipelines as typed graphs whose every run can be re-run and proved.",
)
component_app = typer.Typer(no_args_is_help=True, help="Component releases.")
app.add_typer(component_app, name="component")

PipelineFile = Annotated[Path, typer.Argument(help="The pipeline file (YAML).", show_default=False)]
Sets = Annotated[list[str], typer.Option("--set", help="vertex.param=VALUE (VALUE as YAML); may be repeated.")]
Files = Annotated[list[str], typer.Option("--file", help="vertex.slot=PATH; may be repeated.")]
Components = Annotated[list[Path], typer.Option("--components", help="A .py file or folder with components of your own; may be repeated.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def _fail(error: ThalwegError, as_json: bool = False) -> NoReturn:
    """Prints an error as people, or programs, read it, and leaves with its exit code."""
    if as_json:
        typer.echo(json.dumps({"error": {"code": error.code, "message": str(error), "hint": error.hint, **error.facts}}))
    lines = str(error).split("\n")
    for line in lines:
        typer.echo(line if line.startswith("  ") else f"error: {line}", err=True)
    if error.hint:
        typer.echo(f"  hint: {error.hint}", err=True)
    raise typer.Exit(error.exit_code)


def _catalog(components: list[Path]) -> Catalog:
    return Catalog(paths=(*load_settings().components, *components))


@app.command()
def run(
    pipeline: PipelineFile,
    sets: Sets = [],
    files: Files = [],
    out: Annotated[Path, typer.Option(help="Where generated files are saved.")] = Path("out"),
    keep: Annotated[bool, typer.Option("--keep", help="Keep the deployment's log and its scratch files.")] = False,
    components: Components = [],
    as_json: AsJson = False,
) -> None:
    """Runs a pipeline over finite inputs to its end, and saves the files it generates."""
    try:
        loaded, base = apply_overrides(load_pipeline(pipeline), sets, files), pipeline.resolve().parent
        catalog = _catalog(components)
        plan = check_pipeline(loaded, catalog, base)
        plan.raise_if_faulty()
        summary = run_pipeline(load_settings(), plan, out, keep=keep, quiet=as_json)
    except ThalwegError as error:
        _fail(error, as_json)
    except Interrupted as error:
        typer.echo(f"error: interrupted by {error}", err=True)
        raise typer.Exit(error.exit_code) from None
    if as_json:
        typer.echo(json.dumps(summary.as_json()))
    else:
        summary.show()


@app.command()
def validate(
    pipeline: PipelineFile,
    sets: Sets = [],
    files: Files = [],
    components: Components = [],
    as_json: AsJson = False,
) -> None:
    """Checks a pipeline file without running it, and tells all of its faults at once."""
    try:
        loaded = apply_overrides(load_pipeline(pipeline), sets, files)
        plan = check_pipeline(loaded, _catalog(components), pipeline.resolve().parent)
        if as_json and plan.faults:
            typer.echo(
                json.dumps(
                    {
                        "valid": False,
                        "faults": [{"code": one.code, "where": one.where, "message": one.message, "hint": one.hint} for one in plan.faults],
                    }
                )
            )
            raise typer.Exit(3)
        plan.raise_if_faulty()
    except ThalwegError as error:
        _fail(error, as_json)
    types = {f"{one.name}.{port}": format_type(kind) for one in plan.vertices for port, kind in one.outputs.items()}
    if as_json:
        typer.echo(json.dumps({"valid": True, "ports": types}))
    else:
        typer.echo(f"{pipeline}: valid, {len(plan.vertices)} vertices")
        for port, kind in types.items():
            typer.echo(f"  {port}: {kind}")


@app.command()
def schema() -> None:
    """Prints the JSON Schema of pipeline files, for editors."""
    typer.echo(json.dumps(pipeline_json_schema(), indent=2))


@component_app.command("list")
def component_list(components: Components = [], as_json: AsJson = False) -> None:
    """Lists component releases."""
    try:
        catalog = _catalog(components)
        found = [release.manifest for full in catalog.names() if (release := catalog.find(*full.split("@", 1)))]
    except ThalwegError as error:
        _fail(error, as_json)
    if as_json:
        typer.echo(json.dumps([one.model_dump(include={"name", "version", "kind", "summary", "digest"}) for one in found]))
        return
    table = Table("release", "kind", "what it does", box=None, pad_edge=False)
    for one in found:
        table.add_row(f"{one.name}@{one.version}", one.kind, one.summary)
    Console().print(table)


@component_app.command("show")
def component_show(
    name: Annotated[str, typer.Argument(help="NAME or NAME@VERSION.")],
    components: Components = [],
    as_json: AsJson = False,
) -> None:
    """Shows a release's help page: ports, params, files."""
    try:
        catalog = _catalog(components)
        short, _, version = name.partition("@")
        versions = catalog.versions(short)
        release = catalog.find(short, version or (versions[-1] if versions else ""))
        if release is None:
            known = ", ".join(sorted({full.partition("@")[0] for full in catalog.names()}))
            raise RejectedError(f"there is no component {name!r}", code="component.unknown", hint=f"there are {known}")
    except ThalwegError as error:
        _fail(error, as_json)
    manifest = release.manifest
    if as_json:
        typer.echo(manifest.model_dump_json())
        return
    console = Console()
    console.print(f"[bold]{manifest.name}@{manifest.version}[/bold]  {manifest.kind}  {manifest.digest[:19]}…")
    console.print(Markdown(manifest.help))
    for title, ports in (("inputs", manifest.inputs), ("outputs", manifest.outputs)):
        for port, kind in ports.items():
            console.print(f"{title[:-1]} [bold]{port}[/bold]: {kind}", highlight=False)
    for slot, declared in manifest.file_schema.items():
        console.print(f"file slot [bold]{slot}[/bold]: {declared.type}")
    for slot, left in manifest.generated_file_schema.items():
        console.print(f"generated file [bold]{slot}[/bold]: {left.type}, saved as {left.default_name}")
    for param, one in manifest.params_schema.get("properties", {}).items():
        console.print(f"param [bold]{param}[/bold]: {_shape(one)}  {one.get('description', '')}", highlight=False, markup=True)


def _shape(schema: dict[str, Any]) -> str:
    shape = schema.get("type") or " | ".join(one.get("type", one.get("$ref", "?").rpartition("/")[2]) for one in schema.get("anyOf", []))
    return f"{shape or 'object'}" + (f" = {json.dumps(schema['default'])}" if "default" in schema else "")
