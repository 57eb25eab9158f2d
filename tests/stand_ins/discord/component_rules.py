"""The rules for the parts of a message and a modal: components, attachments, mentions.

Source: docs.discord.com/developers: Component Reference, Message, Allowed Mentions.
"""

import re
from collections.abc import Iterator
from typing import Any

from tests import as_read
from tests.stand_ins.discord.rules import Json, Problem, Rules, broken, rules

COMPONENT = rules("type! int", "id int 0..2147483647")
SELECT = rules(
    "custom_id! text 1..100, placeholder text 0..150, disabled bool, required bool",
    "min_values int 0..25, max_values int 1..25",
)
DEFAULTS = rules("default_values list 0..25")
SOME_OF_TEN = rules("custom_id! text 1..100, required bool, min_values int 0..10, max_values int 1..10")
COMPONENTS: dict[int, Rules] = {
    1: rules("components! list 1..5"),
    2: rules(
        "style! int 1..6, label text 0..80, custom_id text 1..100, url text 1..512",
        "emoji object, disabled bool",
    ),
    3: SELECT | rules("options! list 1..25"),
    5: SELECT | DEFAULTS,
    6: SELECT | DEFAULTS,
    7: SELECT | DEFAULTS,
    8: SELECT | DEFAULTS | rules("channel_types list 0..25"),
    4: rules(
        "custom_id! text 1..100, style! int 1..2, label text 1..45, value text 0..4000",
        "placeholder text 0..100, required bool, min_length int 0..4000, max_length int 1..4000",
    ),
    9: rules("components! list 1..3, accessory! object"),
    10: rules("content! text 1..4000"),
    11: rules("media! object, description text 1..1024, spoiler bool"),
    12: rules("items! list 1..10"),
    13: rules("file! object, spoiler bool"),
    14: rules("divider bool, spacing int 1..2"),
    17: rules("components! list 1..40, accent_color int 0..16777215, spoiler bool"),
    18: rules("label! text 1..45, description text 1..100, component! object"),
    19: SOME_OF_TEN | rules("file_types list 0..10"),
    21: rules("custom_id! text 1..100, options! list 2..10, required bool"),
    22: SOME_OF_TEN | rules("options! list 1..10"),
    23: rules("custom_id! text 1..100, default bool"),
}
OPTION = rules("label! text 1..100, value! text 1..100, description text 0..100, default bool")
SELECT_OPTION = OPTION | rules("emoji object")
ONLY_V2 = {9, 10, 11, 12, 13, 14, 17}
IN_MESSAGE, IN_MODAL = {1, 9, 10, 12, 13, 14, 17}, {1, 10, 18}
SELECTS = {3, 5, 6, 7, 8}
INSIDE = {
    (1, "components"): {2, *SELECTS},
    (9, "components"): {10},
    (9, "accessory"): {2, 11},
    (17, "components"): IN_MESSAGE - {17},
    (18, "component"): {4, *SELECTS, 19, 21, 22, 23},
}
INSIDE_MODAL = INSIDE | {(1, "components"): {4}}
MESSAGE = rules(
    "content text 0..2000, embeds list 0..10, allowed_mentions object, components list 0..40, flags int",
    "tts bool",  # meaningless in an edit, yet discord.py always sends it
    "attachments list 0..10",
)
ATTACHMENT = rules("id! id, filename text 1..260, description text 0..1024, is_spoiler bool")
MEDIA_ITEM = rules("media! object, description text 1..1024, spoiler bool")
CHANNEL_MESSAGE = MESSAGE | rules("nonce text 0..25, enforce_nonce bool, message_reference object")
REFERENCE = rules("message_id! id, channel_id id, guild_id id, fail_if_not_exists bool, type int 0..0")
MENTIONS = rules("parse list 0..3, users list 0..100, roles list 0..100, replied_user bool")
CALLBACK = rules("type! int 1..13, data object")
DEFERRAL = rules("flags int, tts bool")
MODAL = rules("custom_id! text 1..100, title! text 1..45, components! list 1..5")


def broken_components(
    where: str, parts: Any, allowed: set[int], inside: dict[tuple[int, str], set[int]]
) -> Iterator[Problem]:
    for index, part in enumerate(parts if isinstance(parts, list) else []):
        here = f"{where}.{index}"
        kind: Any = part.get("type") if isinstance(part, dict) else None
        if kind not in allowed:
            yield here, f"component type {kind} may not stand here"
            continue
        yield from broken(here, part, COMPONENT | COMPONENTS[kind])
        if kind == 2 and (part.get("style") == 5) == ("custom_id" in part):
            yield here, "a link button needs a url and no custom_id, any other button a custom_id"
        yield from _broken_choice(here, part)
        for number, item in enumerate(
            part["items"] if kind == 12 and isinstance(part.get("items"), list) else []
        ):
            yield from broken(f"{here}.items.{number}", item, MEDIA_ITEM)
        for name in ("components", "component", "accessory"):
            nested = part.get(name)
            nested = [nested] if isinstance(nested, dict) else nested
            yield from broken_components(f"{here}.{name}", nested, inside.get((kind, name), set()), inside)


def _broken_choice(where: str, part: Json) -> Iterator[Problem]:
    """Return the faults of a field that somebody fills in or chooses from."""
    for low, high in (("min_values", "max_values"), ("min_length", "max_length")):
        least, most = part.get(low), part.get(high)
        if isinstance(least, int) and isinstance(most, int) and least > most:
            yield f"{where}.{low}", f"is over {high}"
    options = part.get("options")
    for number, option in enumerate(options if isinstance(options, list) else []):
        kind = SELECT_OPTION if part["type"] == 3 else OPTION
        yield from broken(f"{where}.options.{number}", option, kind)
    values = [str(option.get("value")) for option in options or () if isinstance(option, dict)]
    if len(values) > len(set(values)):
        yield f"{where}.options", "values must be unique"


def flat(components: list[Json]) -> list[Json]:
    """All components, nested ones included."""
    found = []
    for part in components:
        inner = [part[name] for name in ("component", "accessory") if name in part]
        found += [part, *flat(part.get("components", []) + inner)]
    return found


def text_of(content: str, components: list[Json]) -> str:
    """All text of a message, in order."""
    texts = [content, *(p["content"] for p in flat(components) if p["type"] == 10)]
    return as_read("\n".join(filter(None, texts)))


def broken_whole(components: list[Json], *, v2: bool) -> Iterator[Problem]:
    """Return the faults in the combination of well-formed components."""
    parts = flat(components)
    ids = [part["custom_id"] for part in parts if part.get("custom_id")]
    if not v2 and any(part["type"] in ONLY_V2 for part in parts):
        yield "components", "these components need the flag IS_COMPONENTS_V2"
    if not v2 and len(components) > 5:
        yield "components", "must be at most 5 rows"
    if len(parts) > 40:
        yield "components", "must be at most 40, nested ones included"
    if len(text_of("", components)) > 4000:
        yield "components", "must be at most 4000 characters of text in all"
    if len(ids) > len(set(ids)):
        yield "components", "custom_id must be unique"
    numbers = [part["id"] for part in parts if part.get("id")]
    if len(numbers) > len(set(numbers)):
        yield "components", "id must be unique"


def broken_attachments(attachments: Any, known: set[str], components: list[Json]) -> Iterator[Problem]:
    """Return the faults of attachments; `known`: IDs of uploaded files and of existing attachments."""
    names = set()
    for index, attachment in enumerate(attachments if isinstance(attachments, list) else []):
        yield from broken(f"attachments.{index}", attachment, ATTACHMENT)
        if isinstance(attachment, dict):
            names.add(attachment.get("filename"))
            if str(attachment.get("id")) not in known:
                yield f"attachments.{index}.id", "has no file"
    for part in flat(components):
        for item in part.get("items", []):
            url = str(item.get("media", {}).get("url"))
            if not url.startswith(("https://", "attachment://")):
                yield "components", "a picture is an https address or an attachment"
            elif url.startswith("attachment://") and url.removeprefix("attachment://") not in names:
                yield "components", f"{url} is not attached"


def broken_mentions(allowed: Any) -> Iterator[Problem]:
    yield from broken("allowed_mentions", allowed, MENTIONS)
    if not isinstance(allowed, dict):
        return
    parse = allowed.get("parse") or []
    if set(parse) - {"users", "roles", "everyone"}:
        yield "allowed_mentions.parse", "only users, roles and everyone"
    for kind in ("users", "roles"):
        ids = allowed.get(kind) or []
        if ids and kind in parse:
            yield f"allowed_mentions.{kind}", f"parse has {kind}: mutually exclusive"
        if any(not re.fullmatch(r"\d{1,20}", str(number)) for number in ids):
            yield f"allowed_mentions.{kind}", "must be ids"
