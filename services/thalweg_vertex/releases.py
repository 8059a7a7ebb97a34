"""Loads the release that a vertex pins: of the standard library or a folder of this machine's, or a published one."""

from __future__ import annotations

import os
import sys

from thalweg.published import Environments, Sources
from thalweg.published.loading import load_published
from thalweg.published.requirements import read_requirements
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


def load_pinned(settings: Settings, mine: VertexSpec) -> ComponentRelease:
    """The release; of a published one, nothing is imported before its archive was checked. Blocking.

    Raises:
        ElsewhereError: this process has not the environment that it needs.
        RejectedError: `release.archive`, `release.environment`, `component.unreadable` and the like.
        UnreachableError: the file store does not answer.
    """
    if not mine.archive:
        return load_release(mine.component, mine.code)
    store = store_of(settings)
    data = settings.data.absolute()
    folder = Sources(lambda archive: store.fetch(archive, "archive.tar"), data / "cache" / "releases").folder_of(mine.archive)
    requirements = read_requirements(folder)
    # A process that was put into an environment looks for it by the interpreter that made it, and would make another one.
    if requirements and os.path.realpath(os.path.dirname(sys.prefix)) != os.path.realpath(data / "environments"):
        raise ElsewhereError(Environments(data / "environments").python_for(requirements))
    return load_published(mine.component, folder, mine.code)
