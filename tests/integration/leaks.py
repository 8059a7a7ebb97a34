"""Components that let their secret out in every way that they know."""

from __future__ import annotations

import base64
import logging
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel

import thalweg
from thalweg.sdk.values import RecordError

Priced = Annotated[thalweg.InputFile, "csv", {"item": "str", "price": "float"}]


class Leaks(BaseModel):
    """Where the vertex notes that it was killed once."""

    killed: str


@thalweg.component("numbers-for-leaks", version="1.0.0")
def numbers() -> Iterator[int]:
    """Counts from 0 to 9."""
    yield from range(10)


@thalweg.component("leak", version="1.0.0")
def leak(record: int, token: thalweg.Secret, params: Leaks, context: thalweg.Context) -> str:
    """Another leak for each record."""
    value = token.reveal()
    if record == 0:
        logging.getLogger("some.library").warning("connecting with %s", value, extra={"password": value})
        context.logger.error("token=%r", {"Authorization": value})
        print("printed", value, flush=True)
        sys.stdout.buffer.write(f"as bytes: {value}\n".encode())
    if record == 1:
        raise ValueError(f"401 for {value}")
    if record == 2:
        raise RecordError(f"--token={value}&retry=1", where=f"row {base64.b64encode(('user:' + value).encode()).decode()}", hint=value)
    if record == 3 and not Path(params.killed).exists():
        Path(params.killed).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if record == 5:
        sys.stderr.write(f"half a line with {value}")
    try:
        raise KeyError(value)
    except KeyError:
        logging.exception("as a traceback")
    return f"record {record} of {len(value)} characters: {value}"


@thalweg.component("fail-with-secret", version="1.0.0")
def fail_with_secret(record: int, token: thalweg.Secret) -> int:
    """Ends the run with its secret in the reason."""
    raise RuntimeError(f"cannot log in with {token.reveal()}")


@thalweg.component("environment", version="1.0.0")
def environment(record: int) -> str:
    """Names of the variables that a vertex is given."""
    return " ".join(sorted(name for name in os.environ if name.startswith("THALWEG_")))


@thalweg.component("prices", version="1.0.0")
def prices(table: Priced) -> Iterator[str]:
    """Needs a table with certain columns."""
    yield table.path.name
