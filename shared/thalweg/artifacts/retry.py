"""Retries while the store cannot be reached, with growing pauses, for as long as there is progress."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from typing import TypeVar

from thalweg.errors import RejectedError, ThalwegError, UnreachableError

_log = logging.getLogger(__name__)
_FIRST_PAUSE_S, _MAX_PAUSE_S = 0.2, 5.0
T = TypeVar("T")


class Patience:
    """How long to go on trying without getting further.

    Args:
        limit_s: from the last progress to the last try; 0 tries once.
    """

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._deadline_s, self._pause_s, self._is_told = 0.0, _FIRST_PAUSE_S, False
        self.renew()

    def renew(self) -> None:
        """There was progress: wait from now on, and with short pauses again."""
        self._deadline_s, self._pause_s, self._is_told = time.monotonic() + self._limit_s, _FIRST_PAUSE_S, False

    def run(self, attempt: Callable[[], T]) -> T:
        """What an attempt gives, made again while the store cannot be reached or has lost an upload; blocking.

        Raises:
            ThalwegError: of the last attempt.
        """
        while True:
            try:
                return attempt()
            except (UnreachableError, RejectedError) as error:
                pause_s = self._pause_s * random.uniform(0.5, 1.0)  # many vertices wait for one store
                if not _is_passing(error) or time.monotonic() + pause_s > self._deadline_s:
                    raise
                self._tell(error)
            time.sleep(pause_s)
            self._pause_s = min(self._pause_s * 2, _MAX_PAUSE_S)

    def _tell(self, error: ThalwegError) -> None:
        if not self._is_told:  # once for each outage: a line for each try would bury everything else
            _log.warning("%s; trying again for up to %.0f s", error, self._limit_s)
        self._is_told = True


def _is_passing(error: ThalwegError) -> bool:
    return isinstance(error, UnreachableError) or error.code == "store.upload_gone"
