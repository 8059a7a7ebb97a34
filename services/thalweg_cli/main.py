"""The command line: parses, calls, prints; every error becomes one line, a hint line and its exit code."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from thalweg.errors import NotReproducedError, RejectedError, ThalwegError
from thalweg_cli import (
    backend,
    component,
    credentials,
    dead_letters,
    deployments,
    diagnose,
    documents,
    elsewhere,
    endpoint,
    evidence,
    file,
    keys,
    lease,
    logs,
    replay,
    replay_fixture,
    replay_play,
    replay_rerun,
    replay_save,
    replay_trace,
    replay_trim,
    secret,
    tap,
    top,
)
from thalweg_cli.at_hand import releases_at_hand
from thalweg_cli.checking import Components, Files, PipelineFile, Sets, check_file
from thalweg_cli.feeding import Replace, ReplayFile, feeding_of
from thalweg_cli.output import AsJson, fail, show_table
from thalweg_cli.testing import command as testing
from thalweg_cli.validating import validate

# What commands need is imported by them: pydantic, NATS and the rest would make `--help` wait.
if TYPE_CHECKING:
    from thalweg.graph.releases import Release, Releases

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Data pipelines as typed graphs whose every run can be re-run and proved.",
)
component_app = typer.Typer(no_args_is_help=True, help="Component releases.")
app.add_typer(component_app, name="component")
app.add_typer(backend.app, name="backend")
app.add_typer(file.app, name="file")
app.add_typer(secret.app, name="secret")
endpoint.app.command("credentials")(credentials.for_endpoints)
app.command("credentials")(credentials.for_vertices)
app.add_typer(keys.app, name="keys")
app.add_typer(evidence.app, name="evidence")
app.add_typer(endpoint.app, name="endpoint")
app.add_typer(dead_letters.app, name="dead-letters")
app.add_typer(replay.app, name="replay")
replay.app.command("save")(replay_save.save)
replay.app.command("capture-fixture")(replay_fixture.capture_fixture)
replay.app.command("rerun")(replay_rerun.rerun)
replay.app.command("play")(replay_play.play)
replay.app.command("trace")(replay_trace.trace)
replay.app.command("trim")(replay_trim.trim)
app.add_typer(lease.app, name="lease")
app.command("apply")(backend.apply)
backend.app.command()(component.outdated)
component_app.command()(component.new)
component_app.command()(component.publish)
component_app.command()(component.yank)
component_app.command()(component.rehearse)
app.command("tap")(tap.tap)
app.command("test")(testing.run_tests)
app.command("diagnose")(diagnose.diagnose)
app.command("logs")(logs.logs)
app.command("top")(top.top)
app.command()(documents.asyncapi)
app.command("compose")(elsewhere.compose)
app.command("manifests")(elsewhere.manifests)
app.command()(validate)
for _command in (deployments.deploy, deployments.redeploy, deployments.undeploy, deployments.status):
    app.command()(_command)


def main() -> None:
    """The command; what nobody expected becomes one line, too, unless THALWEG_DEBUG asks for the traceback."""
    try:
        app()
    except Exception as error:
        if os.environ.get("THALWEG_DEBUG"):
            raise
        if isinstance(error, ThalwegError):
            what, hint, code = str(error), error.hint, error.exit_code
        else:
            what, hint, code = f"{type(error).__name__}: {error}", "set THALWEG_DEBUG=1 to see where it comes from", 1
        typer.echo(f"error: {what}" + (f"\n  hint: {hint}" if hint else ""), err=True)
        sys.exit(code)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"thalweg {version('thalweg')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Data pipelines as typed graphs whose every run can be re-run and proved."""


@app.command()
def run(
    pipeline: PipelineFile,
    sets: Sets = [],
    files: Files = [],
    out: Annotated[Path, typer.Option(help="Where generated files are saved.")] = Path("out"),
    keep: Annotated[bool, typer.Option("--keep", help="Keep the deployment's log and its scratch files.")] = False,
    capture: Annotated[
        str, typer.Option("--capture", help="What to record: all, boundary (what comes in and goes out), none, or V.P,V.P.")
    ] = "all",
    components: Components = [],
    replay: ReplayFile = None,
    replace: Replace = [],
    as_json: AsJson = False,
) -> None:
    """Runs a pipeline over finite inputs to its end, and saves the files it generates."""
    from thalweg.settings import load_settings
    from thalweg_cli.interrupts import Interrupted
    from thalweg_cli.run import run_pipeline

    try:
        plan = check_file(pipeline, sets, files, components, as_json, needed=True, feeding=feeding_of(replay, replace))
        plan.raise_if_faulty()
        summary = run_pipeline(load_settings(), plan, out, keep=keep, quiet=as_json, capture=capture)
    except ThalwegError as error:
        fail(error, as_json)
    except Interrupted as error:
        typer.echo(f"error: interrupted by {error}", err=True)
        raise typer.Exit(error.exit_code) from None
    if as_json:
        typer.echo(json.dumps(summary.as_json()))
    else:
        summary.show()
    if summary.unmet():
        raise typer.Exit(NotReproducedError.exit_code)


@app.command()
def up(
    data: Annotated[Path | None, typer.Option(help="Folder of all that is kept; default THALWEG_DATA, else .thalweg.")] = None,
    nats_port: Annotated[int, typer.Option(help="Port of NATS; default that of the last start.", min=0, max=65535, show_default=False)] = 0,
    http_port: Annotated[
        int | None,
        typer.Option(help="Port of the gateway; default that of the last start, else 8080; 0: any.", min=0, max=65535, show_default=False),
    ] = None,
    metrics_port: Annotated[
        int | None, typer.Option(help="Port of Prometheus metrics; default THALWEG_METRICS_PORT, else none.", min=0, max=65535)
    ] = None,
    secure: Annotated[bool, typer.Option("--secure", help="NATS with TLS, for who has credentials; keys are made in DATA/keys.")] = False,
) -> None:
    """Starts the servers, a coordinator and a gateway in the foreground; Ctrl-C stops them."""
    from thalweg.settings import load_settings
    from thalweg_cli.up import run_up

    try:
        run_up(load_settings(data=data, metrics_port=metrics_port), nats_port, http_port, typer.echo, secure=secure)
    except ThalwegError as error:
        fail(error)


@app.command()
def schema(
    test: Annotated[bool, typer.Option("--test", help="Of manifests of tests.")] = False,
    test_events: Annotated[bool, typer.Option("--test-events", help="Of a line that `thalweg test --json` prints.")] = False,
) -> None:
    """Prints the JSON Schema of pipeline files, for editors, or of another kind of file."""
    if test:
        from thalweg.testing.manifest import manifest_json_schema as found
    elif test_events:
        from thalweg_cli.testing.events import events_json_schema as found
    else:
        from thalweg.graph.pipeline import pipeline_json_schema as found

    typer.echo(json.dumps(found(), indent=2))


@component_app.command("list")
def component_list(components: Components = [], as_json: AsJson = False) -> None:
    """Lists component releases."""
    from rich.table import Table

    try:
        catalog = releases_at_hand(components, as_json)
        found = [release for full in catalog.names() if (release := catalog.find(*full.split("@", 1)))]
    except ThalwegError as error:
        fail(error, as_json)
    if as_json:
        shown = {"name", "version", "kind", "summary", "digest"}
        typer.echo(json.dumps([{**one.manifest.model_dump(include=shown), "yanked": one.yanked} for one in found]))
        return
    table = Table("release", "kind", "what it does", box=None, pad_edge=False)
    for one in found:
        note = "" if one.yanked is None else f" (yanked{': ' if one.yanked else ''}{one.yanked})"
        table.add_row(f"{one.manifest.name}@{one.manifest.version}", one.manifest.kind, one.manifest.summary + note)
    show_table(table)


@component_app.command("show")
def component_show(
    name: Annotated[str, typer.Argument(help="NAME or NAME@VERSION.")],
    components: Components = [],
    as_json: AsJson = False,
) -> None:
    """Shows a release's help page: ports, files, secrets, params."""
    from rich.console import Console

    from thalweg_cli.pages import show_page

    try:
        release = _release(releases_at_hand(components, as_json), name)
    except ThalwegError as error:
        fail(error, as_json)
    if as_json:
        typer.echo(json.dumps({**release.manifest.model_dump(mode="json"), "yanked": release.yanked}))
    else:
        show_page(release.manifest, Console())
        if release.yanked is not None:
            typer.echo(f"warning: it is yanked{': ' if release.yanked else ''}{release.yanked}", err=True)


def _release(catalog: Releases, name: str) -> Release:
    """NAME@VERSION; without a version, the latest."""
    from thalweg.graph.wording import did_you_mean

    short, _, version = name.partition("@")
    versions = catalog.versions(short)
    if not versions:
        known = sorted({full.partition("@")[0] for full in catalog.names()})
        raise RejectedError(f"there is no component {short!r}", code="component.unknown", hint=did_you_mean(short, known))
    release = catalog.find(short, version or versions[-1])
    if release is None:
        raise RejectedError(
            f"{short} has no version {version}", code="component.unknown_version", hint=f"{short} has {', '.join(versions)}"
        )
    return release
