"""`python -m thalweg_gateway [--host HOST] [--port N] [--head-timeout S] [--body-timeout S]`: the service's entry point."""

from __future__ import annotations

import argparse
import logging
import signal
import sys

import uvloop

from thalweg.errors import ThalwegError
from thalweg.settings import load_settings
from thalweg_gateway.inputs import BODY_TIMEOUT_S
from thalweg_gateway.patience import HEAD_TIMEOUT_S
from thalweg_gateway.service import Listening, serve

DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 8080


def main() -> int:
    """Serves until it is stopped. Exit codes: 0 stopped, 2 port in use or no server given, 6 no server."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default=DEFAULT_HOST, help="address to listen on")
    parser.add_argument("--port", default=DEFAULT_PORT, type=int, help="0 for any that is free")
    parser.add_argument("--head-timeout", default=HEAD_TIMEOUT_S, type=float, metavar="S", help="for the head of a request")
    parser.add_argument("--body-timeout", default=BODY_TIMEOUT_S, type=float, metavar="S", help="for its body")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s gateway %(levelname)s %(message)s")
    for number in (signal.SIGINT, signal.SIGTERM):  # before uvicorn heeds them, and when it raises them again in the end
        signal.signal(number, lambda *_: sys.exit(0))
    try:
        uvloop.run(serve(load_settings(), Listening(given.host, given.port, given.head_timeout, given.body_timeout)))
    except ThalwegError as error:
        logging.getLogger("thalweg.gateway").error("%s", error)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
