"""Reads which sources are to be replaced by the records of a replay or fixture, as it is written on the command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from thalweg.errors import UsageError

if TYPE_CHECKING:
    from thalweg.graph.releases import Releases
    from thalweg.replay.feeds import Feed

ReplayFile = Annotated[
    Path | None,
    typer.Option("--replay", help="A replay (.mcap) or fixture: its records come in place of sources.", show_default=False),
]
Recorded = Annotated[
    str | None,
    typer.Option(
        "--replay", help="A replay (.mcap, or its artifact id) or fixture: its records come in place of sources.", show_default=False
    ),
]
Replace = Annotated[list[str], typer.Option("--replace", metavar="V", help="Which sources; default: all. May be repeated.")]
Continue = Annotated[bool, typer.Option("--continue", help="Replaced sources go on by themselves where the records end.")]


@dataclass(frozen=True, slots=True)
class Feeding:
    """Sources that are replaced.

    Attributes:
        feed: the file.
        only: which of them; all where none is named.
    """

    feed: Feed
    only: list[str]

    def feed_graph(self, content: Any, releases: Releases) -> tuple[Any, Releases]:
        """The content of a pipeline file with the sources replaced, and releases that fit that; what is not well formed stays as it is.

        Raises:
            RejectedError: a source cannot be replaced.
        """
        from pydantic import ValidationError

        from thalweg.replay.feeding import FedReleases, replaced

        try:
            content, _ = replaced(content, self.feed, self.only)
        except (ValidationError, TypeError, ValueError):
            return content, releases
        return content, FedReleases(releases, self.feed.types)


def feeding_of(replay: Path | None, replace: list[str]) -> Feeding | None:
    """What `--replay` and `--replace` say.

    Raises:
        UsageError: `replay.invalid`.
        RejectedError: `replay.…` or `fixture.…`, the file cannot be read.
    """
    from thalweg.replay.feeds import open_feed

    if replay is None:
        if replace:
            raise UsageError("--replace needs the file with the records", code="replay.invalid", hint="--replay FILE")
        return None
    return Feeding(open_feed(replay), replace)


def replaced_of(replay: str | None, replace: list[str], go_on: bool, lease: str | None) -> dict[str, Any] | None:
    """What `--replay`, `--replace` and `--continue` say, as fields of `thalweg.api.deployments.Replaced`; the file is uploaded then.

    Raises:
        UsageError: `replay.invalid`.
        RejectedError: `replay.…` or `fixture.…`, the file cannot be read.
        UnreachableError: the file store or the coordinator does not answer.
    """
    if replay is None:
        if replace or go_on:
            option = "--replace" if replace else "--continue"
            raise UsageError(f"{option} needs the file with the records", code="replay.invalid", hint="--replay FILE")
        return None
    found = {"vertices": replace, "go_on": go_on}
    if replay.startswith("sha256:"):
        return {"artifact": replay, "name": "replay.mcap", **found}
    from thalweg.replay.feeds import open_feed
    from thalweg_cli.uploading import put

    path = Path(replay)
    open_feed(path)
    return {"artifact": put(path, "bytes", None, lease or "").id, "name": path.name, **found}
