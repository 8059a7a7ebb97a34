"""`thalweg component new`, `publish`, `yank`, `rehearse`, and `thalweg backend outdated`: releases of one's own."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from thalweg.errors import NotReproducedError, RejectedError, ThalwegError, UnreachableError
from thalweg_cli.output import AsJson, Author, ask, author_of, checked, fail, show_table

if TYPE_CHECKING:
    from thalweg.api.components import ReleaseRecord
    from thalweg.published import Sources
    from thalweg.settings import Settings
    from thalweg.testing.rehearsal import Outcome

FullName = Annotated[str, typer.Argument(metavar="NAME@VERSION", help="A published release.", show_default=False)]


def new(
    name: Annotated[str, typer.Argument(help="The component, as in daily-swing.", show_default=False)],
    folder: Annotated[Path, typer.Option("--dir", help="Where its folder is made.")] = Path(),
) -> None:
    """Makes a folder with a component and its test, which passes as it stands."""
    from thalweg_cli.scaffold import scaffold

    try:
        made = scaffold(name, folder)
    except ThalwegError as error:
        fail(error)
    typer.echo(f"made {made}")
    typer.echo(f"  test it:    python -m pytest {made}")
    typer.echo(f"  run it:     thalweg run --components {made} PIPELINE.yaml")
    typer.echo(f"  publish it: thalweg component publish {made}")


def publish(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of the component.", show_default=False)],
    author: Author = "",
    as_json: AsJson = False,
) -> None:
    """Makes immutable releases of the components of a folder."""
    from thalweg.api.components import PUBLISH, PUBLISH_TIMEOUT_S, Publish

    request = checked(Publish, as_json, archive=_upload(folder, as_json), author=author_of(author))
    found = ask(PUBLISH, request, as_json, PUBLISH_TIMEOUT_S)
    if as_json:
        typer.echo(json.dumps({which: [_line(one) for one in getattr(found, which)] for which in ("new", "known")}))
        return
    for one in found.new:
        typer.echo(f"published {one.full_name}  {one.manifest.digest}")
    for one in found.known:
        typer.echo(f"{one.full_name} is published already, with the same content")


def yank(
    name: FullName,
    reason: Annotated[str, typer.Option("--reason", help="Why; those who pin it are told.")] = "",
    undo: Annotated[bool, typer.Option("--undo", help="It may be used again.")] = False,
    author: Author = "",
    as_json: AsJson = False,
) -> None:
    """Says that a release is not to be used any more; those who pin it keep it, and are warned."""
    from thalweg.api.components import YANK, Yank

    found = ask(YANK, checked(Yank, as_json, component=name, reason=reason, undo=undo, author=author_of(author)), as_json)
    if as_json:
        typer.echo(json.dumps({**_line(found.release), "pinned_by": found.pinned_by}))
        return
    typer.echo(f"{name} is {'not yanked' if undo else 'yanked'}")
    for line in found.pinned_by:
        typer.echo(f"  pinned by {line}")


def rehearse(
    candidate: Annotated[str, typer.Argument(metavar="NAME@VERSION|DIR", help="A published release, or a folder.", show_default=False)],
    test: Annotated[
        bool,
        typer.Option("--test", help="Also run its own tests, and every stored backend with it for a short while, on this machine."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Validates every stored backend against a candidate; leaves with 3 when it would break one, with 5 when a test or a run differs."""
    from thalweg.api.components import PUBLISH_TIMEOUT_S, REHEARSE, Rehearse

    given = {"archive": _upload(Path(candidate), as_json)} if Path(candidate).is_dir() else {"component": candidate}
    found = ask(REHEARSE, checked(Rehearse, as_json, **given), as_json, PUBLISH_TIMEOUT_S)
    tests = _test(found.archive, as_json) if test and found.archive else None
    outcomes = _runs(given, [one.backend for one in found.backends if not one.faults], as_json) if test else {}
    if as_json:
        runs = {name: {"verdict": one.verdict, "lines": one.lines, "ports": one.ports} for name, one in outcomes.items()}
        typer.echo(json.dumps({**found.model_dump(), "tests": tests and {"passed": tests[0], "output": tests[1]}, "runs": runs}))
    else:
        for one in found.backends:
            typer.echo(f"{one.backend} ({', '.join(one.vertices)}): {_verdict(outcomes.get(one.backend), bool(one.faults))}")
            for line in one.faults or (outcomes[one.backend].lines if one.backend in outcomes else ()):
                typer.echo(f"  {line}")
        typer.echo(f"{', '.join(found.candidates)}: {_backends(len(found.backends))} checked, {found.untouched} without it")
        if tests:
            typer.echo(tests[1].rstrip())
    if any(one.faults for one in found.backends):
        raise typer.Exit(RejectedError.exit_code)
    if (tests and not tests[0]) or any(one.verdict in ("differs", "fails") for one in outcomes.values()):
        raise typer.Exit(NotReproducedError.exit_code)


def _backends(count: int) -> str:
    return "1 backend" if count == 1 else f"{count} backends"


def _verdict(outcome: Outcome | None, is_broken: bool) -> str:
    if is_broken:
        return "breaks"
    if outcome is None:
        return "ok"
    return f"ok, {outcome.ports} ports the same" if outcome.verdict == "same" else outcome.verdict


def _runs(given: dict[str, str], backends: list[str], as_json: bool) -> dict[str, Outcome]:
    """How each backend comes out with the candidate, compared with what it pins."""
    import msgspec

    from thalweg.api.components import PUBLISH_TIMEOUT_S, REHEARSE_PLAN, RehearseOne
    from thalweg.published import Environments
    from thalweg.settings import load_settings
    from thalweg.testing.rehearsal import Outcome
    from thalweg.wire.spec import VertexSpec
    from thalweg_cli.bindings import open_store
    from thalweg_cli.rehearsing import Rehearsals

    try:
        rehearsals = Rehearsals(open_store(), _sources(), Environments(load_settings().data.absolute() / "environments"))
    except ThalwegError as error:
        fail(error, as_json)
    found: dict[str, Outcome] = {}
    for backend in backends:
        planned = ask(REHEARSE_PLAN, checked(RehearseOne, as_json, backend=backend, **given), as_json, PUBLISH_TIMEOUT_S)
        pinned, tried = (msgspec.json.decode(text, type=list[VertexSpec]) for text in (planned.pinned, planned.candidate))
        order = {one.name: place for place, one in enumerate(pinned)}
        tried.sort(key=lambda one: order[one.name])
        found[backend] = rehearsals.run(pinned, tried) if pinned else Outcome("not run", ("it is not complete",))
    return found


def outdated(
    name: Annotated[str | None, typer.Argument(help="The backend; all without.", show_default=False)] = None,
    as_json: AsJson = False,
) -> None:
    """Lists vertices that pin a yanked release, or one that has newer versions."""
    from rich.table import Table

    from thalweg.api.components import OUTDATED, AskOutdated

    found = ask(OUTDATED, checked(AskOutdated, as_json, backend=name), as_json).vertices
    if as_json:
        typer.echo(json.dumps([one.model_dump() for one in found]))
        return
    if not found:
        typer.echo("everything is at its latest version")
        return
    table = Table("backend", "vertex", "pins", "newer", "yanked", box=None, pad_edge=False)
    for one in found:
        table.add_row(one.backend, one.vertex, one.component, ", ".join(one.newer), "" if one.yanked is None else one.yanked or "yes")
    show_table(table)


def published(as_json: bool, *, needed: bool) -> list[ReleaseRecord]:
    """The releases of the coordinator of the settings' servers; none where there is no server, or no coordinator.

    A server that is given and does not answer ends the command when it is `needed`; else a warning is all.
    """
    from thalweg.settings import load_settings

    try:
        settings = load_settings()
        if settings.nats_url is None:
            return []
        return asyncio.run(_published(settings))
    except ThalwegError as error:
        if error.code == "coordinator.silent":
            return []
        if needed or not isinstance(error, UnreachableError):
            fail(error, as_json)
        typer.echo(f"warning: published releases are not known: {error}", err=True)
        return []


async def _published(settings: Settings) -> list[ReleaseRecord]:
    from thalweg.api.calls import Nothing
    from thalweg.api.components import RELEASES
    from thalweg.client import open_session

    async with open_session(settings) as session:
        return (await session.ask(RELEASES, Nothing())).releases


def _line(record: ReleaseRecord) -> dict[str, Any]:
    return {
        "release": record.full_name,
        "digest": record.manifest.digest,
        "archive": record.archive,
        "author": record.author,
        "time_ns": record.time_ns,
        "yanked": record.yanked,
    }


def _upload(folder: Path, as_json: bool) -> str:
    """Packs a folder and stores the archive; its id."""
    import tempfile

    from thalweg.published import pack
    from thalweg.published.requirements import read_requirements
    from thalweg_cli.bindings import open_store

    try:
        archive = pack(folder)
        read_requirements(folder)
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / "archive.tar"
            path.write_bytes(archive)
            return str(open_store().put_file(path).id)
    except ThalwegError as error:
        fail(error, as_json)


def _test(archive: str, as_json: bool) -> tuple[bool, str]:
    """Whether the candidate's own tests pass, and what they said."""
    from thalweg.published import Environments
    from thalweg.published.testing import run_tests
    from thalweg.settings import load_settings

    try:
        return run_tests(_sources().folder_of(archive), Environments(load_settings().data.absolute() / "environments"))
    except ThalwegError as error:
        fail(error, as_json)


def _sources() -> Sources:
    from thalweg.published import Sources
    from thalweg.settings import load_settings
    from thalweg_cli.bindings import open_store

    store = open_store()
    return Sources(lambda one: Path(store.fetch(one, "archive.tar")), load_settings().data.absolute() / "cache" / "releases")
