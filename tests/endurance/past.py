"""A history to begin with: `KEPT_RELOADS` says how many reloads are kept when the bot first starts."""

import os
import time

from tests.benchmarks import history, places
from tests.wire import Wire

KEPT = int(os.environ.get("KEPT_RELOADS", "0"))
_OTHERS = 100
"""Servers that share half of it; the other half belongs to the server that is watched."""


def begin_with_a_history(wire: Wire) -> None:
    """Make the store that the first process opens."""
    if KEPT:
        others = {places.server(number): KEPT // 2 // _OTHERS for number in range(_OTHERS)}
        history.fill_file(wire.folder / "data", {wire.guild.id: KEPT // 2, **others}, time.time())
