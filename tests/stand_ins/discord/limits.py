"""Rate limits: 50 calls a second in all, and those of each token and each channel.

Source: docs.discord.com/developers/topics/rate-limits; 5 in 2 s by token and 5 in 5 s by channel were seen.
"""

import math
import time

from tests.stand_ins.discord.answers import retry_headers, slow_down
from tests.stand_ins.discord.rules import Json


class _Bucket:
    """A number of calls in a window of seconds, which begins with its first call."""

    def __init__(self, limit: int, seconds: float) -> None:
        self.limit = limit
        self.seconds = seconds
        self.began = -math.inf
        self.used = 0

    def take(self, now: float) -> tuple[bool, float]:
        """Return whether there is room, and the seconds until the next window."""
        if now >= self.began + self.seconds:
            self.began, self.used = now, 0
        self.used += 1
        return self.used <= self.limit, self.began + self.seconds - now


class Limits:
    """All limits of one application."""

    def __init__(self) -> None:
        self._buckets: dict[str, _Bucket] = {}

    def take(
        self, kind: str, params: dict[str, str], channel_limit: int, now: float
    ) -> tuple[dict[str, str], Json | None]:
        """Take a place for a call by "bot" or "token"; return the headers, and an answer if none is left."""
        if kind == "bot":
            room, wait = self._buckets.setdefault("global", _Bucket(50, 1.0)).take(now)
            if not room:
                headers = {"X-RateLimit-Global": "true", **retry_headers(wait, "global")}
                return headers, slow_down(wait, everywhere=True)
        if kind == "token":
            return self._take("token", params["token"], (5, 2.0), now)
        if "channel" in params:
            return self._take("channel", params["channel"], (channel_limit, 5.0), now)
        return {}, None

    def _take(
        self, name: str, key: str, size: tuple[int, float], now: float
    ) -> tuple[dict[str, str], Json | None]:
        bucket = self._buckets.setdefault(f"{name}:{key}", _Bucket(*size))
        room, wait = bucket.take(now)
        headers = {
            "X-RateLimit-Limit": str(bucket.limit),
            "X-RateLimit-Remaining": str(max(0, bucket.limit - bucket.used)),
            "X-RateLimit-Reset": f"{time.time() + wait:.3f}",
            "X-RateLimit-Reset-After": f"{wait:.3f}",
            "X-RateLimit-Bucket": f"bucket-of-a-{name}",
        }
        return (headers, None) if room else (headers | retry_headers(wait, "user"), slow_down(wait))
