"""Every sentence that a person reads: there is one for each case, and it is short and honest."""

import math
import re
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.domain.errors import (
    BadModelId,
    NoKey,
    NotAllowed,
    NotAMember,
    NoTestsLeft,
    Refusal,
    TooManyCalls,
    TooManyOpen,
    TooManyWatched,
    TooManyWatchers,
)
from bot.domain.reload import OF_TESTS, Asker, Ending, ImageTest, Outcome, Ping, Reload, State
from bot.domain.server_models import models_of
from bot.keys import key_tail
from bot.languages import Languages
from bot.words.buttons import notified_text
from bot.words.common import plain_name, pushed_id, span
from bot.words.errors import broken, refusal, stale_command, storage_trouble
from bot.words.key import (
    KEY_HINT,
    KEY_LABEL,
    KEY_TITLE,
    key_removed,
    key_status,
    key_stored,
    key_unreadable,
    no_key,
)
from bot.words.models import model_text
from bot.words.reload import joined_text, ping_text, reply_text, state_word
from tests import as_read

NOW = 1_800_000_000.0
LONGEST_ID = 2**64 - 1
MODEL, SAID = "sdxl-turbo", "Vendor said so"
NO_TESTS_END = (Outcome.ACCEPTED, Outcome.RENDERING)
OF_RELOADS = [outcome for outcome in Outcome if outcome not in OF_TESTS]
ASKED = Reload(id=10, server=5, model=MODEL, askers=(Asker(11, 70, "t"),), asked_at=NOW, seconds=120.0)


def command(name: str) -> str:
    return f"</{name}:{LONGEST_ID}>"


say = Languages(command).of("en-US")


def outside_code(text: str) -> str:
    return re.sub(r"`[^`]*`", "", text)


def ended(outcome: Outcome, **facts: object) -> Reload:
    known = {"ended_at": NOW, "called_at": NOW - 100, "deadline": NOW, **facts}
    return replace(ASKED, state=State.ENDED, outcome=outcome, **known)  # type: ignore[arg-type]


def reply(reload: Reload, now: float = NOW) -> str:
    return as_read(reply_text(reload, now, say))


# --- The reply ----------------------------------------------------------------------------------------

FIRST_WORDS = {
    State.ASKED: "Waiting",
    State.CALLING: "Reloading",
    State.COUNTING: "Reloading",
}
LAST_WORDS = {
    Ending.READY: "Ready",
    Ending.CONFIRMED: "Confirmed",
    Ending.FAILED: "Failed",
    Ending.UNKNOWN: "Unclear",
}


@pytest.mark.parametrize("outcome", OF_RELOADS)
@pytest.mark.parametrize("state", [state for state in State if state is not State.REMOVED])
def test_each_state_and_outcome_has_words_and_the_state_comes_first(state: State, outcome: Outcome) -> None:
    reload = replace(ASKED, state=state, outcome=outcome, deadline=NOW + 60, called_at=NOW, ended_at=NOW)
    first = FIRST_WORDS.get(state) or LAST_WORDS[outcome.ending]
    lines = reply(reload).splitlines()
    assert lines[0] == f"**{first}** `{MODEL}`"
    assert len(lines) > 1
    assert first in ("Waiting", "Reloading", "Ready", "Failed", "Unclear")


@pytest.mark.parametrize(
    ("outcome", "says"),
    [
        (Outcome.ACCEPTED, "The promised 2 minutes are up. Not confirmed yet."),
        (Outcome.WRONG_KEY, "rejects this server's key"),
        (Outcome.UNKNOWN_MODEL, "doesn't know this model"),
        (Outcome.NO_CREDITS, "out of credits or over its limit, or its plan has expired"),
        (Outcome.ADDRESS_GONE, "no longer exists"),
        (Outcome.NO_PLACE, "Nothing was sent"),
        (Outcome.PLAN_TOO_SMALL, "plan"),
        (Outcome.SLOW_DOWN, "slow down"),
        (Outcome.REFUSED, "The API refused: `Vendor said so`."),
        (Outcome.VENDOR_TROUBLE, "is having problems"),
        (Outcome.NO_CONNECTION, "Nothing was sent"),
        (Outcome.NOT_SENT, "Nothing was sent"),
        (Outcome.KEY_GONE, "Nothing was sent"),
        (Outcome.STORAGE, "Nothing was sent"),
        (Outcome.NO_USABLE_ANSWER, "no clear answer came back. The model may be reloading."),
        (Outcome.INTERRUPTED, "restarted while it was waiting for the API. The model may be reloading."),
    ],
)
def test_each_ending_says_what_happened(outcome: Outcome, says: str) -> None:
    assert says in reply(ended(outcome, said=SAID, called_at=None))


@pytest.mark.parametrize("outcome", [Outcome.NOT_SENT, Outcome.KEY_GONE, Outcome.STORAGE])
def test_after_a_named_wait_something_was_sent(outcome: Outcome) -> None:
    text = reply(ended(outcome, called_at=NOW - 100))
    assert "Nothing was reloaded" in text
    assert "sent" not in text


def test_no_outcome_is_left_out() -> None:
    texts = {outcome: reply(ended(outcome)) for outcome in OF_RELOADS}
    assert len(set(texts.values())) == len(OF_RELOADS), "each ending reads differently"


@pytest.mark.parametrize("outcome", [o for o in OF_RELOADS if o.ending is not Ending.READY])
def test_each_ending_that_is_no_success_says_what_to_do(outcome: Outcome) -> None:
    text = reply(ended(outcome))
    assert any(turn in text for turn in (command("reload"), command("key set"), "whoever owns the key"))
    assert "ready" not in text.lower()


@pytest.mark.parametrize("outcome", [o for o in OF_RELOADS if o.ending is not Ending.FAILED])
def test_only_a_failure_may_claim_that_nothing_was_sent(outcome: Outcome) -> None:
    assert "nothing was sent" not in reply(ended(outcome)).lower()


def test_a_defect_after_the_call_is_unknown_and_named() -> None:
    text = reply(ended(Outcome.INTERRUPTED, ref="7F3A"))
    assert text.startswith("**Unclear**")
    assert "ref 7F3A" in text
    assert "may be reloading" in text


def test_a_defect_before_the_call_is_failed_and_named() -> None:
    text = reply(ended(Outcome.NOT_SENT, ref="7F3A", called_at=None))
    assert text.startswith("**Failed**")
    assert "ref 7F3A" in text
    assert "Nothing was sent" in text


def test_a_refusal_without_words_says_so() -> None:
    assert "The API refused without giving a reason." in reply(ended(Outcome.REFUSED))


def test_a_slow_down_says_when_it_works_again() -> None:
    assert f"<t:{round(NOW) + 90}:T>" in reply(ended(Outcome.SLOW_DOWN, again_at=NOW + 89.5))


def test_an_unknown_says_that_asking_again_is_possible() -> None:
    """Immediately: the wait for the spam filter is then shown in the reply."""
    assert f"Use {command('reload')} to ask again." in reply(ended(Outcome.NO_USABLE_ANSWER, called_at=NOW))


def test_late_is_said_with_the_time_it_was_due() -> None:
    due = NOW - 300
    assert f"Sorry, this is late: it was due <t:{round(due)}:R>." in reply(
        ended(Outcome.ACCEPTED, deadline=due)
    )
    assert "late" not in reply(ended(Outcome.ACCEPTED, deadline=NOW - 10))


@pytest.mark.parametrize(
    ("seconds", "promise"),
    [
        (1, "time (1 s) is"), (45, "time (45 s) is"), (60, "1 minute is"), (90, "time (1 min 30 s) is"),
        (120, "2 minutes are"), (3600, "time (1 h) is"), (86400, "time (24 h) is"),
        (5430, "time (1 h 30 min) is"),
    ],
)  # fmt: skip
def test_the_promise_is_the_setting(seconds: float, promise: str) -> None:
    assert f"The promised {promise} up." in reply(ended(Outcome.ACCEPTED, seconds=float(seconds)))


def counting(left: float, seconds: float = 120.0) -> str:
    reload = replace(ASKED, state=State.COUNTING, seconds=seconds, deadline=NOW + left)
    return reply(reload)


@pytest.mark.parametrize(
    ("left", "bar", "says"),
    [
        (120, "▱▱▱▱▱▱▱▱", "2 min left"),
        (105, "▰▱▱▱▱▱▱▱", "1 min 45 s left"),
        (75, "▰▰▰▱▱▱▱▱", "1 min 15 s left"),
        (60, "▰▰▰▰▱▱▱▱", "1 min left"),
        (45, "▰▰▰▰▰▱▱▱", "45 s left"),
        (5, "▰▰▰▰▰▰▰▱", "5 s left"),
        (0, "▰▰▰▰▰▰▰▰", "0 s left"),
        (-30, "▰▰▰▰▰▰▰▰", "0 s left"),
        (400, "▱▱▱▱▱▱▱▱", "6 min 40 s left"),
    ],
)
def test_the_countdown_shows_bar_time_left_and_ready_time(left: float, bar: str, says: str) -> None:
    text = counting(left)
    assert f"{bar} {says}\nExpected at <t:{round(NOW + left)}:t>\nRequested by <@11>" in text


def test_a_wait_says_why_and_when_it_starts() -> None:
    spam = replace(ASKED, not_before=NOW + 25)
    assert "Starting in 25 s" in reply(spam)
    assert reply(spam).startswith("**Waiting**")
    named = replace(spam, waits=1)
    assert "The API asked us to wait. Starting in 25 s" in reply(named)
    assert "The API asked us to wait" not in reply(spam)


def test_three_askers_are_named_and_the_others_counted() -> None:
    reload = replace(ended(Outcome.ACCEPTED), askers=tuple(Asker(n, 70, "t") for n in range(11, 26)))
    assert reply(reload).endswith("Requested by <@11>, <@12>, <@13> and 12 more")


def test_somebody_who_asked_in_two_channels_is_one_person() -> None:
    reload = replace(ASKED, askers=(Asker(11, 70, "t"), Asker(11, 71, "t"), Asker(12, 70, "t")))
    assert reply(reload).endswith("Requested by <@11>, <@12>")


ids = st.integers(0, LONGEST_ID)
models = st.text(st.sampled_from("aZ9._-/"), min_size=1, max_size=100) | st.just("M" * 100)
near = st.floats(-1e6, 1e6).map(lambda seconds: NOW + seconds)
said = st.text(st.characters(codec="utf-8", exclude_characters="`\n"), max_size=60) | st.just("W" * 60)
asker = st.builds(Asker, ids, ids, st.just("secret-token"))
tests = st.builds(
    ImageTest,
    by=asker,
    at=near,
    spoiler=st.booleans(),
    job=st.just("secret-job"),
    picture=st.just("https://secret-picture.example"),
    outcome=st.none() | st.sampled_from([outcome for outcome in Outcome if outcome not in NO_TESTS_END]),
    said=said,
)


def crowd(first: list[Asker], more: int) -> tuple[Asker, ...]:
    """Draw those whose names are shown; of the rest only the number counts: no need to make up each."""
    return (*first, *(Asker(LONGEST_ID - number, 70, "secret-token") for number in range(more)))


reloads = st.builds(
    Reload,
    id=ids,
    server=ids,
    model=models,
    askers=st.builds(crowd, st.lists(asker, min_size=1, max_size=5), st.integers(0, 75)),
    asked_at=near,
    seconds=st.floats(1, 86400),
    state=st.sampled_from([state for state in State if state is not State.REMOVED]),
    message=st.none() | ids,
    not_before=st.none() | near,
    waits=st.integers(0, 2),
    called_at=st.none() | near,
    deadline=st.none() | near,
    outcome=st.none() | st.sampled_from(OF_RELOADS),
    said=said,
    again_at=st.none() | near,
    ended_at=st.none() | near,
    late=st.booleans(),
    ref=st.sampled_from(["", "7F3A"]),
    muted=st.lists(ids, max_size=3).map(tuple),
    test=st.none() | tests,
)


def with_test(outcome: Outcome | None, of: Reload | None = None, said: str = "W" * 60) -> Reload:
    """A Ready whose test image came to this; None: it is being made."""
    reload = replace(of or ended(Outcome.ACCEPTED), outcome=Outcome.ACCEPTED)
    return replace(
        reload, test=ImageTest(Asker(LONGEST_ID, 70, "secret-token"), NOW, True, outcome=outcome, said=said)
    )


CROWD = crowd([], 99)
LONGEST = replace(ended(Outcome.REFUSED, said="W" * 60), model="M" * 100, askers=CROWD)


@given(reload=reloads, now=near)
@example(reload=LONGEST, now=NOW)
@example(reload=replace(LONGEST, outcome=Outcome.NO_USABLE_ANSWER, called_at=NOW), now=NOW)
@example(reload=replace(LONGEST, outcome=Outcome.ACCEPTED, seconds=86399.0, late=True), now=NOW)
@example(reload=replace(LONGEST, state=State.ASKED, not_before=NOW + 7500), now=NOW)
@example(reload=with_test(Outcome.REFUSED, LONGEST), now=NOW)
@example(reload=with_test(None, LONGEST), now=NOW)
@example(reload=with_test(Outcome.RENDERED, LONGEST), now=NOW)
def test_no_reply_is_longer_than_300_characters_or_lets_anything_out(reload: Reload, now: float) -> None:
    text = reply(reload, now)
    assert len(text) <= 300
    assert text.startswith(f"**{state_word(reload, say)}** `{reload.model}`")
    assert text.count("`") % 2 == 0
    plain = outside_code(text)
    assert reload.model not in plain or len(reload.model) < 12
    assert reload.said not in plain or len(reload.said) < 12
    people = {a.user for a in reload.askers} | ({reload.test.by.user} if reload.test else set())
    assert {int(user) for user in re.findall(r"<@(\d+)>", plain)} <= people
    assert "secret" not in text
    assert "nan" not in plain
    assert "None" not in plain


@given(reload=reloads, now=near, alone=st.booleans(), people=st.lists(ids, min_size=1, max_size=50))
def test_no_ping_is_longer_than_discord_takes(
    reload: Reload, now: float, alone: bool, people: list[int]
) -> None:
    done = replace(reload, state=State.ANNOUNCING, outcome=reload.outcome or Outcome.ACCEPTED)
    text = ping_text(done, Ping(reload.owner.channel + 1, tuple(people)), now, say, alone=alone)
    assert len(text) <= 2000
    assert all(f"<@{user}>" in text for user in people)
    assert pushed_id(reload.model) in text
    assert "@everyone" not in outside_code(text)


@given(seconds=st.floats(0, 86400))
def test_a_length_of_time_reads_as_it_is(seconds: float) -> None:
    units = {"h": 3600, "min": 60, "s": 1}
    parts = span(seconds, say).split()
    numbers = [(int(number), unit) for number, unit in zip(parts[::2], parts[1::2], strict=True)]
    total = sum(number * units[unit] for number, unit in numbers)
    assert abs(total - seconds) <= (0.5 if seconds < 3599 else 60)
    assert all(number < 60 for number, unit in numbers if unit != "h")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"), (-5, "0 s"), (0.4, "0 s"), (59.6, "1 min"), (45, "45 s"), (105, "1 min 45 s"),
        (3600, "1 h"), (7500, "2 h 5 min"), (7503, "2 h 5 min"), (86400, "24 h"),
    ],
)  # fmt: skip
def test_lengths_of_time_are_full_seconds(seconds: float, text: str) -> None:
    assert as_read(span(seconds, say)) == text


def test_no_line_breaks_between_a_number_and_its_unit() -> None:
    assert span(105, say) == "1\N{NO-BREAK SPACE}min 45\N{NO-BREAK SPACE}s"


# --- The ping -----------------------------------------------------------------------------------------


def ping(reload: Reload, channel: int = 70, now: float = NOW, *, alone: bool = False) -> str:
    return ping_text(reload, Ping(channel, (11, 12)), now, say, alone=alone)


@pytest.mark.parametrize(
    ("outcome", "text"),
    [
        (
            Outcome.ACCEPTED,
            "`sdxl-turbo` should be ready: its 2 minutes are up (not tested yet). <@11> <@12>",
        ),
        (Outcome.WRONG_KEY, "`sdxl-turbo` was not reloaded. The reply says why. <@11> <@12>"),
        (
            Outcome.INTERRUPTED,
            "`sdxl-turbo` may or may not be reloading. The reply has the details. <@11> <@12>",
        ),
    ],
)
def test_the_ping_says_no_more_than_is_known(outcome: Outcome, text: str) -> None:
    assert ping(ended(outcome)) == text


def test_in_another_channel_the_ping_links_to_the_reply() -> None:
    reload = ended(Outcome.ACCEPTED, message=99)
    assert ping(reload, channel=71).endswith(" https://discord.com/channels/5/70/99 <@11> <@12>")
    assert "https://" not in ping(reload)


def test_a_late_ping_says_so() -> None:
    text = ping(ended(Outcome.ACCEPTED, deadline=NOW - 60))
    assert text.endswith("not tested yet). Sorry, this is late. <@11> <@12>")


@pytest.mark.parametrize("outcome", OF_RELOADS)
def test_a_ping_that_stands_alone_carries_the_whole_ending(outcome: Outcome) -> None:
    text = ping(ended(outcome, said=SAID), alone=True)
    news, people = text[: -len(" <@11> <@12>")], text[-len(" <@11> <@12>") :]
    assert people == " <@11> <@12>"
    assert news.startswith(f"**{LAST_WORDS[outcome.ending]}** `sdxl-turbo`\n")
    assert news in reply(ended(outcome, said=SAID))


# --- Private answers ----------------------------------------------------------------------------------


def test_a_joiner_learns_the_time_left_the_place_and_that_they_will_be_pinged() -> None:
    reload = replace(ASKED, state=State.COUNTING, deadline=NOW + 48, message=99)
    assert as_read(joined_text(reload, NOW, say, user=11, is_new=True)) == (
        "`sdxl-turbo` is already reloading: 48 s left. You'll be pinged too.\n"
        "https://discord.com/channels/5/70/99"
    )


@pytest.mark.parametrize("hours", [5, 8760])
def test_with_the_clock_set_back_nobody_is_told_hours(hours: int) -> None:
    reload = replace(ASKED, state=State.COUNTING, deadline=NOW + 48, message=99)
    now = NOW - hours * 3600
    [model] = models_of([reload], now)
    for text in (
        joined_text(reload, now, say, user=11, is_new=True),
        notified_text(reload, now, say),
        model_text(model, now, say, who=False, watched=None),
    ):
        assert " h " not in as_read(text)
        assert "2 min" in as_read(text)


def test_a_joiner_before_the_call_gets_the_channel_instead() -> None:
    text = joined_text(ASKED, NOW, say, user=11, is_new=True)
    assert "already been requested" in text
    assert text.endswith("\nhttps://discord.com/channels/5/70")
    assert "left" not in text


def test_who_had_asked_already_is_promised_no_ping() -> None:
    """A quick failure pings nobody who still looks at the reply."""
    assert "pinged" not in joined_text(ASKED, NOW, say, user=11, is_new=False)


def refusals(root: type[Refusal] = Refusal) -> list[type[Refusal]]:
    return [found for kind in root.__subclasses__() for found in (kind, *refusals(kind))]


def made(kind: type[Refusal]) -> Refusal:
    if kind is NotAMember:
        return NotAMember("https://invite.example")
    if kind is NoTestsLeft:
        return NoTestsLeft(10, NOW)
    if kind in (TooManyWatched, TooManyWatchers):
        return kind(25)
    if kind is TooManyCalls:
        return TooManyCalls(10, NOW)
    return TooManyOpen("server", 20, NOW) if kind is TooManyOpen else kind()


@pytest.mark.parametrize("kind", refusals(), ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("may_manage", [False, True])
def test_every_refusal_has_its_words(kind: type[Refusal], may_manage: bool) -> None:
    text = refusal(made(kind), say, may_manage=may_manage)
    assert text.endswith(".")
    assert 20 < len(text) <= 200


def test_refusals_read_differently() -> None:
    texts = {refusal(made(kind), say, may_manage=False) for kind in refusals()}
    assert len(texts) == len(refusals()) > 5


def test_a_refusal_without_words_is_a_defect_not_an_empty_message() -> None:
    class Unworded(Exception):
        pass

    with pytest.raises(KeyError, match="Unworded"):
        refusal(Unworded(), say, may_manage=False)  # type: ignore[arg-type]


def test_without_a_key_each_person_is_told_what_they_can_do() -> None:
    assert "Ask a moderator" in refusal(NoKey(), say, may_manage=False)
    assert f"Set one with {command('key set')}" in refusal(NoKey(), say, may_manage=True)


def test_too_many_open_says_whose_and_when_a_place_frees() -> None:
    mine = refusal(TooManyOpen("member", 5, NOW + 0.5), say, may_manage=False)
    limit = "You already have 5 reloads running, which is the limit."
    assert mine == f"{limit} The next one finishes <t:{NOW + 1:.0f}:R>."
    ours = refusal(TooManyOpen("server", 20, None), say, may_manage=False)
    assert (
        ours
        == "This server already has 20 reloads running, which is the limit. Wait for one of them to finish."
    )


def test_a_refusal_does_not_repeat_what_was_typed() -> None:
    error = BadModelId("@everyone")
    assert "everyone" not in refusal(error, say, may_manage=False)
    assert "Manage Server" in refusal(NotAllowed(), say, may_manage=False)


@pytest.mark.parametrize(
    "text",
    [
        broken("7F3A", say),
        storage_trouble("7F3A", say, of_reload=True),
        storage_trouble("7F3A", say, of_reload=False),
    ],
)
def test_trouble_is_named_so_that_it_can_be_found_in_the_log(text: str) -> None:
    assert "ref 7F3A" in text
    assert "again" in text


def test_storage_trouble_with_a_key_promises_nothing() -> None:
    """A slow write may land yet; and the key has been sent to be checked."""
    text = storage_trouble("7F3A", say, of_reload=False)
    assert "othing" not in text
    assert command("key status") in text


# --- Keys ---------------------------------------------------------------------------------------------


@given(key=st.text(st.characters(codec="utf-8"), max_size=256))
def test_at_most_four_characters_of_a_key_are_shown_and_none_of_a_short_one(key: str) -> None:
    tail = key_tail(key)
    assert len(tail) == (4 if len(key) >= 16 else 0)
    assert "`" not in tail


def test_the_status_of_a_key_says_who_when_and_what_can_be_done() -> None:
    text = key_status("Ana", NOW, "cdef", "modelslab.com", say, checked=True)
    assert "set by Ana" in text
    assert f"<t:{round(NOW)}:f>" in text
    assert "`cdef`" in text
    assert command("key set") in text
    assert command("key remove") in text
    assert "It's sent to `modelslab.com`." in text
    assert "whether it works" not in text
    text = key_status("Ana", NOW, "", "modelslab.com", say, checked=False)
    assert "ends in" not in text
    assert "don't know yet whether it works" in text
    text = key_status("", NOW, "", "modelslab.com", say, checked=True)
    assert f"API key, set on <t:{round(NOW)}:f>" in text, "who set it was forgotten"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("mod", "mod"),
        ("<@123> *bold*", "\\<@\u200b123\\> \\*bold\\*"),
        ("@everyone", "@\u200beveryone"),
        ("https://x.example/y", "https:/\u200b/\u200bx.example/\u200by"),
        ("discord.gg/red", "discord.gg/\u200bred"),
        ("discord.com/invite\\red", "discord.com/\u200binvite\\\\\u200bred"),
        ("דג", "\u2068דג\u2069"),
        ("نور 1", "\u2068نور 1\u2069"),
        ("[a](b)", "\\[a\\]\\(b\\)"),
        ("a\u202eb\nc\u2067", "abc"),
        ("👩\u200d💻", "👩\u200d💻"),
    ],
)
def test_a_display_name_is_text_and_nothing_else(name: str, shown: str) -> None:
    assert plain_name(name) == shown


def test_an_unchecked_key_is_not_called_working() -> None:
    assert "works" in key_stored(say, checked=True)
    assert "couldn't check" in key_stored(say, checked=False)


def test_removing_says_whether_there_was_something_to_remove() -> None:
    assert key_removed(say, existed=True) != key_removed(say, existed=False)


def test_other_sentences_point_to_the_command_that_helps() -> None:
    assert command("key set") in no_key(say)
    assert command("key set") in key_unreadable(say)
    assert "again" in stale_command(say)


def test_what_discord_limits_fits() -> None:
    assert len(KEY_TITLE) <= 45
    assert len(KEY_LABEL) <= 45
    assert len(KEY_HINT) <= 100


def test_times_are_whole_seconds() -> None:
    reload = replace(ASKED, state=State.COUNTING, deadline=NOW + math.pi)
    assert re.findall(r"<t:(\S+?):", reply(reload)) == [f"{round(NOW + math.pi)}"]


# --- The test image -----------------------------------------------------------------------------------


def test_a_test_that_runs_says_so_and_confirms_nothing() -> None:
    text = reply(with_test(None))
    assert text.startswith("**Ready**")
    assert "minutes are up.\nMaking a test image for <@" in text


def test_only_a_picture_confirms() -> None:
    for outcome in Outcome:
        if outcome not in NO_TESTS_END:
            confirmed = reply(with_test(outcome)).startswith("**Confirmed**")
            assert confirmed is (outcome is Outcome.RENDERED)


@pytest.mark.parametrize("outcome", [o for o in Outcome if o not in (*NO_TESTS_END, Outcome.RENDERED)])
def test_each_failed_test_says_what_it_means(outcome: Outcome) -> None:
    text = reply(with_test(outcome))
    assert "minutes are up.\nTest image failed (<t:" in text
    others = {reply(with_test(o)) for o in Outcome if o not in (*NO_TESTS_END, Outcome.RENDERED, outcome)}
    assert text not in others


@pytest.mark.parametrize("outcome", [Outcome.NO_USABLE_ANSWER, Outcome.INTERRUPTED])
def test_where_nobody_knows_a_generation_may_have_been_paid_for(outcome: Outcome) -> None:
    assert "It may have cost one generation." in reply(with_test(outcome))


def test_a_refusal_of_a_picture_quotes_the_api() -> None:
    text = reply(with_test(Outcome.REFUSED, said="Failed, Try Again"))
    assert "the API says `Failed, Try Again`. The model may still be loading." in text
    assert "the API refused it. The model may still be loading." in reply(with_test(Outcome.REFUSED, said=""))
