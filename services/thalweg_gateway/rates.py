"""How many records each token may send: so many a second on average, so many at once."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from thalweg_gateway.refusals import RequestError

MAX_CALLERS = 10_000


class Rates:
    """Allowances by caller and endpoint; each gateway counts for itself.

    Args:
        now_s: a clock.
    """

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()  # how many, and when that was

    def spend(self, who: str, count: int, rate_per_s: float, burst: int) -> None:
        """Takes records off a caller's allowance.

        Raises:
            RequestError: `rate.exceeded`; nothing is taken off then.
        """
        now = self._now_s()
        left, at = self._left.pop(who, (float(burst), now))
        left = min(float(burst), left + (now - at) * rate_per_s)
        is_enough = left >= count
        self._left[who] = (left - count if is_enough else left, now)
        if len(self._left) > MAX_CALLERS:
            self._left.popitem(last=False)
        if count > burst:
            raise RequestError(f"{count:,} records at once; {burst:,} are allowed", code="rate.exceeded", hint="send fewer at once")
        if not is_enough:
            wait_s = max(1, -(-int((count - left) * 1000 / rate_per_s) // 1000))
            raise RequestError(f"{rate_per_s:g} records a second are allowed for this token", code="rate.exceeded", retry_after_s=wait_s)
