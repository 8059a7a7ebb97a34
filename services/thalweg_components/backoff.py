"""Tries again what an outside server has not taken, with pauses that grow."""

from __future__ import annotations

import logging
import random

FIRST_PAUSE_S, MAX_PAUSE_S = 0.2, 30.0


class Backoff:
    """Pauses between tries at one outside server: each up to twice as long as the last, and half of it by chance.

    The chance is that of the process, as pauses are no part of what a component gives; many vertices may wait for one server.

    Args:
        logger: is told once for each outage, when it begins and when it is over.
        target: who is tried, without credentials.
    """

    def __init__(self, logger: logging.Logger, target: str) -> None:
        self._logger, self._target = logger, target
        self._pause_s, self.failures = FIRST_PAUSE_S, 0

    def failed(self, error: BaseException) -> float:
        """Notes a failed try; how long to wait before the next one, in seconds."""
        if not self.failures:
            self._logger.warning("%s: %s: %s; trying again", self._target, type(error).__name__, error)
        self.failures += 1
        pause_s, self._pause_s = self._pause_s * random.uniform(0.5, 1.0), min(self._pause_s * 2, MAX_PAUSE_S)
        return pause_s

    def worked(self) -> None:
        """Notes that a try has worked: the next outage begins with short pauses."""
        if self.failures:
            self._logger.info("%s: back after %d failed tries", self._target, self.failures)
        self._pause_s, self.failures = FIRST_PAUSE_S, 0
