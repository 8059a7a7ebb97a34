"""What a built wheel puts into a user's site-packages."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {"thalweg", "thalweg_vertex", "thalweg_coordinator", "thalweg_gateway", "thalweg_components", "thalweg_cli"}


@pytest.fixture(scope="module")
def wheel_names(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    target = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(target), str(ROOT)]
    built = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert built.returncode == 0, built.stderr
    (wheel,) = target.glob("thalweg-*.whl")
    return zipfile.ZipFile(wheel).namelist()


def test_a_wheel_holds_the_import_packages_only(wheel_names: list[str]) -> None:
    top_level = {name.split("/")[0] for name in wheel_names}
    assert {name for name in top_level if not name.endswith(".dist-info")} == PACKAGES


def test_a_wheel_says_that_it_is_typed(wheel_names: list[str]) -> None:
    assert "thalweg/py.typed" in wheel_names


def test_a_wheel_has_the_page_that_the_gateway_shows(wheel_names: list[str]) -> None:
    assert "thalweg_gateway/cam.html" in wheel_names


def test_the_lock_names_no_host_and_no_folder_of_a_machine() -> None:
    lines = (ROOT / "deploy" / "requirements.lock").read_text().splitlines()
    assert lines
    assert [line for line in lines if "://" in line or line.startswith("-") or " @ " in line or "/" in line.split("#")[0]] == []


def test_the_lock_has_every_direct_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(name for extra in project["optional-dependencies"].values() for name in extra)]
    locked = {
        line.split("==")[0].split("[")[0] for line in (ROOT / "deploy" / "requirements.lock").read_text().splitlines() if "==" in line
    }
    names = {name.split("[")[0].split(">")[0] for name in wanted} - {"thalweg"}
    assert names <= locked


def test_importing_thalweg_loads_no_heavy_library() -> None:
    code = "import sys, thalweg; print(*sorted({'cv2', 'av', 'boto3', 'nats', 'pyarrow'} & set(sys.modules)))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (shown.returncode, shown.stdout.strip()) == (0, ""), shown.stderr
