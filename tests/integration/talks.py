"""Components that log and print: by the record, in a flood, with a secret, and as the last thing they do."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

import thalweg
from thalweg import At, Context


class Pace(BaseModel):
    """How long a number takes."""

    pause_s: float = 0.005


@thalweg.component("paced", version="1.0.0")
def paced(params: Pace, cursor: int | None) -> Iterator[At[int]]:
    """Counts from 0, for ever."""
    for n in range(cursor or 0, 1 << 60):
        time.sleep(params.pause_s)
        yield At(n, n + 1)


class Says(BaseModel):
    """What is put before each line; where the vertex notes that it was killed once."""

    word: str = "said"
    killed: str = ""


@thalweg.component("talk", version="1.0.0")
def talk(n: int, params: Says, context: Context, token: thalweg.Secret | None = None) -> int:
    """Logs or prints something for each number."""
    if n == 0 and token is not None:
        print(f"my token is {token.reveal()}")
        context.logger.warning("token %s", token.reveal(), extra={"token": token.reveal()})
    if n == 3:
        for line in range(3000):
            print("flood", line)
    if n == 5:
        try:
            raise KeyError(token.reveal() if token is not None else n)
        except KeyError:
            logging.getLogger("author").exception("caught")
    if n == 200 and params.killed and not Path(params.killed).exists():
        Path(params.killed).touch()
        os.write(2, b"as a C library says it\n")
        os.kill(os.getpid(), signal.SIGKILL)
    if n % 10 == 0:
        print(f"{params.word} {n}")
    return n


@thalweg.component("break", version="1.0.0")
def break_down(n: int) -> None:
    """Fails at the fifth number."""
    if n == 5:
        raise LookupError(f"nothing at {n}")


@thalweg.component("listen", version="1.0.0")
def listen(n: int) -> None:
    """Takes numbers and says nothing."""
    if n == 30:
        logging.getLogger("quiet").info("thirty")
