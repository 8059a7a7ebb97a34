"""Decides when a vertex that is to end is asked, and when it is ended without being asked."""

from __future__ import annotations

import signal

PATIENCE_S = 10.0


class Asked:
    """Which vertices were asked to end, and when; made anew by a coordinator that takes over, which asks again."""

    def __init__(self) -> None:
        self._since: dict[tuple[str, int], tuple[float, bool]] = {}

    def decide(self, vertex: str, pid: int, now: float) -> int | None:
        """The signal to send now: SIGTERM at first, SIGKILL after `PATIENCE_S` (a source may be in a call that does not return)."""
        since, is_killed = self._since.get((vertex, pid), (None, False))
        if since is None:
            self._since[vertex, pid] = now, False
            return signal.SIGTERM
        if not is_killed and now - since > PATIENCE_S:
            self._since[vertex, pid] = since, True
            return signal.SIGKILL
        return None

    def clear(self) -> None:
        """Forgets everything."""
        self._since.clear()
