"""Checking a sidecar against its JSON Schema, with messages that name the field."""

import json
import math
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

from modelver.core.printable import printable, shorten
from modelver.errors import InvalidInput

SCHEMA = "modelver/sidecar/1"
MAX_DEPTH = 40
"""Levels of nesting accepted; modelver writes at most 6, and params rarely more than that."""

_UPGRADE = "upgrade modelver: pip install --upgrade modelver"
_TYPES = {"dict": "object", "list": "array", "str": "string", "bool": "boolean", "int": "integer", "float": "number"}


def validate(document: object, where: str) -> None:
    """Check a sidecar against the schema.

    Args:
        document: what the YAML adapter read.
        where: the file's name, for the message.

    Raises:
        InvalidInput: it is no sidecar; the message names the file and the field (``weights.bytes``).
    """
    if not isinstance(document, Mapping):
        raise InvalidInput(f"{where}: not a sidecar, expected a mapping at the top", "record it again")
    _check_schema_id(document, where)
    for field in ("version", "previous"):
        value = document.get(field)
        if value is not None and not isinstance(value, str):
            raise InvalidInput(
                f"{where}: {field}: {_show(value)} is read as {json_type(value)}, not as text",
                f'put the whole version in quotes, as in {field}: "v1.10.0"',
            )
    _check_plain(document, where, "", 0)
    errors = _validator().iter_errors(document)
    problems = [(list(e.instance_path), _reason(e)) for e in errors]
    if problems:
        place, reason = min(problems, key=lambda p: (len(p[0]), [str(part) for part in p[0]]))
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        name = _dotted(place)
        raise InvalidInput(
            f"{where}: {name + ': ' if name else ''}{reason}{more}", "record it again, or mend the field"
        )


def is_newer(document: Mapping[str, Any]) -> bool:
    """Whether a sidecar carries the id of a schema that this modelver does not know."""
    schema = document.get("schema")
    return isinstance(schema, str) and schema.startswith("modelver/sidecar/") and schema != SCHEMA


def json_type(value: object) -> str:
    """The name of a value's type in JSON's words; Python's where JSON has none."""
    return "null" if value is None else _TYPES.get(type(value).__name__, type(value).__name__)


def _check_schema_id(document: Mapping[str, Any], where: str) -> None:
    schema = document.get("schema")
    if is_newer(document):
        raise InvalidInput(f"{where}: schema: {_show(schema)} is newer than this modelver reads ({SCHEMA})", _UPGRADE)
    if schema != SCHEMA:
        found = "is missing" if schema is None else f"is {_show(schema)}"
        raise InvalidInput(f"{where}: schema: {found}, expected {SCHEMA}", "record it again")


def _check_plain(value: object, where: str, place: str, depth: int) -> None:
    """Only what JSON can say: the schema library would raise a ValueError without a place on anything else."""
    if depth > MAX_DEPTH:
        raise InvalidInput(f"{where}: {place}: nested more than {MAX_DEPTH} levels deep")
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                hint = "put the name in quotes"
                raise InvalidInput(f"{where}: {_join(place, _show(key))}: the name is {json_type(key)}, not text", hint)
            _check_text(key, where, place)
            _check_plain(item, where, _join(place, printable(key)), depth + 1)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _check_plain(item, where, f"{place}[{index}]", depth + 1)
    elif isinstance(value, str):
        _check_text(value, where, place)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidInput(f"{where}: {place}: {value} is not a finite number")
    elif value is not None and not isinstance(value, int | bool):
        raise InvalidInput(f"{where}: {place}: {json_type(value)} where text or a number belongs", "put it in quotes")


def _check_text(text: str, where: str, place: str) -> None:
    """JSON and YAML can spell half a surrogate pair (``\\ud800``), which UTF-8 can't."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidInput(f"{where}: {place}: {ascii(text)[:80]} is no text that UTF-8 can hold") from None


@cache
def _validator() -> Any:
    import jsonschema_rs

    name = SCHEMA.replace("modelver/", "").replace("/", "-") + ".schema.json"
    text = resources.files("modelver.schemas").joinpath(name).read_text(encoding="utf-8")
    return jsonschema_rs.validator_for(json.loads(text))


def _reason(error: Any) -> str:
    """The library's error in our words; its own message repeats the whole instance."""
    kind = error.kind
    if kind.name == "required":
        return f"field {kind.property} is missing"
    if kind.name == "type":
        return f"expected {' or '.join(kind.types)}, found {json_type(error.instance)}"
    shown = _show(error.instance)
    if kind.name == "pattern":
        return f"{shown} does not have the expected form"
    if kind.name == "enum":
        return f"{shown} is none of {', '.join(str(option) for option in kind.options)}"
    if kind.name == "minimum":
        return f"{shown} is less than {kind.limit}"
    return f"{shown} breaks the rule {kind.name}"


def _show(value: object) -> str:
    if isinstance(value, Mapping | list | tuple):
        return json_type(value)
    if isinstance(value, int) and value.bit_length() > 256:  # Python refuses to spell out 4,300 digits and more
        return f"a number of {value.bit_length():,} bits"
    return shorten(printable(repr(value)), 60)


def _join(place: str, key: str) -> str:
    return f"{place}.{shorten(key, 60)}" if place else shorten(key, 60)


def _dotted(place: Sequence[str | int]) -> str:
    text = ""
    for part in place:
        text = f"{text}[{part}]" if isinstance(part, int) else _join(text, printable(part))
    return text
