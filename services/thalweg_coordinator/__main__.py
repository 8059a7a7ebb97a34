"""`python -m thalweg_coordinator [--only NAME]`: the service's entry point."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import signal
import sys
from concurrent.futures import ThreadPoolExecutor

import uvloop

from thalweg.errors import ThalwegError
from thalweg.settings import Settings
from thalweg_coordinator.service import Coordinator

THREADS = 64


def main() -> int:
    """Runs until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="take care of this deployment alone, and of those whose names begin with it and a dash")
    parser.add_argument("--secrets-on-stdin", action="store_true", help="values of secrets come as a JSON object on standard input")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s coordinator %(levelname)s %(message)s")
    try:
        uvloop.run(_serve(given.only, json.load(sys.stdin) if given.secrets_on_stdin else None))
    except ThalwegError as error:
        logging.getLogger("thalweg.coordinator").error("%s", error)
        return error.exit_code
    return 0


async def _serve(only: str | None, secrets: dict[str, str] | None) -> None:
    # Of its own size: teardowns that wait for the file store must not keep vertices from being started.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS))
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await Coordinator(Settings(), only, secrets).run(stop)


if __name__ == "__main__":
    sys.exit(main())
