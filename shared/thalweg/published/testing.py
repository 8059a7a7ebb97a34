"""Runs the tests that a release brings along, in its environment."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from thalweg.errors import RejectedError
from thalweg.published.environment import Environments, end_group, plain_environment
from thalweg.published.requirements import read_requirements

TEST_TIMEOUT_S = 300.0
_QUIET = ("-o", "asyncio_default_fixture_loop_scope=function")  # pytest-asyncio warns where nothing says so
_NO_TESTS = 5  # pytest's exit code when it collects none
_MAX_SHOWN = 20_000


def run_tests(folder: Path, environments: Environments, timeout_s: float = TEST_TIMEOUT_S) -> tuple[bool, str]:
    """Whether the tests of an unpacked release pass, and what pytest said. Blocking.

    Raises:
        RejectedError: `release.no_tests`, `release.no_pytest`, `release.timed_out`, `release.environment`.
    """
    python = environments.python_for(read_requirements(folder))
    with tempfile.TemporaryDirectory(prefix="thalweg-test-") as home:
        # Neither the settings of a folder around it nor a cache in it: the folder stays what its archive says.
        command = [
            python,
            "-m",
            "pytest",
            "-q",
            "-c",
            "/dev/null",
            "--rootdir",
            str(folder),
            "-p",
            "no:cacheprovider",
            *_QUIET,
            str(folder),
        ]
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=home,
            start_new_session=True,
            env={**plain_environment(), "HOME": home},
        )
        try:
            output, _ = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            raise RejectedError(f"the tests take longer than {timeout_s:g} s", code="release.timed_out") from None
        finally:
            end_group(process)
    said = output.decode(errors="replace")[-_MAX_SHOWN:]
    if process.returncode == _NO_TESTS:
        raise RejectedError("the release brings no tests along", code="release.no_tests", hint="files named test_*.py beside its code")
    if process.returncode == 1 and "No module named pytest" in said:
        raise RejectedError("pytest is not installed", code="release.no_pytest", hint="pip install pytest, beside Thalweg")
    return process.returncode == 0, said
