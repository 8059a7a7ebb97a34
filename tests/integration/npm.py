"""Installs packages of npm for a test: official schemas, clients in JavaScript."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path


def install(folder: Path, *packages: str) -> Path:
    """Installs packages, whose scripts are not run; the folder that they are in."""
    npm = shutil.which("npm")
    assert npm is not None, "npm is needed for this test"
    words = [npm, "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts", "--silent", "--prefix", str(folder)]
    subprocess.run([*words, *packages], check=True, timeout=120, cwd=folder, capture_output=True)
    return folder / "node_modules"
