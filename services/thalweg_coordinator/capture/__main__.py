"""`python -m thalweg_coordinator.capture --deployment NAME`: the entry point; the coordinator starts it."""

from __future__ import annotations

import argparse
import ctypes
import logging
import os
import sys
from contextlib import suppress

import uvloop

from thalweg.errors import ThalwegError
from thalweg.settings import Settings
from thalweg_coordinator.capture.service import capture

NICENESS = 5  # vertices go first; a capture has until their subjects are full to catch up
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h
KEPT_BYTES, LARGE_BYTES = 64 << 20, 16 << 20


def main() -> int:
    """Captures until the deployment has ended, then uploads. Exit codes: 0 it is told what became of it, or nobody wants it any more."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--deployment", required=True)
    parser.add_argument("--vertex", help="ignored: the launcher starts vertices alike")
    given = parser.parse_args()
    os.nice(NICENESS)
    keep_memory()
    logging.basicConfig(level=logging.INFO, format=f"%(asctime)s {given.deployment} capture %(levelname)s %(message)s")
    try:
        uvloop.run(capture(Settings(), given.deployment))
    except ThalwegError as error:
        logging.getLogger("thalweg.capture").error("%s", error)
        return error.exit_code
    return 0


def keep_memory() -> None:
    """Has glibc keep what is freed, up to 64 MiB: to give memory back behind each message, and take it anew, is a third of reading it."""
    with suppress(AttributeError, OSError):  # another libc
        libc = ctypes.CDLL(None)
        libc.mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
        libc.mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)


if __name__ == "__main__":
    sys.exit(main())
