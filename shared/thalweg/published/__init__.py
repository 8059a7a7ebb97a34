"""Published releases: their archives, the environments they run in, and the processes that run their checks."""

from __future__ import annotations

from thalweg.published.archive import Sources, pack
from thalweg.published.environment import Environments
from thalweg.published.releases import PublishedReleases
from thalweg.published.workers import Workers

__all__ = ["Environments", "PublishedReleases", "Sources", "Workers", "pack"]
