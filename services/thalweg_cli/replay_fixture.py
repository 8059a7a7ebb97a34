"""`thalweg replay capture-fixture`: the next records of a live deployment's sources, in a file that can be edited."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from thalweg.errors import RejectedError, RunFailedError, ThalwegError, UsageError
from thalweg_cli.output import AsJson, fail

if TYPE_CHECKING:
    from thalweg.client.fixtures import Port, Write

MAX_COUNT = 100_000


def capture_fixture(
    name: Annotated[str, typer.Argument(help="The deployment.", show_default=False)],
    count: Annotated[int, typer.Option("--count", help="How many records of each source.", min=1, max=MAX_COUNT)] = 10,
    out: Annotated[
        Path | None, typer.Option("--out", help="The .fixture.jsonl file to write; default: NAME.fixture.jsonl.", show_default=False)
    ] = None,
    timeout_s: Annotated[float, typer.Option("--timeout", help="Seconds to wait for them.", min=1, max=86_400)] = 60.0,
    as_json: AsJson = False,
) -> None:
    """Takes the next records of every source and input endpoint into one file of JSON lines, to edit, run and test with."""
    from thalweg.replay.fixture import SUFFIX, is_fixture

    path = out if out is not None else Path(f"{name}{SUFFIX}")
    partial = path.with_name(f".{path.name}.partial")
    try:
        if not is_fixture(path.name):
            raise UsageError(f"--out {path}: a fixture is a {SUFFIX} file", code="fixture.name")
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            counts = asyncio.run(_take(name, count, timeout_s, file.write))
        if not any(counts.values()):
            raise RunFailedError(f"no source of {name} has given a record", code="fixture.empty", hint="--timeout waits longer")
        partial.replace(path)
    except OSError as error:
        fail(RejectedError(f"{path}: {error.strerror or error}", code="fixture.not_writable"), as_json)
    except ThalwegError as error:
        fail(error, as_json)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    finally:
        partial.unlink(missing_ok=True)
    _tell(path, counts, count, as_json)


async def _take(name: str, count: int, timeout_s: float, write: Write) -> dict[Port, int]:
    from thalweg.bus.deployments import load_deployment
    from thalweg.client import open_session
    from thalweg.client.fixtures import take_fixture
    from thalweg.settings import load_settings

    async with open_session(load_settings()) as session:
        spec = await load_deployment(session.client, session.workspace, name)
        return await take_fixture(session.client, spec, count, timeout_s, write)


def _tell(path: Path, counts: dict[Port, int], count: int, as_json: bool) -> None:
    named = {f"{vertex}.{port}": found for (vertex, port), found in counts.items()}
    if as_json:
        typer.echo(json.dumps({"path": str(path), "records": named}))
        return
    for port, found in named.items():
        if found < count:
            typer.echo(f"warning: {port}: {found:,} records have come, not {count:,}", err=True)
    typer.echo(f"{path}: {', '.join(f'{found:,} of {port}' for port, found in named.items())}")
