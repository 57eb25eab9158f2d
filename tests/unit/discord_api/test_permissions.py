"""Who may use a command: by the settings of the command, of the bot, and of the channel."""

import pytest

from bot.discord_api.permissions import may_use

SERVER, ANA, MODS, FANS, HERE, THREADS_CHANNEL = 100, 1, 21, 22, 70, 71
EVERYWHERE = SERVER - 1
ROLE, USER, CHANNEL = 1, 2, 3


Rule = tuple[tuple[int, int], bool]


def rule(kind: int, id_: int, permission: bool) -> Rule:
    return (kind, id_), permission


def allowed(command: list[Rule], bot: list[Rule], roles: tuple[int, ...] = (MODS, FANS)) -> bool:
    return may_use([dict(command), dict(bot)], SERVER, ANA, (SERVER, *roles), (HERE,))


NOBODY = rule(ROLE, SERVER, False)
NOWHERE = rule(CHANNEL, EVERYWHERE, False)


@pytest.mark.parametrize(
    ("command", "bot", "may"),
    [
        ([], [], True),
        ([NOBODY], [], False),
        ([rule(USER, 2, False)], [], True),
        ([rule(USER, ANA, False)], [], False),
        ([NOBODY, rule(USER, ANA, True)], [], True),
        ([NOBODY, rule(ROLE, MODS, True)], [], True),
        ([NOBODY, rule(ROLE, 23, True)], [], False),
        ([rule(ROLE, MODS, False)], [], False),
        ([rule(ROLE, MODS, False), rule(ROLE, FANS, True)], [], True),
        ([rule(ROLE, MODS, True), rule(USER, ANA, False)], [], False),
        ([], [NOBODY], False),
        ([rule(ROLE, SERVER, True)], [NOBODY], True),
        ([rule(ROLE, MODS, True)], [NOBODY], True),
        ([NOBODY], [rule(USER, ANA, True)], False),
        ([rule(CHANNEL, HERE, False)], [], False),
        ([rule(CHANNEL, 72, False)], [], True),
        ([NOWHERE], [], False),
        ([NOWHERE, rule(CHANNEL, HERE, True)], [], True),
        ([], [NOWHERE], False),
        ([rule(CHANNEL, HERE, True)], [NOWHERE], True),
        ([NOWHERE], [rule(CHANNEL, HERE, True)], False),
        ([rule(CHANNEL, HERE, True), NOBODY], [], False),
        ([rule(USER, ANA, True), NOWHERE], [], False),
    ],
)
def test_the_more_special_rule_counts(command: list[Rule], bot: list[Rule], may: bool) -> None:
    assert allowed(command, bot) is may


def test_in_a_thread_its_channels_rule_counts() -> None:
    forbidden = [rule(CHANNEL, THREADS_CHANNEL, False)]
    assert not may_use([dict(forbidden), {}], SERVER, ANA, (), (HERE, THREADS_CHANNEL))
    assert may_use([dict(forbidden), {}], SERVER, ANA, (), (HERE,))
