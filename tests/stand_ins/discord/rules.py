"""How Discord checks the fields of a body, and how it words a refusal.

Source: docs.discord.com/developers/reference (Error Messages) and each object's table of fields.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

Json = dict[str, Any]
Problem = tuple[str, str]
"""A place in a body, with dots, and its fault."""


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


def broken(where: str, body: Any, rules: Rules) -> Iterator[Problem]:
    """Return the faults in the fields of one object."""
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


class RefusedError(Exception):
    """An answer that is no success; if it has problems, the caller is at fault."""

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
