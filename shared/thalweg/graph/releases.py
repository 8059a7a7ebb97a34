"""What the graph asks of component releases, wherever they are kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from thalweg.graph.manifest import Manifest
from thalweg.graph.types import StreamType


@dataclass(frozen=True, slots=True)
class ParamFault:
    """A param that is not valid or, when `missing`, not given yet, by its path within `params`."""

    path: str
    message: str
    missing: bool = False


class Release(Protocol):
    """What validation asks of a component release."""

    manifest: Manifest
    yanked: str | None
    """Why it is not to be used any more by those who do not pin it; None while it is."""

    def check_params(self, params: dict[str, Any]) -> tuple[dict[str, Any], list[ParamFault]]:
        """Validated params as JSON values, and every fault."""

    def resolve(self, params: dict[str, Any], inputs: dict[str, StreamType], files: dict[str, Path]) -> dict[str, StreamType]:
        """Output types; raises ThalwegError when the component refuses."""


class Releases(Protocol):
    """Where releases are found."""

    def names(self) -> list[str]:
        """Every `name@version`."""

    def versions(self, name: str) -> list[str]:
        """Versions of a component, the latest last."""

    def find(self, name: str, version: str) -> Release | None:
        """The release, or None."""


def version_order(version: str) -> tuple[Any, ...]:
    """Sort key of versions: by number, a pre-release (`1.0.0-rc1`) before its release."""
    core, _, pre = version.partition("+")[0].partition("-")
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in core.split(".")], not pre, pre, version


def latest_of(name: str, releases: Releases) -> str | None:
    """The newest version of a component that is not yanked; None where there is none."""
    return next((one for one in reversed(releases.versions(name)) if not is_yanked(name, one, releases)), None)


def is_yanked(name: str, version: str, releases: Releases) -> bool:
    """Whether a release is there, and not to be used any more."""
    found = releases.find(name, version)
    return found is not None and found.yanked is not None
