"""How long to wait before the next try."""


def start_pause(attempt: int) -> float:
    """Seconds to wait after the `attempt`-th failed start (from 0): 1, 2, 4 and so on, up to a minute."""
    return float(min(2 ** min(attempt, 6), 60))


def asleep_pause(attempt: int) -> float:
    """Seconds to wait after the `attempt`-th try (from 0) in an archived thread, up to an hour."""
    return float(min(2 ** min(attempt, 12), 3600))


def retry_pause(attempt: int) -> float:
    """Seconds to wait after the `attempt`-th try (from 0) to show an ending: 1, 2, 4, then 8 each."""
    return float(2 ** min(attempt, 3))


def limit_pause(refusals: int) -> float:
    """Seconds to wait after this many 429s in a row that named no wait: 5, 10, 20, up to 5 minutes."""
    return float(min(5 * 2 ** min(refusals - 1, 6), 300))
