"""Checks a pipeline file as it is to be run: with what was set, bound and replaced on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from thalweg_cli.at_hand import releases_at_hand

if TYPE_CHECKING:
    from thalweg.graph.plan import Plan
    from thalweg_cli.feeding import Feeding

# Not `readable`: whoever opens it says in one line why it cannot be read.
PipelineFile = Annotated[Path, typer.Argument(help="The pipeline file (YAML).", show_default=False, readable=False)]
Sets = Annotated[list[str], typer.Option("--set", help="vertex.param=VALUE (VALUE as YAML); may be repeated.")]
Files = Annotated[list[str], typer.Option("--file", help="vertex.slot=PATH; may be repeated.")]
Components = Annotated[list[Path], typer.Option("--components", help="A .py file or folder with components of your own; may be repeated.")]


def check_file(
    pipeline: Path,
    sets: list[str],
    files: list[str],
    components: list[Path],
    as_json: bool,
    *,
    needed: bool = False,
    feeding: Feeding | None = None,
) -> Plan:
    """Checks a pipeline file; all faults are in the plan.

    Args:
        pipeline: the file.
        sets, files: `--set` and `--file`.
        components: releases of the user's own.
        as_json: how errors are told.
        needed: published releases must be at hand.
        feeding: sources that are replaced.

    Raises:
        UsageError, RejectedError: an override is not of its form, the file cannot be read, or a source cannot be replaced.
    """
    from thalweg.artifacts.content.bound import check_bound
    from thalweg.graph.draft import check_draft, read_draft
    from thalweg.graph.pipeline import load_content
    from thalweg_cli.overrides import apply_overrides

    content = apply_overrides(load_content(pipeline), sets, files)
    releases = releases_at_hand(components, as_json, needed=needed)
    if feeding is not None:
        content, releases = feeding.feed_graph(content, releases)
    return check_draft(read_draft(content, str(pipeline)), releases, pipeline.resolve().parent, check_bound)
