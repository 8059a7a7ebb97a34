"""What may run the vertices of a deployment, and the image that they run in."""

from __future__ import annotations

from importlib.metadata import version
from typing import Literal

LauncherName = Literal["process", "docker", "kubernetes", "static"]


def usual_image() -> str:
    """The container image of this version, as `make image` calls it."""
    return f"thalweg:{version('thalweg')}"
