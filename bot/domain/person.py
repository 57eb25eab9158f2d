"""Pure: a person's name as it is stored; and rows without a person: neither ID nor interactions' tokens."""

from dataclasses import replace
from typing import Any

from bot.domain import rows
from bot.domain.reload import Asker, Reload
from bot.domain.rows import Event, KeyRow, PaidCall, Watch

NOBODY = 0


def storable(name: str) -> str:
    """Return a display name without NULs: PostgreSQL reads no field of a JSON row that contains one."""
    return name.replace("\0", "")


def without(row: Any, person: int) -> Any:
    """Return the row itself if it doesn't name the person; None if nothing in it belongs to anybody else."""
    match row:
        case Reload() if _names(row, person):
            return _reload_without(row, person)
        case KeyRow(by=by) | Event(by=by) if by == person:
            return replace(row, by=NOBODY, by_name="")
        case Watch() if person in row.users:
            return rows.without(row, {person})
        case PaidCall(by=by) if by == person:
            return None
    return row


def _names(reload: Reload, person: int) -> bool:
    people = {asker.user for asker in reload.askers} | {*reload.muted}
    people |= {user for ping in reload.pings for user in ping.users}
    return person in people or (reload.test is not None and reload.test.by.user == person)


def _reload_without(reload: Reload, person: int) -> Reload | None:
    """Keep the reply where its owner asked, without a token: the next asker's is for another reply."""
    askers = tuple(asker for asker in reload.askers if asker.user != person)
    if not askers:
        return None
    if reload.owner.user == person:
        heir = Asker(askers[0].user, reload.owner.channel, "")
        askers = (heir, *(a for a in askers if (a.user, a.channel) != (heir.user, heir.channel)))
    test = reload.test
    if test is not None and test.by.user == person:
        test = replace(test, by=Asker(NOBODY, 0, ""))
    return replace(
        reload,
        askers=askers,
        muted=tuple(user for user in reload.muted if user != person),
        pings=tuple(
            replace(ping, users=tuple(user for user in ping.users if user != person)) for ping in reload.pings
        ),
        test=test,
    )
