"""The people who asked for a reload: whom to ping where, who joins, who is muted, how many may run."""

import hashlib
from dataclasses import replace

from bot.domain.errors import TooManyOpen
from bot.domain.reload import Asker, Ending, Ping, Reload

STILL_LOOKING_AGE = 15.0
"""Seconds for which somebody who asked still looks at the reply: a failure or a test image needs no ping
then."""
PEOPLE_PER_PING = 50
NONCE_CHARACTERS = 24
"""The length of a nonce. Discord takes 25 characters; one more marks the ping of those who joined late."""
OPEN_PER_SERVER = 20
OPEN_PER_MEMBER = 5


def pings(reload: Reload) -> tuple[Ping, ...]:
    """Return whom to ping where, for a reload in ANNOUNCING."""
    took = (reload.ended_at or 0.0) - reload.asked_at
    still_looking = 0 <= took <= STILL_LOOKING_AGE  # below 0: the clock was set back
    is_ready, tester = reload.ending is Ending.READY, reload.tested_ahead_by
    people = reload.askers if is_ready or not still_looking else reload.askers[1:]
    silent = set(reload.muted)
    if tester is not None and is_ready:  # they hear about their test image instead
        silent.add(tester.user)
    elif tester is not None:
        people, silent = (*people, tester), silent - {tester.user}
    by_channel: dict[int, dict[int, None]] = {}
    for asker in people:
        if asker.user in silent:
            continue
        by_channel.setdefault(asker.channel, {})[asker.user] = None
    return tuple(
        Ping(channel, tuple(users)[start : start + PEOPLE_PER_PING])
        for channel, users in by_channel.items()
        for start in range(0, len(users), PEOPLE_PER_PING)
    )


def ping_nonce(reload: Reload, number: int) -> str:
    """Return what Discord knows a ping by, so that it goes out once; each ending has its own."""
    return f"{reload.id}-{number}{(reload.ending or '')[:1]}"


def image_nonce(reload: Reload) -> str:
    """Return the nonce for the ping of a test image: each image has its own, and so has each outcome."""
    test = reload.test
    about = f"{reload.id}:{test.at}:{test.outcome}" if test is not None else str(reload.id)
    return nonce_of(about)


def nonce_of(about: str) -> str:
    """Return the nonce for a message about something: another one for anything else."""
    return hashlib.sha256(about.encode()).hexdigest()[:NONCE_CHARACTERS]


def join(reload: Reload, asker: Asker) -> Reload:
    """Add an asker who wants to be pinged; the same person in the same channel is added once."""
    reload = replace(reload, muted=tuple(user for user in reload.muted if user != asker.user))
    if any((known.user, known.channel) == (asker.user, asker.channel) for known in reload.askers):
        return reload
    return replace(reload, askers=(*reload.askers, asker))


def mute(reload: Reload, user: int) -> Reload:
    """Stop pinging somebody, wherever they asked."""
    return reload if user in reload.muted else replace(reload, muted=(*reload.muted, user))


def check_limits(new: Reload, running: list[Reload]) -> None:
    """Raise TooManyOpen if the server's `running` reloads leave no room for `new`."""
    mine = [reload for reload in running if reload.owner.user == new.owner.user]
    if len(running) >= OPEN_PER_SERVER:
        raise TooManyOpen("server", OPEN_PER_SERVER, _first_free(running, new.asked_at))
    if len(mine) >= OPEN_PER_MEMBER:
        raise TooManyOpen("member", OPEN_PER_MEMBER, _first_free(mine, new.asked_at))


def _first_free(running: list[Reload], now: float) -> float | None:
    left = [left for reload in running if (left := reload.left(now)) is not None]
    return now + min(left) if left else None
