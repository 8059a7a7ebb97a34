"""The container image of vertices."""

from __future__ import annotations

from importlib.metadata import version

from thalweg.settings import Settings


def image_of(settings: Settings) -> str:
    """That of the settings, else the one of this version."""
    return settings.vertex_image or f"thalweg:{version('thalweg')}"
