"""The rules for application commands, their options and choices.

Source: docs.discord.com/developers: Application Commands.
"""

import re
from collections.abc import Iterator
from typing import Any

from tests.stand_ins.discord.rules import Json, Problem, Rules, broken, rules

CHOICES = rules("choices! list 0..25")
CHOICE = rules("name! text 1..100, value! value, name_localizations object")
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
