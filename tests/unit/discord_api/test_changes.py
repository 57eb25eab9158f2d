"""The gateway's events after which the bot may have gained a permission."""

from typing import Any

import discord
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.discord_api.gateway import Change, change_of

ME = discord.Object(77)
HERE = {"guild_id": "5"}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["guild_id", "user", "id"]), inner)
    ),
    max_leaves=5,
)


@pytest.mark.parametrize(
    ("event", "data", "server"),
    [
        ("CHANNEL_UPDATE", HERE, 5),
        ("THREAD_UPDATE", HERE, 5),
        ("THREAD_LIST_SYNC", HERE, 5),
        ("GUILD_ROLE_UPDATE", HERE, 5),
        ("GUILD_MEMBER_UPDATE", HERE | {"user": {"id": "77"}}, 5),
        ("GUILD_MEMBER_UPDATE", HERE | {"user": {"id": "78"}}, None),
        ("GUILD_MEMBER_UPDATE", HERE, None),
        ("CHANNEL_PINS_UPDATE", HERE, None),
        ("CHANNEL_UPDATE", {"guild_id": str(2**63)}, None),
        ("CHANNEL_UPDATE", {"guild_id": "\u0663"}, None),
        ("CHANNEL_UPDATE", {"guild_id": 5}, None),
    ],
)
def test_event(event: str, data: Any, server: int | None) -> None:
    change = change_of(event, data, ME)
    assert (change.server if change is not None else None) == server


def test_of_a_thread_nothing_else_changes() -> None:
    assert change_of("THREAD_UPDATE", HERE | {"id": "9"}, ME) == Change(5, 9)
    assert change_of("CHANNEL_UPDATE", HERE | {"id": "9"}, ME) == Change(5)


@given(data=JSON, event=st.sampled_from(["CHANNEL_UPDATE", "GUILD_MEMBER_UPDATE"]))
def test_whatever_an_event_holds_it_is_read_or_left(data: Any, event: str) -> None:
    change_of(event, data, ME)
    change_of(event, data, None)
