"""`thalweg test`: a pipeline's own tests, run live in a lease."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from thalweg.errors import RejectedError, ThalwegError, UsageError
from thalweg_cli.output import fail

if TYPE_CHECKING:
    from thalweg.settings import Settings
    from thalweg.testing.manifest import Case, Manifest
    from thalweg_cli.testing.events import Event, Listener
    from thalweg_cli.testing.prepare import Prepared
    from thalweg_cli.testing.running import Totals


def run_tests(
    manifest: Annotated[Path, typer.Argument(metavar="MANIFEST", help="The manifest (YAML).", show_default=False)],
    keep_lease: Annotated[bool, typer.Option("--keep-lease", help="Leave the lease open, with the deployments, to look around.")] = False,
    junit: Annotated[Path | None, typer.Option("--junit", metavar="FILE", help="Write JUnit XML.", show_default=False)] = None,
    case: Annotated[list[str] | None, typer.Option("--case", help="Only the case of this name; may be repeated.")] = None,
    containing: Annotated[str, typer.Option("-k", metavar="TEXT", help="Only cases whose names contain this.")] = "",
    update: Annotated[bool, typer.Option("--update", help="Write golden files that are missing, or differ.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show expectations that are met, too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print events as lines of JSON.")] = False,
) -> None:
    """Runs the cases of a manifest on the real services, and says what is not as expected; exit code 0, or 5."""
    from thalweg.settings import load_settings
    from thalweg.testing.manifest import load_manifest
    from thalweg_cli.interrupts import Interrupted
    from thalweg_cli.testing.events import event_line
    from thalweg_cli.testing.junit import write_junit
    from thalweg_cli.testing.report import Report

    events: list[Event] = []
    show: Listener = (lambda event: typer.echo(event_line(event))) if as_json else Report(typer.echo, show_all=verbose).tell

    def tell(event: Event) -> None:
        if junit is not None and event.event != "vertex.progress":
            events.append(event)
        show(event)

    try:
        if junit is not None:
            _check_writable(junit)
        found = load_manifest(manifest)
        wanted = _selected(found, case or [], containing)
        prepared = _prepared(manifest, found, wanted, as_json, update=update)
        exit_code = _run(load_settings(), str(manifest), prepared, tell, leave=keep_lease)
    except ThalwegError as error:
        fail(error, as_json)
    except Interrupted as error:
        typer.echo(f"error: interrupted by {error}", err=True)
        raise typer.Exit(error.exit_code) from None
    if junit is not None:
        write_junit(junit, str(manifest), events)
    if exit_code:
        raise typer.Exit(exit_code)


def _selected(manifest: Manifest, names: list[str], containing: str) -> list[Case]:
    known = [one.name for one in manifest.cases]
    for name in names:
        if name not in known:
            raise UsageError(f"--case {name}: there is no such case", code="case.unknown", hint=f"there are {', '.join(known)}")
    found = [one for one in manifest.cases if (not names or one.name in names) and containing.lower() in one.name.lower()]
    if not found:
        raise UsageError(f"-k {containing}: no case is named like that", code="case.unknown", hint=f"there are {', '.join(known)}")
    return found


def _prepared(path: Path, manifest: Manifest, cases: list[Case], as_json: bool, *, update: bool) -> list[Prepared]:
    from thalweg.sdk.catalog import Catalog
    from thalweg_cli.at_hand import releases_at_hand
    from thalweg_cli.testing.prepare import component_paths, prepare

    places = tuple(component_paths(manifest, path))
    releases, tried = releases_at_hand(places, as_json, needed=True), Catalog((), places).names()
    return prepare(path, manifest, cases, releases, tried, _stored_backend, update=update)


def _stored_backend(name: str, revision: int | None) -> dict[str, Any]:
    from thalweg.api.backends import SHOW, Which
    from thalweg.client import open_session
    from thalweg.settings import load_settings

    async def asked() -> dict[str, Any]:
        async with open_session(load_settings()) as session:
            return (await session.ask(SHOW, Which(backend=name, revision=revision))).document

    return asyncio.run(asked())


def _run(settings: Settings, manifest: str, prepared: list[Prepared], tell: Callable[[Event], None], *, leave: bool) -> int:
    """Runs the cases under a lease; the exit code. Blocking."""
    from thalweg_cli.leased import LEFT_TTL_S, At, Place, run_leased
    from thalweg_cli.testing.events import Finished, LeaseLeft
    from thalweg_cli.testing.running import run_cases

    started = time.monotonic()
    settings = settings.model_copy(update={"data": settings.data.resolve()})
    name = f"{prepared[0].plan.pipeline.backend[:30]}-test-{os.urandom(4).hex()}"
    vertices = [vertex for one in prepared for vertex in one.plan.vertices]
    data: Path | None = None

    async def work(place: Place) -> Totals:
        nonlocal data
        data = place.settings.data if settings.nats_url is None else None
        return await run_cases(place, prepared, tell, leave=leave)

    at_end: At = "leave" if leave else "roll back"
    totals = run_leased(settings, name, f"thalweg test {manifest}"[:200], vertices, work, at_end=at_end)
    if leave:
        tell(LeaseLeft(lease=name, seconds=LEFT_TTL_S, data=str(data) if data is not None else None))
    tell(
        Finished(
            manifest=manifest,
            passed=totals.passed,
            failed=totals.failed,
            errors=totals.errors,
            seconds=round(time.monotonic() - started, 3),
            exit_code=totals.exit_code,
        )
    )
    return totals.exit_code


def _check_writable(path: Path) -> None:
    """Before anything runs. Raises RejectedError (`junit.not_writable`)."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(21, "is a directory")
        with path.with_name(f".{path.name}.partial").open("wb"):
            pass
        path.with_name(f".{path.name}.partial").unlink()
    except OSError as error:
        raise RejectedError(f"--junit {path}: {error.strerror}", code="junit.not_writable") from error
