"""Loads the release that a vertex pins: of the standard library or a folder of this machine's, or a published one."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from thalweg.sdk.catalog import load_release
from thalweg.sdk.release import ComponentRelease
from thalweg.settings import Settings
from thalweg.wire.spec import VertexSpec
from thalweg_vertex.files import store_of


class ElsewhereError(Exception):
    """The release has requirements of its own: the vertex is to be run by the interpreter of their environment.

    Attributes:
        python: its path.
    """

    def __init__(self, python: str) -> None:
        super().__init__(python)
        self.python = python


def prepare(settings: Settings, mine: VertexSpec) -> Path | None:
    """The unpacked archive of a published release, checked; None for another one. Blocking, while an environment is made.

    Raises:
        ElsewhereError: this process has not the environment that it needs.
        RejectedError: `release.archive`, `release.environment` and the like.
        UnreachableError: the file store does not answer.
    """
    if not mine.archive:
        return None
    from thalweg.published import Environments, Sources
    from thalweg.published.requirements import read_requirements

    store = store_of(settings)
    data = settings.data.absolute()
    folder = Sources(lambda archive: store.fetch(archive, "archive.tar"), data / "cache" / "releases").folder_of(mine.archive)
    requirements = read_requirements(folder)
    # A process that was put into an environment looks for it by the interpreter that made it, and would make another one.
    if requirements and os.path.realpath(os.path.dirname(sys.prefix)) != os.path.realpath(data / "environments"):
        raise ElsewhereError(Environments(data / "environments").python_for(requirements))
    return folder


def load_pinned(mine: VertexSpec, folder: Path | None) -> ComponentRelease:
    """The release; its code is imported here, and not before.

    Raises:
        RejectedError: `component.unknown`, `component.unreadable`.
    """
    if folder is None:
        return load_release(mine.component, mine.code)
    from thalweg.published.loading import load_published

    return load_published(mine.component, folder, mine.code)
