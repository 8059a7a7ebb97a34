"""`thalweg compose` and `manifests`: files by which something else than a coordinator runs the vertices."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from thalweg.errors import RejectedError, ThalwegError
from thalweg_cli.checking import PipelineFile
from thalweg_cli.output import fail

if TYPE_CHECKING:
    from thalweg.wire.spec import DeploymentSpec


def compose(
    pipeline: PipelineFile,
    out: Annotated[Path | None, typer.Option("--out", help="File to write; default: standard output.", show_default=False)] = None,
    name: Annotated[str | None, typer.Option("--name", help="Of the deployment; default: the backend's.", show_default=False)] = None,
    components: Annotated[
        list[Path], typer.Option("--components", help="A .py file or folder with components of your own; may be repeated.")
    ] = [],  # noqa: B006  # typer copies it
) -> None:
    """Prints a Compose file that runs one pipeline, a service for each vertex, beside the stack of deploy/compose.yaml."""
    from thalweg.wire.subjects import check_token
    from thalweg_cli.checking import check_file
    from thalweg_cli.composing import HEAD, compose_of

    try:
        plan = check_file(pipeline, [], [], components, False)
        plan.raise_if_faulty()
        deployment = check_token("deployment", name or plan.pipeline.backend)
        folder = out.resolve().parent if out is not None else Path.cwd()
        text = HEAD + _as_yaml(compose_of(plan, pipeline, folder, deployment))
        if out is not None:
            _write(out, text)
    except ThalwegError as error:
        fail(error)
    if out is None:
        typer.echo(text, nl=False)


def manifests(
    name: Annotated[str, typer.Argument(help="The deployment.", show_default=False)],
    namespace: Annotated[str, typer.Option("--namespace", help="Of Kubernetes.")] = "thalweg",
) -> None:
    """Prints the Kubernetes manifests of a deployment's vertices, for those who apply them by themselves (`deploy --launcher static`)."""
    from thalweg.launching import usual_image
    from thalweg.settings import load_settings
    from thalweg.wire.manifests import Placed, Placing, vertex_manifest

    settings = load_settings()
    try:
        spec = asyncio.run(_spec(name))
    except ThalwegError as error:
        fail(error)
    placing = Placing(namespace, settings.vertex_image or usual_image(), settings.vertex_memory_bytes, settings.vertex_cpus)
    typer.echo("---\n".join(_as_yaml(vertex_manifest(Placed.of(spec, one), placing)) for one in spec.vertices if not one.retired), nl=False)
    if spec.launcher != "static":
        typer.echo(f"warning: {name} has the launcher {spec.launcher}, which starts these vertices, too", err=True)


async def _spec(name: str) -> DeploymentSpec:
    from thalweg.bus.deployments import load_deployment
    from thalweg.client import open_session
    from thalweg.settings import load_settings
    from thalweg.wire.subjects import check_token

    async with open_session(load_settings()) as session:
        return await load_deployment(session.client, session.workspace, check_token("deployment", name))


def _as_yaml(document: dict[str, Any]) -> str:
    """Without anchors, which yaml makes of whatever is there twice."""
    import yaml

    return yaml.safe_dump(json.loads(json.dumps(document)), sort_keys=False, allow_unicode=True, width=200)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError as error:
        raise RejectedError(f"{path} cannot be written: {error.strerror}", code="file.unwritable") from error
