"""Each language says everything, with the same placeholders, within Discord's limits; and who hears which."""

import os
import re
import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from babel.messages.catalog import Catalog, Message
from discord import Locale, app_commands
from hypothesis import example, given
from hypothesis import strategies as st

from bot.discord_api.commands import CommandTranslator
from bot.domain.reload import Asker, ImageTest, Outcome, Ping, Reload, State
from bot.domain.rows import Event, ServerSettings, Watch, Watcher
from bot.domain.server_models import models_of
from bot.languages import LOCALES, NAMES, Languages
from bot.model_api.balance import LARGEST_BALANCE, Balance
from bot.view import model_page, models_page, render, settings_panel
from bot.words.buttons import TEST_LABEL, TEST_TITLE
from bot.words.common import plain_name
from bot.words.key import KEY_HINT, KEY_LABEL, KEY_TITLE, balance_text, key_status
from bot.words.language import Language
from bot.words.models import SHOWN_RELOADS
from bot.words.moderators import SETTINGS, events_text
from bot.words.reload import _TESTS, image_ping_text, ping_text, reply_text, state_word
from bot.words.watches import goes_cold_text, went_cold_text
from tests import INSTALLED
from tests.tools.tables import cogs_with_commands
from tests.tools.translations import CODES, read, said
from tests.unit.domain.test_server_models import HISTORY
from tests.unit.test_words import LONGEST, NOW, OF_RELOADS, command, ended, reloads, with_test

ALL = Languages(command)
PLACEHOLDER = re.compile(r"\{\w*\}")
SAID: list[Message] = [message for message in said() if message.id]


def texts(message: Message | None) -> list[str]:
    string = message.string if message is not None else ""
    return [string] if isinstance(string, str) else list(string or ())


def ids(message: Message) -> list[str]:
    return [message.id] if isinstance(message.id, str) else list(message.id)


def is_translated(translated: Catalog, message: Message) -> bool:
    return message.id in translated and all(texts(translated[message.id]))


def test_the_code_says_something() -> None:
    assert len(SAID) > 150


def test_each_language_is_heard_by_somebody() -> None:
    assert set(LOCALES.values()) | {"en"} == set(NAMES)


@pytest.mark.parametrize("code", CODES)
def test_nothing_is_missing_unsure_or_left_over(code: str) -> None:
    translated = read(code)
    missing = [str(m.id) for m in SAID if not is_translated(translated, m)]
    left_over = {str(m.id) for m in translated if m.id} - {str(m.id) for m in SAID}
    assert [m.id for m in translated if m.id and m.fuzzy] == []
    complaint = f"Not translated: {code}: {missing}; left over: {sorted(left_over)}. make translations"
    if os.environ.get("RELEASE") == "true":
        assert (missing, left_over) == ([], set()), complaint
    elif missing or left_over:
        warnings.warn(complaint, stacklevel=1)  # English is said instead


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("code", NAMES)
def test_the_status_of_a_key_with_ten_events_fits_in_a_message(code: str, setting: str) -> None:
    say, name = ALL.of(code), "*" * 32
    events = [Event("setting", NOW, 1, name, setting)] * 10
    head = key_status(plain_name(name), NOW, "cdef", "stablediffusionapi.com", say, checked=False)
    left = balance_text(Balance(-LARGEST_BALANCE, "USD"), NOW, say)
    lines = events_text(events, say).splitlines()
    assert len("\n".join([f"{head} {left}", *lines])) <= 2000
    assert len(lines) > 7
    assert all(len(line) <= 300 for line in lines)


@pytest.mark.parametrize("code", CODES)
def test_placeholders_and_markup_are_the_same(code: str) -> None:
    translated = read(code)
    for message in (message for message in SAID if is_translated(translated, message)):
        wanted = sorted(PLACEHOLDER.findall(ids(message)[-1]))
        for text in texts(translated[message.id]):
            found = sorted(PLACEHOLDER.findall(text))
            less_the_number = [name for name in wanted if name != "{number}"]
            assert found == wanted or (len(ids(message)) > 1 and found == less_the_number), text
            for mark in ("`", "**", "](", "\n"):
                assert text.count(mark) == ids(message)[-1].count(mark), text


@pytest.mark.parametrize("code", NAMES)
def test_every_sentence_can_be_said(code: str) -> None:
    say = ALL.of(code)
    for message in SAID:
        names = {name.strip("{}") for name in PLACEHOLDER.findall("".join(ids(message)))}
        values = dict.fromkeys(names - {"number"}, "x")
        if isinstance(message.id, str):
            said_now = [say(message.id, number=7, **values)]
        else:
            one, many = message.id
            said_now = [say.count(one, many, number, **values) for number in (1, 2, 5)]
        assert all(text and "{" not in text for text in said_now)


@given(reload=reloads)
@example(reload=LONGEST)
@example(reload=replace(LONGEST, outcome=Outcome.NO_USABLE_ANSWER, called_at=NOW))
@example(reload=replace(LONGEST, outcome=Outcome.ACCEPTED, seconds=86399.0, late=True))
@example(reload=replace(LONGEST, state=State.ASKED, not_before=NOW + 7500))
@example(reload=with_test(Outcome.REFUSED, LONGEST))
@example(reload=with_test(Outcome.VENDOR_TROUBLE, LONGEST))
def test_no_reply_or_ping_is_too_long_in_any_language(reload: Reload) -> None:
    """300 in English; a language may need a third more, and a phone shows that, too."""
    people = Ping(reload.owner.channel + 1, tuple(range(2**64 - 50, 2**64)))
    for code in NAMES:
        say = ALL.of(code)
        assert len(reply_text(reload, NOW, say)) <= 400, code
        done = replace(reload, state=State.ANNOUNCING, outcome=reload.outcome or Outcome.ACCEPTED)
        assert len(ping_text(done, people, NOW, say, alone=True)) <= 2000, code


FIFTY = tuple(range(2**64 - 50, 2**64))
LONG = "a" * 60 + "z" * 40
COLD = Watch(5, LONG, FIFTY[0], 70, others=tuple(Watcher(user, 70) for user in FIFTY[1:25]))


def pushes(say: Language) -> Iterator[str]:
    """Everything that notifies somebody, of the longest model and with the most people."""
    for outcome in OF_RELOADS:
        done = replace(ended(outcome), model=LONG)
        yield from (ping_text(done, Ping(70, FIFTY), NOW, say, alone=alone) for alone in (True, False))
    for outcome in _TESTS:
        test = ImageTest(Asker(FIFTY[0], 70, ""), NOW, True, outcome=outcome)
        yield image_ping_text(replace(ended(Outcome.ACCEPTED), model=LONG, test=test), test, say)
    yield goes_cold_text(COLD, NOW, say, button=True)
    yield went_cold_text(COLD, NOW, say)


@pytest.mark.parametrize("code", NAMES)
def test_a_push_says_the_news_first(code: str) -> None:
    """A phone shows about 60 characters."""
    for text in pushes(ALL.of(code)):
        news = re.split(r"[(:,.。\n]", text, maxsplit=1)[0]
        assert len(news) <= 60, text
        assert f"`{'a' * 14}…{'z' * 15}`" in news, text
        assert len(news) > 36, "more than the id"
        assert "<" not in news, text
        assert re.search(r"( <@\d+>)+$", text), "the people come last"


def parts(components: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [found for part in components for found in (part, *parts(part.get("components", [])))]


@pytest.mark.parametrize("code", NAMES)
async def test_labels_fit(code: str) -> None:
    say = ALL.of(code)
    models = models_of(HISTORY, NOW)
    layouts = [
        render(ended(Outcome.ACCEPTED), NOW, say).as_view(),
        render(replace(ended(Outcome.ACCEPTED), state=State.COUNTING), NOW, say).as_view(),
        models_page(models, 0, 2, NOW, say),
        model_page(models[0], 0, NOW, say, user=11, who=True, watch=COLD, channel=70),
        settings_panel(
            ServerSettings(ledger_channel=5, news_channel=6), say, may_write=False, may_tell=False
        ),
    ]
    for layout in layouts:
        for part in parts(layout.to_components()):  # type: ignore[no-untyped-call]
            assert len(part.get("label") or "") <= 34, "more is cut off on a phone"
            assert len(part.get("placeholder") or "") <= 150
            for option in part.get("options") or ():
                assert len(option["label"]) <= 100
                assert len(option.get("description") or "") <= 100
    assert len(say(KEY_TITLE)) <= 45
    assert len(say(KEY_LABEL)) <= 45
    assert len(say(KEY_HINT)) <= 100
    assert len(say(TEST_TITLE)) <= 45
    assert len(say(TEST_LABEL)) <= 45
    assert SHOWN_RELOADS == 5


@pytest.mark.parametrize(
    "locale", [Locale.german, Locale.french, Locale.japanese, Locale.brazil_portuguese, Locale.spain_spanish]
)
async def test_commands_have_names_that_discord_takes(locale: Locale) -> None:
    translator = CommandTranslator(ALL)
    for cog in cogs_with_commands():
        for one in cog(None).walk_app_commands():
            name = await translator.translate(app_commands.locale_str(one.name), locale, None)  # type: ignore[arg-type]
            described = await translator.translate(app_commands.locale_str(one.description), locale, None)  # type: ignore[arg-type]
            assert re.fullmatch(r"[-'\w]{1,32}", name or one.name), name
            assert (name or one.name) == (name or one.name).lower()
            assert described is not None
            assert 1 <= len(described) <= 100


@pytest.mark.parametrize(
    ("locale", "ready"),
    [
        *(("de", "Bereit"), ("fr", "Prêt"), ("es-ES", "Listo"), ("es-419", "Listo"), ("pt-BR", "Pronto")),
        *(("ja", "準備完了"), ("en-US", "Ready"), ("en-GB", "Ready"), ("ko", "Ready"), ("", "Ready")),
        *(("made up", "Ready"), ("pt_BR", "Pronto")),
    ],
)
def test_who_hears_which(locale: str, ready: str) -> None:
    assert state_word(ended(Outcome.ACCEPTED), ALL.of(locale)) == ready


def test_no_sentence_stands_inside_another_where_it_is_not_found() -> None:
    for path in (*(INSTALLED / "bot" / "words").glob("*.py"), *(INSTALLED / "cogs").glob("*.py")):
        assert not re.search(r"""\{say\(["']""", path.read_text()), path


@given(text=st.text())
def test_what_people_type_is_never_a_placeholder(text: str) -> None:
    say = ALL.of("de")
    assert text in say("{model} has already been requested.", model=text)
