"""The numbers that were agreed on (docs/architecture.md): none changes but on purpose, with a word."""

import pytest

import cogs.guilds
from bot import (
    answer,
    body,
    cadence,
    delivery,
    keys,
    model_api,
    pace,
    reload,
    reply,
    retention,
    routes,
    runner,
    trace,
)
from bot.__main__ import STOP_SECONDS
from bot.store import embedded

NUMBERS = {
    "store before the first answer": (runner.FIRST_ANSWER_SECONDS, 1),
    "a step waits for the disk": (embedded.STEP_SECONDS, 1),
    "POST in all": (model_api.TOTAL_SECONDS, 20),
    "POST, to connect": (model_api.CONNECT_SECONDS, 5),
    "POST, again after no connection": (model_api.RETRY_SECONDS, 2),
    "body": (body.BODY_BYTES, 65536),
    "same model again": (reload.SPAM_FILTER_SECONDS, 30),
    "longest named wait": (answer.LONGEST_NAMED_WAIT, 60),
    "named waits": (reload.NAMED_WAITS, 2),
    "edits": (cadence.EDIT_EVERY, 5),
    "never less often near the end": (cadence.NEAR_SECONDS, 15),
    "quiet before the ending": (cadence.QUIET_SECONDS, 2),
    "an edit": (cadence.EDIT_LIMIT, 5),
    "how old a shown number may be": (trace.STALE_SECONDS, 0.5),
    "calls a second": (pace.PER_SECOND, 40),
    "calls a channel": (pace.PER_CHANNEL, 5),
    "people a ping": (reload.PEOPLE_PER_PING, 50),
    "follow-up instead of a turn": (routes.FOLLOW_UP_INSTEAD_SECONDS, 2),
    "close tries": (reply.PATIENCE_SECONDS, 600),
    "still looking": (reload.STILL_LOOKING_SECONDS, 15),
    "late": (reload.LATE_SECONDS, 10),
    "key": (keys.LONGEST_KEY, 256),
    "open a server": (reload.OPEN_PER_SERVER, 20),
    "open a member": (reload.OPEN_PER_MEMBER, 5),
    "resume": (runner.RESUME_SPREAD_SECONDS, 4),
    "stop": (STOP_SECONDS, 10),
    "first answer": (delivery.ACKNOWLEDGE_SECONDS, 2.5),
    "tokens of ended reloads": (retention.FADE_SECONDS, 86400),
    "deleted at once": (embedded.EXPIRE_AT_ONCE, 500),
    "missed removals": (cogs.guilds.CHECK_HOURS, 6),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_number(name: str) -> None:
    is_, agreed = NUMBERS[name]
    assert is_ == agreed
