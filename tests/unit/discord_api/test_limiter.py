"""Turns for calls with the bot's own token: never too many, and fair between servers."""

from collections import Counter, defaultdict
from collections.abc import Sized

from hypothesis import given
from hypothesis import strategies as st

from bot.discord_api.limiter import CHANNEL_WINDOW, FREE_PER_SERVER, PER_CHANNEL, PER_SECOND, Limiter

# Times are eighths of a second, which floats hold exactly.
takes = st.lists(
    st.tuples(st.integers(0, 12).map(lambda n: n / 8), st.integers(0, 8), st.integers(0, 3)), max_size=400
)


def play(limiter: Limiter, asked: list[tuple[float, int, int]]) -> list[tuple[float, int, int]]:
    """Return the turns; each asker waits some eighths longer than the one before."""
    now, turns = 1000.0, []
    for pause, server, place in asked:
        now += pause
        channel = server * 10 + place
        turns.append((now + limiter.take(server, channel, now), server, channel))
    return turns


@given(asked=takes, start=st.booleans())
def test_no_order_of_asking_breaks_a_limit(asked: list[tuple[float, int, int]], start: bool) -> None:
    turns = play(Limiter(), [(0.0, s, c) for _, s, c in asked] if start else asked)
    assert max(Counter(int(turn) for turn, _, _ in turns).values(), default=0) <= PER_SECOND
    per_server = Counter((int(turn), server) for turn, server, _ in turns)
    assert max(per_server.values(), default=0) <= PER_SECOND / 2 + FREE_PER_SERVER
    of_channel = defaultdict(list)
    for turn, _, channel in turns:
        of_channel[channel].append(turn)
    for mine in of_channel.values():
        assert mine == sorted(mine), "first come, first served"
        assert all(
            later - earlier >= CHANNEL_WINDOW
            for earlier, later in zip(mine, mine[PER_CHANNEL:], strict=False)
        )


@given(asked=takes)
def test_nobody_is_sent_into_the_past_and_looking_takes_nothing(asked: list[tuple[float, int, int]]) -> None:
    limiter, now = Limiter(), 1000.0
    for pause, server, channel in asked:
        now += pause
        seen = limiter.wait(server, channel, now)
        assert seen == limiter.wait(server, channel, now)
        assert limiter.take(server, channel, now) == seen >= 0


def test_who_is_alone_does_not_wait() -> None:
    assert Limiter().take(1, 10, 1000.25) == 0


def test_in_all_there_are_40_in_a_second() -> None:
    limiter = Limiter()
    turns = [1000.0 + limiter.take(server, server, 1000.0) for server in range(100)]
    assert Counter(map(int, turns)) == {1000: 40, 1001: 40, 1002: 20}
    for begin in turns:
        assert sum(begin <= turn < begin + 1 for turn in turns) <= 44, "wherever a second begins"


def test_who_was_held_up_does_not_send_all_at_once() -> None:
    """The process stood still for a second, and then two seconds' turns are due."""
    limiter, now, sent = Limiter(), 1000.0, []
    for _ in range(2 * PER_SECOND):
        while (wait := limiter.go_or_wait(now)) > 0:
            now += wait
        sent.append(now)
    for begin in sent:
        assert sum(begin <= at < begin + 1 for at in sent) <= PER_SECOND


def test_a_server_that_is_alone_has_half() -> None:
    """As many as it can have open, in a second."""
    limiter = Limiter()
    turns = [1000.0 + limiter.take(1, channel, 1000.0) for channel in range(40)]
    assert 20 <= Counter(map(int, turns))[1000] <= 25


def test_forty_in_a_second_go_within_two_wherever_they_are() -> None:
    for servers in (2, 8, 40):
        limiter = Limiter()
        assert max(limiter.take(number % servers, number, 1000.0) for number in range(40)) < 2


def test_a_channel_has_5_in_5_seconds() -> None:
    limiter = Limiter()
    turns = [1000.0 + limiter.take(1, 10, 1000.0) for _ in range(12)]
    assert Counter(map(int, turns)) == {1000: 5, 1005: 5, 1010: 2}


def test_discord_knows_better_how_much_a_channel_may() -> None:
    limiter = Limiter()
    limiter.learn(10, limit=2, remaining=1, reset_after=5.0, now=1000.0)
    turns = [1000.0 + limiter.take(1, 10, 1000.0) for _ in range(5)]
    assert Counter(map(int, turns)) == {1000: 2, 1005: 2, 1010: 1}


def test_a_channel_that_is_used_up_waits_for_its_reset() -> None:
    limiter = Limiter()
    limiter.learn(10, limit=5, remaining=0, reset_after=3.5, now=1000.0)
    assert limiter.take(1, 10, 1000.0) == 3.5
    assert limiter.take(1, 11, 1000.0) == 0
    assert limiter.take(1, 10, 1004.0) == 0


def test_a_channel_that_is_told_to_wait_waits() -> None:
    limiter = Limiter()
    limiter.block(10, 1009.0)
    limiter.block(10, 1005.0)
    assert limiter.take(1, 10, 1000.0) == 9
    assert limiter.take(2, 11, 1000.0) == 0


def test_all_channels_wait_where_the_bot_is_told_to() -> None:
    limiter = Limiter()
    limiter.own.shut(1000.0, 9.0)
    limiter.own.shut(1000.0, 5.0)
    assert limiter.take(1, 10, 1000.0) == limiter.take(2, 11, 1000.0) == 9


def test_one_servers_crowd_does_not_delay_another() -> None:
    limiter = Limiter()
    crowd = [limiter.take(1, channel, 1000.0) for channel in range(500)]
    assert max(crowd) > 20
    assert limiter.take(2, 9000, 1000.0) <= 0.3
    assert limiter.take(2, 9000, 1000.5) == 0


def test_four_servers_crowds_do_not_delay_another_for_long() -> None:
    limiter = Limiter()
    for server in range(4):
        for channel in range(200):
            limiter.take(server, 1000 * server + channel, 1000.0)
    waits = [limiter.take(9, 9000 + channel, 1000.0) for channel in range(10)]
    assert waits[0] < 1
    assert waits[4] < 2
    assert waits[9] < 4


def test_a_crowded_channel_does_not_delay_its_neighbours() -> None:
    limiter = Limiter()
    for _ in range(50):
        limiter.take(1, 10, 1000.0)
    assert limiter.take(1, 11, 1000.0) <= 1


def test_memory_stays_flat() -> None:
    limiter = Limiter()
    for number in range(20_000):
        limiter.take(number % 700, number, 1000.0 + number)
    held = sum(len(value) for value in vars(limiter).values() if isinstance(value, Sized))
    assert held < 5000


def test_forgetting_breaks_no_limit() -> None:
    """Three crowds of a thousand, each while the turns of the one before still go on for a second."""
    limiter, turns = Limiter(), []
    for crowd in range(3):
        now = 1000.0 + crowd * 25
        turns += [now + limiter.take(server % 150, crowd * 1050 + server, now) for server in range(1050)]
        assert limiter.take(1, crowd * 1050 + 1, now) > 0
    assert max(Counter(map(int, turns)).values()) == PER_SECOND
