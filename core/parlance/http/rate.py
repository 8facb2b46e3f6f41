"""How many requests one caller may make: a token bucket per API key or address, in this process."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Allowance", "RateLimiter"]

_MOST_CALLERS = 65_536


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left to a caller after a request."""

    allowed: bool
    limit: int
    remaining: int
    reset_s: float
    """Seconds until the bucket is full again, or, when refused, until the next request is allowed."""

    def headers(self) -> list[tuple[bytes, bytes]]:
        """``RateLimit-*`` headers, as IETF draft-ietf-httpapi-ratelimit-headers-07 names them."""
        return [
            (b"ratelimit-limit", str(self.limit).encode()),
            (b"ratelimit-remaining", str(self.remaining).encode()),
            (b"ratelimit-reset", str(math.ceil(self.reset_s)).encode()),
        ]


class RateLimiter:
    """A token bucket for each caller: full at ``per_minute`` requests, refilled evenly."""

    def __init__(self, per_minute: int, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._limit = per_minute
        self._per_second = per_minute / 60
        self._monotonic = monotonic
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, caller: str) -> Allowance:
        """Take one request from ``caller``'s bucket."""
        now = self._monotonic()
        tokens, since = self._buckets.get(caller, (float(self._limit), now))
        tokens = min(float(self._limit), tokens + (now - since) * self._per_second)
        allowed = tokens >= 1
        if allowed:
            tokens -= 1
        self._buckets[caller] = (tokens, now)
        self._buckets.move_to_end(caller)
        while len(self._buckets) > _MOST_CALLERS:
            self._buckets.popitem(last=False)
        missing = (self._limit - tokens) if allowed else (1 - tokens)
        return Allowance(allowed, self._limit, int(tokens), missing / self._per_second)
