"""The numbers that were agreed on (docs/architecture.md): none changes but on purpose, with a word."""

import pytest

from bot import keys
from bot.discord_api import calls, http_trace, limiter, pings, reply, responses
from bot.domain import askers, member_calls, reload
from bot.jobs import retention, servers
from bot.model_api import answer, body, client
from bot.process import STOP_TIMEOUT
from bot.reloads import countdown, retries, runner, untold
from bot.store import embedded, turns

NUMBERS = {
    "store before the first answer": (runner.ASK_TIMEOUT, 1),
    "a step waits for the disk": (turns.STEP_TIMEOUT, 1),
    "POST in all": (client.RELOAD_TIMEOUT, 20),
    "POST, to connect": (client.CONNECT_TIMEOUT, 5),
    "POST, again after no connection": (client.RECONNECT_DELAY, 2),
    "balance": (keys.BALANCE_TIMEOUT, 5),
    "body": (body.BODY_BYTES, 65536),
    "same model again": (reload.SPAM_FILTER_AGE, 30),
    "longest named wait": (answer.LONGEST_NAMED_WAIT, 60),
    "named waits": (reload.NAMED_WAITS, 2),
    "edits": (countdown.EDIT_INTERVAL, 5),
    "never less often near the end": (countdown.NEAR_SECONDS, 15),
    "quiet before the ending": (countdown.QUIET_SECONDS, 2),
    "an edit": (calls.EDIT_TIMEOUT, 5),
    "how old a shown number may be": (http_trace.STALE_AGE, 0.5),
    "calls a second": (limiter.PER_SECOND, 40),
    "calls a channel": (limiter.PER_CHANNEL, 5),
    "people a ping": (askers.PEOPLE_PER_PING, 50),
    "follow-up instead of a turn": (pings.FOLLOW_UP_INSTEAD_DELAY, 2),
    "close tries": (reply.RETRY_PATIENCE, 600),
    "tries of what was refused": (retries.RETRY_INTERVAL, 600),
    "later": (retries.LATER_INTERVAL, 3600),
    "that is, after": (retries.YOUNG_AGE, 3600),
    "tries after a change": (untold.CHANGE_INTERVAL, 30),
    "refused calls of a reload": (reload.MOST_REFUSED, 60),
    "still looking": (askers.STILL_LOOKING_AGE, 15),
    "late": (reload.LATE_AGE, 10),
    "key": (keys.LONGEST_KEY, 256),
    "open a server": (askers.OPEN_PER_SERVER, 20),
    "open a member": (askers.OPEN_PER_MEMBER, 5),
    "requests a member": (member_calls.CALLS_PER_MEMBER, 10),
    "requests a member, within": (member_calls.CALLS_PERIOD, 60),
    "resume": (runner.RESUME_SPREAD, 4),
    "stop": (STOP_TIMEOUT, 10),
    "first answer": (responses.RESPONSE_TIMEOUT, 2.5),
    "tokens of ended reloads": (reload.FADE_AGE, 86400),
    "deleted at once": (embedded.EXPIRE_BATCH, 500),
    "reloads of a server": (retention.RELOADS_PER_SERVER, 20_000),
    "missed removals": (servers.CHECK_INTERVAL, 6 * 3600),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_number(name: str) -> None:
    is_, agreed = NUMBERS[name]
    assert is_ == agreed
