"""The agreed numbers: none changes by accident; `make tables` lists them."""

import pkgutil

import pytest

NUMBERS = {
    "store before the first answer": ("bot.reloads.runner.ASK_TIMEOUT", 1, "s"),
    "a step waits for the disk": ("bot.store.turns.STEP_TIMEOUT", 1, "s"),
    "the POST in all": ("bot.model_api.client.RELOAD_TIMEOUT", 20, "s"),
    "the POST, to connect": ("bot.model_api.client.CONNECT_TIMEOUT", 5, "s"),
    "the POST, again after no connection": ("bot.model_api.client.RECONNECT_DELAY", 2, "s"),
    "the balance, for /key set": ("bot.keys.BALANCE_TIMEOUT", 5, "s"),
    "an answer's body": ("bot.model_api.body.BODY_BYTES", 65536, "bytes"),
    "the same model again": ("bot.domain.reload.SPAM_FILTER_AGE", 30, "s"),
    "longest wait that a 429 may name": ("bot.model_api.answer.LONGEST_NAMED_WAIT", 60, "s"),
    "such waits in a reload": ("bot.domain.reload.NAMED_WAITS", 2, ""),
    "between two edits": ("bot.reloads.countdown.EDIT_INTERVAL", 5, "s"),
    "edits are never rarer, before the end": ("bot.reloads.countdown.NEAR_SECONDS", 15, "s"),
    "no edit, before the ending": ("bot.reloads.countdown.QUIET_SECONDS", 2, "s"),
    "an edit in all": ("bot.discord_api.calls.EDIT_TIMEOUT", 5, "s"),
    "how old a shown number may be": ("bot.discord_api.http_trace.STALE_AGE", 0.5, "s"),
    "calls with the bot's token, a second": ("bot.discord_api.limiter.PER_SECOND", 40, ""),
    "calls a channel, in 5 s": ("bot.discord_api.limiter.PER_CHANNEL", 5, ""),
    "people a ping": ("bot.domain.askers.PEOPLE_PER_PING", 50, ""),
    "a follow-up goes where the turn is further away": (
        "bot.discord_api.pings.FOLLOW_UP_INSTEAD_DELAY",
        2,
        "s",
    ),
    "tries of an ending are close together, for": ("bot.discord_api.reply.RETRY_PATIENCE", 600, "s"),
    "between two tries of a refused ending": ("bot.reloads.retries.RETRY_INTERVAL", 600, "s"),
    "the same, later": ("bot.reloads.retries.LATER_INTERVAL", 3600, "s"),
    "later means after": ("bot.reloads.retries.YOUNG_AGE", 3600, "s"),
    "between two tries after a change in the server": ("bot.reloads.untold.CHANGE_INTERVAL", 30, "s"),
    "refused calls of a reload": ("bot.domain.reload.MOST_REFUSED", 60, ""),
    "askers still look at the reply, for": ("bot.domain.askers.STILL_LOOKING_AGE", 15, "s"),
    "an ending is late, after": ("bot.domain.reload.LATE_AGE", 10, "s"),
    "a key": ("bot.keys.LONGEST_KEY", 256, "characters"),
    "open reloads of a server": ("bot.domain.askers.OPEN_PER_SERVER", 20, ""),
    "open reloads of a member": ("bot.domain.askers.OPEN_PER_MEMBER", 5, ""),
    "requests of a member": ("bot.domain.member_calls.CALLS_PER_MEMBER", 10, ""),
    "requests of a member, within": ("bot.domain.member_calls.CALLS_PERIOD", 60, "s"),
    "resumed reloads are spread over": ("bot.reloads.runner.RESUME_SPREAD", 4, "s"),
    "a stop": ("bot.process.STOP_TIMEOUT", 10, "s"),
    "the first answer": ("bot.discord_api.responses.RESPONSE_TIMEOUT", 2.5, "s"),
    "tokens of ended reloads are kept for": ("bot.domain.reload.FADE_AGE", 86400, "s"),
    "deleted in one page": ("bot.store.embedded.EXPIRE_BATCH", 500, ""),
    "reloads kept of a server": ("bot.jobs.retention.RELOADS_PER_SERVER", 20_000, ""),
    "between two looks for missed removals": ("bot.jobs.servers.CHECK_INTERVAL", 6 * 3600, "s"),
}
"""Each number's meaning, constant, agreed value, and unit."""


@pytest.mark.parametrize("name", NUMBERS)
def test_number(name: str) -> None:
    constant, agreed, _ = NUMBERS[name]
    assert pkgutil.resolve_name(constant) == agreed
