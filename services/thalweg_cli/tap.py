"""`thalweg tap`: the records on an edge as lines, images as files."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from thalweg.errors import ThalwegError, UsageError
from thalweg_cli.output import AsJson, fail

if TYPE_CHECKING:
    from thalweg.client.tap import Seen
    from thalweg.settings import Settings

_ENDINGS = {"jpeg": "jpg", "png": "png", "bgr8": "bgr", "gray8": "gray"}


def tap(
    name: Annotated[str, typer.Argument(help="The deployment.", show_default=False)],
    edge: Annotated[str, typer.Argument(metavar="VERTEX.PORT", help="Which output.", show_default=False)],
    where: Annotated[str, typer.Option("--where", help="Only records for which this CEL expression is true.")] = "",
    sample: Annotated[str, typer.Option("--sample", help="A share of them: 1% or 0.01.")] = "100%",
    count: Annotated[int, typer.Option("--count", help="Stop after so many; 0: at the end.", min=0)] = 0,
    start: Annotated[int | None, typer.Option("--from", help="Sequence on the log; 0: all it has.", min=0, show_default=False)] = None,
    save: Annotated[Path | None, typer.Option("--save", help="Folder to save images in.", show_default=False)] = None,
    as_json: AsJson = False,
) -> None:
    """Shows the records on an edge of a deployment, from now on; the graph does not notice."""
    from thalweg.settings import load_settings

    try:
        vertex, dot, port = edge.partition(".")
        if not dot:
            raise UsageError(f"{edge}: not of the form VERTEX.PORT", code="edge.invalid")
        asyncio.run(_tap(load_settings(), name, vertex, port, where, _share(sample), count, start, save, as_json))
    except ThalwegError as error:
        fail(error, as_json)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


async def _tap(
    settings: Settings,
    name: str,
    vertex: str,
    port: str,
    expression: str,
    share: float,
    count: int,
    start: int | None,
    save: Path | None,
    as_json: bool,
) -> None:
    from thalweg.bus.deployments import load_deployment
    from thalweg.client import open_session
    from thalweg.client.tap import tap as tapped
    from thalweg.client.tap import type_of
    from thalweg.client.tap import where as test_of

    async with open_session(settings) as session:
        spec = await load_deployment(session.client, session.workspace, name)
        keep = test_of(expression, type_of(spec, vertex, port)) if expression else None
        shown = 0
        async for seen in tapped(session.client, spec, vertex, port, start=start, keep=keep, sample=share):
            typer.echo(_line(seen, save, as_json))
            shown += 1
            if shown == count:
                return


def _line(seen: Seen, save: Path | None, as_json: bool) -> str:
    value = _plain(seen.value, save, f"{seen.sequence}-{seen.index}")
    if as_json:
        place = {"sequence": seen.sequence, "index": seen.index, "time_ns": seen.time_ns, "id": seen.record_id}
        return json.dumps({**place, "value": value}, ensure_ascii=False, default=str)
    try:
        at = datetime.fromtimestamp(seen.time_ns / 1e9, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (OverflowError, ValueError, OSError):
        at = str(seen.time_ns)
    return f"{seen.sequence}:{seen.index} {at} {json.dumps(value, ensure_ascii=False, default=str)}"


def _plain(value: Any, save: Path | None, stem: str) -> Any:
    """A value as JSON values; an image is saved, or told by its size."""
    import msgspec

    from thalweg import Image

    if isinstance(value, Image):
        told = f"image {value.width} x {value.height} {value.format}, {len(value.data):,} bytes"
        if save is None:
            return told
        save.mkdir(parents=True, exist_ok=True)
        path = save / f"{stem}.{_ENDINGS.get(value.format, value.format)}"
        path.write_bytes(value.data)
        return str(path)
    if isinstance(value, msgspec.Struct):
        return {name: _plain(getattr(value, name), save, f"{stem}-{name}") for name in value.__struct_fields__}
    if isinstance(value, dict):
        return {name: _plain(inner, save, f"{stem}-{name}") for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner, save, f"{stem}-{index}") for index, inner in enumerate(value)]
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    return value


def _share(text: str) -> float:
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = -1
    if not 0 < share <= 1:
        raise UsageError(f"--sample {text}: not a share", code="sample.invalid", hint="a number over 0 and up to 1, or up to 100%")
    return share
