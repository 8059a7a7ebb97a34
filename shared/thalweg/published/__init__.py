"""Published releases: their archives, the environments they run in, and the processes that run their checks.

What validation sees of them is in `thalweg.published.releases`, which a vertex has no need to load.
"""

from __future__ import annotations

from thalweg.published.archive import Sources, pack
from thalweg.published.environment import Environments
from thalweg.published.workers import Workers

__all__ = ["Environments", "Sources", "Workers", "pack"]
