"""What Discord accepts in the bodies that a bot sends, as its documentation has it."""

import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

Json = dict[str, Any]
Problem = tuple[str, str]
"""Where in a body, with dots; and what is wrong there."""


class Field(NamedTuple):
    kinds: tuple[type, ...]
    required: bool
    low: float
    high: float


Rules = dict[str, Field]
KINDS: dict[str, tuple[type, ...]] = {
    "text": (str,),
    "list": (list,),
    "object": (dict,),
    "bool": (bool,),
    "int": (int,),
    "number": (int, float),
    "id": (str, int),
    "value": (str, int, float),
}


def rules(*fields: str) -> Rules:
    """Read "name kind", "name kind low-high" (of its length or value); an "!" means that it is required."""
    rules = {}
    for one in ", ".join(fields).split(", "):
        name, kind, *limits = one.split()
        low, _, high = (limits or ["-inf..inf"])[0].partition("..")
        rules[name.rstrip("!")] = Field(KINDS[kind], name.endswith("!"), float(low), float(high))
    return rules


COMPONENT = rules("type! int", "id int 0..2147483647")
COMPONENTS: dict[int, Rules] = {
    1: rules("components! list 1..5"),
    2: rules(
        "style! int 1..6, label text 0..80, custom_id text 1..100, url text 1..512",
        "emoji object, disabled bool",
    ),
    3: rules(
        "custom_id! text 1..100, options! list 1..25, placeholder text 0..150, disabled bool, required bool",
        "min_values int 0..25, max_values int 1..25",
    ),
    8: rules(
        "custom_id! text 1..100, placeholder text 0..150, disabled bool, required bool",
        "channel_types list 0..25, min_values int 0..25, max_values int 1..25, default_values list 0..25",
    ),
    4: rules(
        "custom_id! text 1..100, style! int 1..2, label text 1..45, value text 0..4000",
        "placeholder text 0..100, required bool, min_length int 0..4000, max_length int 1..4000",
    ),
    9: rules("components! list 1..3, accessory! object"),
    10: rules("content! text 1..4000"),
    11: rules("media! object, description text 1..1024, spoiler bool"),
    12: rules("items! list 1..10"),
    14: rules("divider bool, spacing int 1..2"),
    17: rules("components! list 1..40, accent_color int 0..16777215, spoiler bool"),
    18: rules("label! text 1..45, description text 1..100, component! object"),
}
ONLY_V2 = {9, 10, 11, 12, 14, 17}
IN_MESSAGE, IN_MODAL = {1, 9, 10, 12, 14, 17}, {1, 10, 18}
INSIDE = {
    (1, "components"): {2, 3, 8},
    (9, "components"): {10},
    (9, "accessory"): {2, 11},
    (17, "components"): IN_MESSAGE - {17},
    (18, "component"): {3, 4},
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
CHOICES = rules("choices! list 0..25")
CHOICE = rules("name! text 1..100, value! value, name_localizations object")
MODAL = rules("custom_id! text 1..100, title! text 1..45, components! list 1..40")
NAMED = rules(
    "name! text 1..32, description! text 1..100, type int 1..11",
    "name_localizations object, description_localizations object",
)
COMMAND = NAMED | rules(
    "id id, options list 0..25, default_member_permissions id, dm_permission bool, nsfw bool",
    "contexts list 1..3, integration_types list 1..2",
)
OPTION = NAMED | rules("required bool")
LIMITS = "choices list 0..25, autocomplete bool, min_value number, max_value number"
OPTIONS: dict[int, Rules] = {
    1: rules("options list 0..25"),
    2: rules("options! list 1..25"),
    3: rules("choices list 0..25, autocomplete bool, min_length int 0..6000, max_length int 1..6000"),
    4: rules(LIMITS),
    5: {},
    6: {},
    7: rules("channel_types list 0..25"),
    8: {},
    9: {},
    10: rules(LIMITS),
    11: {},
}


def broken(where: str, body: Any, rules: Rules) -> Iterator[Problem]:
    """What is wrong with the fields of one object."""
    if not isinstance(body, dict):
        yield where, "must be an object"
        return
    yield from ((f"{where}.{name}", "is not a known field") for name in body.keys() - rules.keys())
    for name, rule in rules.items():
        value = body.get(name)
        if value is None:
            if rule.required:
                yield f"{where}.{name}", "is required"
        elif type(value) not in rule.kinds:
            yield f"{where}.{name}", f"must be of type {rule.kinds[0].__name__}"
        elif not rule.low <= size(value) <= rule.high:
            yield f"{where}.{name}", f"must be {rule.low:g} to {rule.high:g} (its length or value)"


def size(value: Any) -> float:
    return float(len(value)) if isinstance(value, str | list | dict) else float(value)


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
        for number, item in enumerate(
            part["items"] if kind == 12 and isinstance(part.get("items"), list) else []
        ):
            yield from broken(f"{here}.items.{number}", item, MEDIA_ITEM)
        for name in ("components", "component", "accessory"):
            nested = part.get(name)
            nested = [nested] if isinstance(nested, dict) else nested
            yield from broken_components(f"{here}.{name}", nested, inside.get((kind, name), set()), inside)


def flat(components: list[Json]) -> list[Json]:
    """All components, nested ones included."""
    found = []
    for part in components:
        inner = [part[name] for name in ("component", "accessory") if name in part]
        found += [part, *flat(part.get("components", []) + inner)]
    return found


def text_of(content: str, components: list[Json]) -> str:
    """All text of a message, in order."""
    return "\n".join(filter(None, [content, *(p["content"] for p in flat(components) if p["type"] == 10)]))


def broken_whole(components: list[Json], *, v2: bool) -> Iterator[Problem]:
    """What is wrong with well-formed components when they stand together."""
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


def broken_attachments(attachments: Any, known: set[str], components: list[Json]) -> Iterator[Problem]:
    """`known`: ids of files that came along, and of attachments that are there already."""
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


def broken_commands(commands: Any) -> Iterator[Problem]:
    if not isinstance(commands, list):
        yield "", "must be a list"
        return
    names = [command.get("name") for command in commands if isinstance(command, dict)]
    if len(names) > len(set(names)) or len(names) > 100:
        yield "", "at most 100 commands, with names of their own"
    for index, command in enumerate(commands):
        yield from broken(str(index), command, COMMAND)
        if not isinstance(command, dict):
            continue
        yield from broken_name(str(index), command)
        for name, most in (("contexts", 2), ("integration_types", 1)):
            if any(value not in range(most + 1) for value in command.get(name) or ()):
                yield f"{index}.{name}", f"must be 0 to {most}"
        yield from broken_options(str(index), command.get("options") or [], set(OPTIONS))


def broken_name(where: str, named: Json) -> Iterator[Problem]:
    name = str(named.get("name"))
    if not re.fullmatch(r"[-'\w]+", name) or name != name.lower():
        yield f"{where}.name", "must be lowercase letters, digits, - and _"


def broken_options(where: str, options: list[Any], allowed: set[int]) -> Iterator[Problem]:
    kinds = [option.get("type") if isinstance(option, dict) else None for option in options]
    if {1, 2} & set(kinds) and set(kinds) - {1, 2}:
        yield f"{where}.options", "sub-commands and other options do not mix"
    optional = False
    for index, (kind, option) in enumerate(zip(kinds, options, strict=True)):
        here = f"{where}.options.{index}"
        if kind not in allowed:
            yield here, f"option type {kind} may not stand here"
            continue
        yield from broken(here, option, OPTION | OPTIONS[kind])
        yield from broken_name(here, option)
        if option.get("required") and optional:
            yield here, "required options come first"
        optional = optional or not option.get("required")
        if option.get("autocomplete") and option.get("choices"):
            yield here, "autocomplete and choices do not mix"
        yield from broken_choices(f"{here}.choices", option.get("choices") or [])
        yield from broken_options(
            here, option.get("options") or [], {1} if kind == 2 else set(OPTIONS) - {1, 2}
        )


def broken_choices(where: str, choices: list[Any]) -> Iterator[Problem]:
    for index, choice in enumerate(choices):
        yield from broken(f"{where}.{index}", choice, CHOICE)
        value = choice.get("value") if isinstance(choice, dict) else None
        if isinstance(value, str) and not 1 <= len(value) <= 100:
            yield f"{where}.{index}.value", "must be 1 to 100 long"


class RefusedError(Exception):
    """An answer that is no success; with problems, it was the caller's fault."""

    def __init__(self, status: int, code: int, message: str, problems: Iterable[Problem] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.problems = [(where.strip("."), what) for where, what in problems]
        self.answer: Json = {"message": message, "code": code}
        if self.problems:
            self.answer["errors"] = nested(self.problems)


def nested(problems: list[Problem]) -> Json:
    errors: Json = {}
    for where, what in problems:
        node = errors
        for part in filter(None, where.split(".")):
            node = node.setdefault(part, {})
        node.setdefault("_errors", []).append({"code": "INVALID", "message": what})
    return errors


def insist(problems: Iterable[Problem]) -> None:
    if found := list(problems):
        raise RefusedError(400, 50035, "Invalid Form Body", found)
