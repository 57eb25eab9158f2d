"""Pure: turns a Reload and a time into the Components V2 layout of its reply; models into theirs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import discord
from discord import ComponentType

from bot.domain.custom_ids import AHEAD_ID, BUTTON_ID, LIST_ID, MODEL_ID, SETTING_ID, WATCH_ID, WATCHERS_ID
from bot.domain.picture import Picture
from bot.domain.reload import Ending, Outcome, Reload
from bot.domain.rows import WATCHERS_PER_MODEL, ServerSettings, Watch
from bot.domain.server_models import Model
from bot.languages import NAMES
from bot.words.buttons import DO_NOT_NOTIFY, NOTIFY, RELOAD_AGAIN, TEST_ALT, TEST_IMAGE, TEST_TOO
from bot.words.language import Language
from bot.words.models import (
    BACK,
    CHOOSE_MODEL,
    EARLIER,
    LATER,
    NO_MODELS,
    RELOAD,
    UNWATCH,
    WATCH,
    WATCHERS,
    model_text,
    models_text,
    warmth_word,
)
from bot.words.reload import named_in, reply_text
from bot.words.settings import (
    AS_DISCORD,
    CHANNEL,
    CHANNEL_UNSET,
    EVERYBODY,
    LANGUAGE,
    NEWS,
    NEWS_UNSET,
    NO_LIMIT,
    NO_TESTS,
    ON_DEMAND,
    PINGS,
    TESTS,
    settings_text,
)
from bot.words.watches import KEEP_WARM

MODELS_PER_PAGE = 10
TESTS_CHOICES = (0, 1, 3, 10, None)
"""Choices for test images per member and day; None: no limit."""
_CONTAINER, _TEXT = ComponentType.container.value, ComponentType.text_display.value
_GALLERY, _ROW = ComponentType.media_gallery.value, ComponentType.action_row.value
_BUTTON, _SECONDARY = ComponentType.button.value, discord.ButtonStyle.secondary.value
_ACCENTS = {
    None: discord.Colour.blurple(),
    Ending.READY: discord.Colour.green(),
    Ending.CONFIRMED: discord.Colour.green(),
    Ending.FAILED: discord.Colour.red(),
    Ending.UNKNOWN: discord.Colour.gold(),
}
_NOT_AGAIN = (Outcome.UNKNOWN_MODEL, Outcome.WRONG_KEY)
"""Outcomes after which trying the same again would fail again."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A layout as Discord takes it: an edit every few seconds needs no discord.py objects."""

    components: list[dict[str, Any]]
    named: list[int]
    """The people it mentions: an edit notifies nobody, and anyone it doesn't allow reads as @unknown-user."""

    def as_view(self) -> discord.ui.LayoutView:
        """Return it as a view, for those of discord.py's calls that need one."""
        return _DrawnView(self.components)


class _DrawnView(discord.ui.LayoutView):
    def __init__(self, components: list[dict[str, Any]]) -> None:
        super().__init__(timeout=None)
        self._components = components
        self.stop()

    def to_components(self) -> list[dict[str, Any]]:
        return self._components

    def has_components_v2(self) -> bool:
        return True


def render(reload: Reload, now: float, say: Language, picture: Picture | None = None) -> Drawn:
    """Lay out the reply of a reload as it stands at `now` (seconds since 1970, UTC)."""
    parts: list[dict[str, Any]] = [{"type": _TEXT, "content": reply_text(reload, now, say)}]
    if picture is not None and reload.test is not None:
        media, alt = {"url": f"attachment://{picture.name}"}, say(TEST_ALT, model=reload.model)
        item = {"media": media, "description": alt, "spoiler": reload.test.spoiler}
        parts.append({"type": _GALLERY, "items": [item]})
    box = {"type": _CONTAINER, "accent_color": _accent(reload).value, "components": parts}
    buttons = list(_buttons(reload, say))
    return Drawn([box, {"type": _ROW, "components": buttons}] if buttons else [box], named_in(reload))


def _accent(reload: Reload) -> discord.Colour:
    """Return the colour: a Ready whose test image failed is less green."""
    failed = reload.ending is Ending.READY and reload.test is not None and not reload.is_testing
    return _ACCENTS[Ending.UNKNOWN if failed else reload.ending]


def layout(*items: discord.ui.Item[discord.ui.LayoutView]) -> discord.ui.LayoutView:
    """Make a layout that discord.py sends and forgets.

    discord.py keeps the view of each message with a button forever, unless it was stopped. Presses reach the
    DynamicItems in `cogs` by their custom ID.
    """
    view = discord.ui.LayoutView(timeout=None)
    for item in items:
        view.add_item(item)
    view.stop()
    return view


def buttons(*items: discord.ui.Item[Any]) -> discord.ui.View:
    """Make the same buttons for a message of plain text."""
    view = discord.ui.View(timeout=None)
    for item in items:
        view.add_item(item)
    view.stop()
    return view


def button(label: str, custom_id: str) -> discord.ui.Button[discord.ui.LayoutView]:
    """Make a button whose presses are recognised by its custom ID."""
    return discord.ui.Button(label=label, custom_id=custom_id)


def _text(text: str) -> discord.ui.TextDisplay[discord.ui.LayoutView]:
    return discord.ui.TextDisplay(text)


def _buttons(reload: Reload, say: Language) -> Iterator[dict[str, Any]]:
    key_refused = reload.test is not None and reload.test.outcome is Outcome.WRONG_KEY
    whats = {} if reload.outcome in _NOT_AGAIN or key_refused else {"again": RELOAD_AGAIN}
    if reload.ending is None:
        whats = {"notify": NOTIFY, "mute": DO_NOT_NOTIFY}
    elif reload.ending is Ending.READY and not reload.is_testing:
        whats |= {"keep": KEEP_WARM} if reload.is_old_ready else {"test": TEST_IMAGE}
    labels = {BUTTON_ID.format(what=what, reload=reload.id): label for what, label in whats.items()}
    if reload.ending is None:
        labels[AHEAD_ID.format(what="ask", reload=reload.id)] = TEST_TOO
    for custom_id, label in labels.items():
        yield {"type": _BUTTON, "style": _SECONDARY, "label": say(label), "custom_id": custom_id}


def models_page(
    shown: Sequence[Model],
    page: int,
    pages: int,
    now: float,
    say: Language,
    made: Sequence[tuple[int, int]] = (),
) -> discord.ui.LayoutView:
    """Make a page of a server's models, with a menu to choose one.

    `made`: how many test images each member had made, for moderators.
    """
    if not shown:
        return layout(_text(say(NO_MODELS)))
    menu: discord.ui.Select[discord.ui.LayoutView] = discord.ui.Select(
        custom_id=MODEL_ID.format(page=page, view=round(now * 1000)), placeholder=say(CHOOSE_MODEL)
    )
    for model in shown:
        menu.add_option(label=model.id, value=model.id, description=warmth_word(model, now, say))
    turns = [
        button(say(label), LIST_ID.format(page=to))
        for label, to in ((EARLIER, page - 1), (LATER, page + 1))
        if 0 <= to < pages
    ]
    text = _text(models_text(shown, page, pages, now, say, made))
    return layout(text, discord.ui.ActionRow(menu), *([discord.ui.ActionRow(*turns)] if turns else []))


def model_page(
    model: Model,
    page: int,
    now: float,
    say: Language,
    *,
    user: int,
    who: bool,
    watch: Watch | None,
    channel: int | None,
    may_write: bool = True,
) -> discord.ui.LayoutView:
    """Make the page of one model as `user` sees it; `page`: the list's page to go back to.

    `who`: also who reloaded it and who watches it; `channel`: where it is announced, if it is watched, and if
    the bot `may_write` there.
    """
    users = watch.users if watch is not None else ()
    watched = channel if users else None
    text = _text(model_text(model, now, say, who=who, watched=watched, may_write=may_write))
    newest = model.reloads[0].id
    again = button(say(RELOAD), BUTTON_ID.format(what="again", reload=newest))
    what, label = ("unwatch", UNWATCH) if user in users else ("watch", WATCH)
    turn = button(say(label), WATCH_ID.format(what=what, page=page, reload=newest))
    back = button(say(BACK), LIST_ID.format(page=page))
    items: list[discord.ui.Item[Any]] = [text, discord.ui.ActionRow(again, turn, back)]
    if who and set(users) - {user}:
        menu = _watchers_menu(users, WATCHERS_ID.format(page=page, reload=newest), say)
        items += [_text(say(WATCHERS)), discord.ui.ActionRow(menu)]
    return layout(*items)


def _watchers_menu(
    users: Sequence[int], custom_id: str, say: Language
) -> discord.ui.UserSelect[discord.ui.LayoutView]:
    """Make the menu of watchers. Discord fills in their names, which the bot doesn't know."""
    kind = discord.SelectDefaultValueType.user
    return discord.ui.UserSelect(
        custom_id=custom_id,
        placeholder=say(WATCHERS),
        min_values=0,
        max_values=WATCHERS_PER_MODEL,
        default_values=[discord.SelectDefaultValue(id=user, type=kind) for user in users],
    )


def watch_buttons(reload: Reload | None, say: Language, *, cold: bool) -> discord.ui.View | None:
    """Make the buttons under a new announcement of plain text; they need the model's last reload."""
    if reload is None:
        return None
    return buttons(_watch_button(reload, say, cold=cold))


def watch_layout(text: str, reload: Reload | None, say: Language, *, cold: bool) -> discord.ui.LayoutView:
    """Make the layout that an announcement is edited to: *Keep it warm* may have made it a layout before."""
    row = [] if reload is None else [discord.ui.ActionRow(_watch_button(reload, say, cold=cold))]
    return layout(_text(text), *row)


def _watch_button(reload: Reload, say: Language, *, cold: bool) -> discord.ui.Button[Any]:
    what, label = ("again", RELOAD) if cold else ("keep", KEEP_WARM)
    return button(say(label), BUTTON_ID.format(what=what, reload=reload.id))


def settings_panel(
    chosen: ServerSettings, say: Language, *, may_write: bool, may_tell: bool = True
) -> discord.ui.LayoutView:
    """Make the panel of a server's settings, with a menu for each."""
    pings: discord.ui.Select[discord.ui.LayoutView] = discord.ui.Select(
        custom_id=SETTING_ID.format(what="ping"),
        placeholder=say(PINGS),  # names the menu to a screen reader
    )
    pings.add_option(label=say(EVERYBODY), value="all", default=not chosen.quiet)
    pings.add_option(label=say(ON_DEMAND), value="some", default=chosen.quiet)
    tongue: discord.ui.Select[discord.ui.LayoutView] = discord.ui.Select(
        custom_id=SETTING_ID.format(what="language"), placeholder=say(LANGUAGE)
    )
    for code, name in {"": say(AS_DISCORD), **NAMES}.items():
        tongue.add_option(label=name, value=code or "auto", default=code == chosen.language)
    tests: discord.ui.Select[discord.ui.LayoutView] = discord.ui.Select(
        custom_id=SETTING_ID.format(what="tests"), placeholder=say(TESTS)
    )
    for most in TESTS_CHOICES:
        label = say({0: NO_TESTS, None: NO_LIMIT}.get(most, str(most)))
        tests.add_option(label=label, value=str(most), default=most == chosen.tests_per_day)
    place = _channel_menu("channel", CHANNEL_UNSET, chosen.ledger_channel, say)
    news = _channel_menu("news", NEWS_UNSET, chosen.news_channel, say)
    items: list[discord.ui.Item[discord.ui.LayoutView]] = [
        _text(settings_text(chosen, say, may_write=may_write, may_tell=may_tell))
    ]
    for title, menu in ((PINGS, pings), (LANGUAGE, tongue), (TESTS, tests), (CHANNEL, place), (NEWS, news)):
        items += [_text(say(title)), discord.ui.ActionRow(menu)]
    return layout(*items)


def _channel_menu(
    what: str, unset: str, chosen: int | None, say: Language
) -> discord.ui.ChannelSelect[discord.ui.LayoutView]:
    known = (chosen,) if chosen is not None else ()
    kind = discord.SelectDefaultValueType.channel
    return discord.ui.ChannelSelect(
        custom_id=SETTING_ID.format(what=what),
        channel_types=[discord.ChannelType.text, discord.ChannelType.news],
        placeholder=say(unset),
        min_values=0,
        default_values=[discord.SelectDefaultValue(id=channel, type=kind) for channel in known],
    )
