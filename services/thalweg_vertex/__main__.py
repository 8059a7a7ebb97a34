"""`python -m thalweg_vertex --deployment NAME --vertex NAME [--access FD] [--secrets FOLDER] [--kept]`: the service's entry point."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path

import uvloop

from thalweg.access.access import Access
from thalweg.errors import ThalwegError
from thalweg.runtime.source_thread import is_any_left
from thalweg.settings import Settings
from thalweg_vertex.access import hand_on, take_access
from thalweg_vertex.logs import Logs
from thalweg_vertex.releases import ElsewhereError
from thalweg_vertex.service import Terms, serve


def main() -> int:
    """Runs the vertex to its end. Exit codes: 0 ended, 4 failed, 75 fenced out, 77 shut out by NATS, 6 no server, 143 stopped."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--deployment", required=True)
    parser.add_argument("--vertex", required=True)
    parser.add_argument(
        "--secrets", type=Path, metavar="FOLDER", help="a file for each secret, called as its slot; default: standard input"
    )
    parser.add_argument(
        "--access",
        type=int,
        metavar="FD",
        help="open file that begins with a line of what NATS lets it in by: 0, where secrets follow; default: THALWEG_NATS_CREDS, if any",
    )
    parser.add_argument("--kept", action="store_true", help="wait for the deployment, heed its changes, wait when the vertex has ended")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format=f"%(asctime)s {given.deployment}/{given.vertex} %(levelname)s %(message)s")
    logs = Logs(given.deployment, given.vertex)
    logging.getLogger().addHandler(logs)
    code = _run(given.deployment, given.vertex, given.access, logs, Terms(given.secrets, given.kept))
    if is_any_left():
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def _run(deployment: str, vertex: str, descriptor: int | None, logs: Logs, terms: Terms) -> int:
    words, access = sys.argv[1:], None
    try:
        settings = Settings()
        access = take_access(descriptor) if descriptor is not None else Access.of(settings)
        return uvloop.run(serve(settings, access, deployment, vertex, logs, terms))
    except ElsewhereError as error:
        if descriptor is not None and access is not None:
            words += ["--access", str(hand_on(access))]  # the last one counts
        # In place of this process: the launcher goes on knowing it by its number.
        os.execv(error.python, [error.python, "-m", "thalweg_vertex", *words])
    except ThalwegError as error:
        logging.getLogger("thalweg.vertex").error("%s", error)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
