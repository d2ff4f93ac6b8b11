"""Slices of the data that a model is measured on: which rows, said in a small language that runs no code.

``age < 30 and sex == "f"`` compares columns with numbers or quoted text; ``{by: sex}`` makes a slice of each value.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

from modelver.errors import InvalidInput

Operator = Literal["==", "!=", "<", "<=", ">", ">="]

MAX_CONDITIONS = 16

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,59}\Z")
_TOKEN = re.compile(
    r"""\s*(?:(?P<op>==|!=|<=|>=|<|>)|(?P<quoted>"[^"]*"|'[^']*'|`[^`]*`)|(?P<number>-?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(?![\w.])|(?P<word>[^\W\d][\w.-]*))"""
)


@dataclass(frozen=True, slots=True)
class Condition:
    """``column OPERATOR value``; text is compared with ``==`` and ``!=`` only."""

    column: str
    operator: Operator
    value: float | str


@dataclass(frozen=True, slots=True)
class Slice:
    """Some of the rows.

    Attributes:
        name: as metrics carry it: ``slices.NAME.accuracy``.
        conditions: rows that meet all of them; empty for a slice by column.
        by: the column each of whose values is a slice, named ``NAME=VALUE``; None for conditions.
    """

    name: str
    conditions: tuple[Condition, ...] = ()
    by: str | None = None


def parse_slices(data: object, where: str) -> tuple[Slice, ...]:
    """Slices from ``{name: "age < 30"}`` and ``{name: {by: column}}``, in the order of names; None is none.

    Raises:
        InvalidInput: malformed; the message starts with ``where`` and names the slice.
    """
    if data is None:
        return ()
    if not isinstance(data, Mapping):
        raise InvalidInput(f"{where} must map a name to its rows", hint=_EXAMPLE)
    for name in data:
        if not isinstance(name, str) or not _NAME.match(name):
            raise InvalidInput(f"{where}: {name!r} is no name of a slice: letters, digits, _ and -", hint=_EXAMPLE)
    return tuple(_slice(name, data[name], f"{where}.{name}") for name in sorted(data))


def parse_conditions(text: str, where: str) -> tuple[Condition, ...]:
    """The conditions of ``column OPERATOR value and …``.

    A column whose name has blanks is written in backquotes. There is no ``or``: make two slices.

    Raises:
        InvalidInput: it can't be read so.
    """
    tokens = _tokens(text, where)
    conditions: list[Condition] = []
    position = 0
    while True:
        part = tokens[position : position + 3]
        kinds = [kind for kind, _ in part]
        if (
            len(part) != 3
            or kinds[0] not in ("word", "column")
            or kinds[1] != "op"
            or kinds[2] not in ("number", "text")
        ):
            raise InvalidInput(f"{where} is not a comparison of a column with a value: {text!r}", hint=_EXAMPLE)
        operator = cast(Operator, part[1][1])
        value: float | str = float(part[2][1]) if kinds[2] == "number" else part[2][1]
        if isinstance(value, str) and operator not in ("==", "!="):
            raise InvalidInput(f"{where}: text is compared with == and != only: {text!r}", hint=_EXAMPLE)
        conditions.append(Condition(part[0][1], operator, value))
        position += 3
        if position == len(tokens):
            return tuple(conditions)
        if tokens[position] != ("word", "and") or len(conditions) == MAX_CONDITIONS:
            raise InvalidInput(f"{where}: `and` is expected after a comparison: {text!r}", hint=_EXAMPLE)
        position += 1


_EXAMPLE = 'write for example `slices: {young: "age < 30", by-sex: {by: sex}}`'


def _slice(name: str, data: object, where: str) -> Slice:
    if isinstance(data, str):
        return Slice(name, parse_conditions(data, where))
    if isinstance(data, Mapping) and set(data) == {"by"} and isinstance(data["by"], str) and data["by"]:
        return Slice(name, by=data["by"])
    raise InvalidInput(f"{where} must be a comparison or `{{by: COLUMN}}`, found {data!r}", hint=_EXAMPLE)


def _tokens(text: str, where: str) -> list[tuple[str, str]]:
    tokens: list[tuple[str, str]] = []
    position, end = 0, len(text.rstrip())
    if end > 2000:
        raise InvalidInput(f"{where} is longer than 2000 characters")
    while position < end:
        match = _TOKEN.match(text, position)
        if not match:
            raise InvalidInput(f"{where} can't be read from {text[position : position + 20]!r} on", hint=_EXAMPLE)
        kind, token = str(match.lastgroup), match[match.lastgroup or 0]
        if kind == "quoted":
            kind, token = ("column" if token[0] == "`" else "text"), token[1:-1]
        if kind == "number" and not math.isfinite(float(token)):
            raise InvalidInput(f"{where}: {token} is no finite number")
        tokens.append((kind, token))
        position = match.end()
    return tokens
