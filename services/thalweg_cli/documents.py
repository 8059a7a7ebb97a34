"""`thalweg asyncapi`: documents that describe a deployment to programs of others."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from thalweg.errors import RejectedError, ThalwegError
from thalweg_cli.output import fail


def asyncapi(
    name: Annotated[str, typer.Argument(help="The deployment.", show_default=False)],
    as_yaml: Annotated[bool, typer.Option("--yaml", help="Print YAML instead of JSON.")] = False,
) -> None:
    """Prints the AsyncAPI 3 document of a deployment: its subjects, with the JSON Schema of what travels there."""
    try:
        document = asyncio.run(_document(name))
    except ThalwegError as error:
        fail(error)
    if as_yaml:
        import yaml

        typer.echo(yaml.safe_dump(document, sort_keys=False, allow_unicode=True).rstrip())
    else:
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False))


async def _document(name: str) -> dict[str, Any]:
    from thalweg.bus.deployments import load_deployment
    from thalweg.client import open_session
    from thalweg.graph.fields import is_name
    from thalweg.settings import load_settings
    from thalweg.wire.asyncapi import asyncapi

    if not is_name(name):
        raise RejectedError(f"{name!r} is not a name", code="name.invalid")
    settings = load_settings()
    async with open_session(settings) as session:
        spec = await load_deployment(session.client, session.workspace, name)
    place = urlsplit(settings.nats_url or "")
    return asyncapi(spec, f"{place.hostname}:{place.port or 4222}")
