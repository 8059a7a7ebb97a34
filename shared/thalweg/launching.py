"""The names of what may run the vertices of a deployment."""

from __future__ import annotations

from typing import Literal

LauncherName = Literal["process", "docker", "kubernetes", "static"]
