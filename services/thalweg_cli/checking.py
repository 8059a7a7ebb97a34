"""Checks a pipeline file as commands are given it: with values and files set, with components of the user's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from thalweg_cli.at_hand import releases_at_hand

if TYPE_CHECKING:
    from thalweg.graph.plan import Plan


def check(pipeline: Path, sets: list[str], files: list[str], components: list[Path], as_json: bool, *, needed: bool = False) -> Plan:
    """The plan, with all faults that there are. Raises RejectedError where the file cannot be read."""
    from thalweg.artifacts.content.bound import check_bound
    from thalweg.graph.draft import check_draft, read_draft
    from thalweg.graph.pipeline import load_content
    from thalweg_cli.overrides import apply_overrides

    draft = read_draft(apply_overrides(load_content(pipeline), sets, files), str(pipeline))
    return check_draft(draft, releases_at_hand(components, as_json, needed=needed), pipeline.resolve().parent, check_bound)
