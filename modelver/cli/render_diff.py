"""A diff for people: a plain text that fits a terminal, and Markdown for a comment on a pull request.

Names and texts in a diff come out of model files, so all of them are made printable, cut to size, and in Markdown
kept from being read as markup, mentions or links.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from modelver.core.bump import number
from modelver.core.bump_signature import shape_text
from modelver.core.diff import Change, Diff, Section
from modelver.core.printable import columns, pad, printable, shorten

TABLE_ROWS = 10
"""Rows shown of a section before the rest is counted."""

COMMENT_CHARS = 60_000
"""Size of the Markdown; GitHub refuses a comment of more than 65,536 characters."""

_ORDER = (
    "signature",
    "metrics",
    "validation",
    "targets",
    "metadata",
    "variants",
    "format",
    "params",
    "tensors",
    "graph",
    "weights",
    "files",
    "source",
    "lineage",
    "environment",
)
_MARKS = {"changed": "~", "added": "+", "removed": "-", "renamed": ">"}
_HASHES = re.compile(r"[0-9a-f]{32}(\.dir)?|[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class _Row:
    """One line: ``kind`` is a key of `_MARKS`; ``a`` and ``b`` are printable texts, empty where there is none."""

    kind: str
    name: str
    a: str = ""
    b: str = ""
    note: str = ""


def table(diff: Diff, width: int = 80, rows: int = TABLE_ROWS) -> str:
    """The differences as plain text, most important first; ends with a newline.

    Args:
        diff: what to show.
        width: columns that no line is wider than; at least 40.
        rows: rows shown of each section.
    """
    lines = [shorten(_title(diff), width)]
    if diff.empty:
        return "\n".join([*lines, "No differences.", ""])
    lines.append(f"Calls for: {diff.bump.level}")
    for reason in diff.bump.reasons:
        lines += _wrap(printable(reason), width)
    lines.append(shorten(_caller(diff), width))
    for title, body in _sections(diff):
        lines += ["", shorten(title, width)]
        shown = body[:rows]
        names = min(max((columns(row.name) for row in shown), default=0), width * 2 // 5)
        lines += [_line(row, names, width) for row in shown]
        if len(body) > rows:
            lines.append(f"  … and {len(body) - rows:,} more")
    return "\n".join([*lines, ""])


def markdown(diff: Diff, max_chars: int = COMMENT_CHARS) -> str:
    """The differences as GitHub-flavoured Markdown, a table a section; ends with a newline.

    Args:
        diff: what to show.
        max_chars: sections show fewer rows until the whole is no longer than this.
    """
    rows = 40
    text = _markdown(diff, rows)
    while len(text) > max_chars and rows > 1:
        rows //= 2
        text = _markdown(diff, rows)
    return text


def _markdown(diff: Diff, rows: int) -> str:
    lines = [f"### {code(_title(diff))}", ""]
    if diff.empty:
        return "\n".join([*lines, "No differences.", ""])
    lines += [f"Calls for: **{diff.bump.level}**", ""]
    lines += [f"- {prose(reason)}" for reason in diff.bump.reasons]
    lines += ["", prose(_caller(diff))]
    for title, body in _sections(diff):
        lines += ["", f"**{prose(title)}**"]
        if not body:
            continue
        lines += ["", "| | name | before | after |", "|---|---|---|---|"]
        lines += [_cells(row) for row in body[:rows]]
        if len(body) > rows:
            lines += ["", f"… and {len(body) - rows:,} more"]
    return "\n".join([*lines, ""])


def _caller(diff: Diff) -> str:
    """Whether code that calls the older side must change, in a line; its reasons stand above, among the bump's."""
    if not diff.caller:
        return "Callers need not change."
    more = f" (and {len(diff.caller) - 1} more)" if len(diff.caller) > 1 else ""
    return f"Callers must change: {printable(diff.caller[0])}{more}"


def _title(diff: Diff) -> str:
    a, b = diff.a, diff.b
    if a is None or b is None:
        side = b or a or {}
        return f"{_side(side)} ({'new' if a is None else 'removed'})"
    same_model = a.get("model") == b.get("model")
    return f"{_side(a)} -> {_side(b, with_model=not same_model)}"


def _side(facts: Mapping[str, Any], with_model: bool = True) -> str:
    model, version, ref = (str(facts.get(key) or "") for key in ("model", "version", "ref"))
    text = f"{model} {version}" if with_model else version
    if ref and ref not in (version, f"{model}@{version}"):
        text = f"{text} ({ref})"
    return printable(text.strip())


def _sections(diff: Diff) -> Iterator[tuple[str, list[_Row]]]:
    """Title and rows of every section that has something to show."""
    plain = any(side and side.get("kind") == "plain" for side in (diff.a, diff.b))
    for name in (*_ORDER, *(name for name in diff.sections if name not in _ORDER)):
        section = diff.sections.get(name)
        if section is None or section.empty:
            continue
        if name == "tensors":
            yield f"Tensors: {_counts(section)}", _tensor_rows(section)
        elif name == "files" and not plain:
            yield f"Files: {_counts(section)}", []  # named by content, so their names tell a reader nothing
        elif name == "lineage":
            rows = [row for row in _rows(section) if not _own_file(row.name, diff)]
            yield "Lineage" if rows else "Lineage: the model's own files only", rows
        elif name == "weights":
            yield "Weights", [row for row in _rows(section) if row.name != "md5"]  # sha256 says it as well
        else:
            yield name.capitalize(), sorted(_rows(section), key=lambda row: row.name != "license")


def _own_file(name: str, diff: Diff) -> bool:
    """Whether a line of the lineage is about a file that modelver makes of the model; other sections tell of those."""
    models = {side["model"] for side in (diff.a, diff.b) if side and side.get("model")}
    return any(f"{kind}.models/{printable(str(model))}/" in name for model in models for kind in ("deps", "outs"))


def _counts(section: Section) -> str:
    numbers = {
        "same": section.same or 0,
        "changed": len(section.changed),
        "renamed": len(section.renamed or ()),
        "added": len(section.added),
        "removed": len(section.removed),
    }
    return ", ".join(f"{count:,} {word}" for word, count in numbers.items() if count)


def _rows(section: Section) -> list[_Row]:
    rows = [_Row("removed", printable(e.name), a=_value(e.name, e.value)) for e in section.removed]
    rows += _renamed(section)
    rows += [_changed(change) for change in section.changed]
    return rows + [_Row("added", printable(e.name), b=_value(e.name, e.value)) for e in section.added]


def _tensor_rows(section: Section) -> list[_Row]:
    rows = [_Row("removed", printable(e.name), a=_value(e.name, e.value)) for e in section.removed]
    rows += [_Row("added", printable(e.name), b=_value(e.name, e.value)) for e in section.added]
    rows += _renamed(section)
    return [_tensor(change) for change in sorted(section.changed, key=_by_movement)] + rows


def _renamed(section: Section) -> list[_Row]:
    return [_Row("renamed", printable(c.a), b=printable(c.b)) for c in section.renamed or ()]


def _changed(change: Change) -> _Row:
    a, b = _value(change.name, change.a), _value(change.name, change.b)
    note = ""
    if "better" in change.detail:
        words = [] if change.detail["delta"] is None else [_signed(change.detail["delta"])]
        if change.detail["better"] is not None:
            words.append("better" if change.detail["better"] else "worse")
        note = ", ".join(words)
    elif more := _hidden_bytes(change):
        note = f"{more:+,} B"
    elif a == b:
        note = "contents differ"
    return _Row("changed", printable(change.name), a, b, note)


def _hidden_bytes(change: Change) -> int:
    """By how many bytes the newer side is larger, where its size reads like the older's; 0 elsewhere."""
    a, b = ((side.get("bytes") if isinstance(side, Mapping) else side) for side in (change.a, change.b))
    sizes = isinstance(change.a, Mapping) or change.name.rpartition(".")[2] == "bytes"
    return b - a if sizes and type(a) is type(b) is int and size(a) == size(b) else 0


def _tensor(change: Change) -> _Row:
    a, b, moved = _value("", change.a), _value("", change.b), change.detail["moved"]
    if a != b:
        return _Row("changed", printable(change.name), a, b)
    if moved is None:
        note = "changed"
    else:
        much = f"{100 * moved:.3g} %" if moved < 10 else f"{moved:,.0f} times its norm"
        note = f"changed by at least {much}" if moved else "changed, same statistics"
    return _Row("changed", printable(change.name), a, a, note)


def _by_movement(change: Change) -> tuple[int, float, str]:
    """Another type or shape first, then what cannot be measured, then what moved most."""
    moved = change.detail["moved"]
    reshaped = change.a["dtype"] != change.b["dtype"] or change.a["shape"] != change.b["shape"]
    return (0 if reshaped else 1 if moved is None else 2, -(moved or 0.0), change.name)


def _value(name: str, value: Any) -> str:
    """A value in few words: known shapes of the sidecar by what a reader looks for, others as JSON."""
    if isinstance(value, Mapping):
        return printable(_mapping(value))
    if isinstance(value, str):
        text = value
        if _HASHES.fullmatch(text):
            text = text[:10]
        return printable(text)
    if name.rpartition(".")[2] == "bytes" and type(value) is int:
        return size(value)
    if isinstance(value, float):
        return number(value)
    return printable(json.dumps(value, ensure_ascii=False))


def _mapping(value: Mapping[str, Any]) -> str:
    if "dtype" in value and "shape" in value:
        return f"{value['dtype'] or '?'} {shape_text(value['shape'])}"
    if "limit" in value and "ok" in value:
        text = "ok" if value["ok"] else "FAILED"
        text += "" if value.get("value") is None else f" {number(value['value'])}"
        return text + ("" if value["limit"] is None else f" (limit {number(value['limit'])})")
    if "ran" in value and "ok" in value:
        verdict = "not run" if not value["ran"] else "ok" if value["ok"] else "FAILED"
        return f"{verdict} {value.get('version') or ''}".strip()
    digest = value.get("md5") or value.get("sha256")
    if isinstance(digest, str):
        length = value.get("bytes")
        return digest[:10] + (f" {size(length)}" if isinstance(length, int) else "")
    return json.dumps(value, ensure_ascii=False, default=str)


def size(count: int) -> str:
    """Bytes as people read them, in binary units: ``1.5 MiB``."""
    amount, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB", "PiB"):
        if amount < 1024:
            break
        amount, unit = amount / 1024, larger
    return f"{count} B" if unit == "B" else f"{amount:.1f} {unit}"


def _signed(delta: float) -> str:
    return ("+" if delta > 0 else "") + number(delta)


def _line(row: _Row, names: int, width: int) -> str:
    """``  ~ name  a -> b  note``, cut so that it fits."""
    head = f"  {_MARKS[row.kind]} {pad(shorten(row.name, names), names)}  "
    note = f"  {row.note}" if row.note else ""
    room = max(width - columns(head) - columns(note), 0)
    if row.a == row.b:
        body = shorten(row.a, room)
    elif row.a and row.b:
        body = _pair(row.a, row.b, room)
    else:
        body = shorten(f"-> {row.b}" if row.kind == "renamed" else row.a or row.b, room)
    return shorten((head + body + note).rstrip(), width)


def _pair(a: str, b: str, room: int) -> str:
    """``a -> b``; where there is no room for both, the longer one gives way first."""
    each = max((room - 4) // 2, 1)
    for_a = max(each, room - 4 - columns(b))
    for_b = max(each, room - 4 - columns(a))
    return f"{shorten(a, for_a)} -> {shorten(b, for_b)}"


def _wrap(text: str, width: int) -> Iterable[str]:
    line = "  -"
    for word in text.split():
        fitting = shorten(word, width - 4)
        if columns(line) + 1 + columns(fitting) > width:
            yield line
            line = "   "
        line = f"{line} {fitting}"
    yield line


_PLAIN_PROSE = re.compile(r"[\w .,:;()'\[\]>=%+/…?-]*")
_LINKS = re.compile(r"://|\bwww\.|\]\(|\]\[|\]:|(?<!\w)_|_(?!\w)", re.IGNORECASE)


def prose(text: str) -> str:
    """A sentence of ours with others' names in it: as it is where nothing in it can be markup, else as code."""
    text = printable(text)
    return text if _PLAIN_PROSE.fullmatch(text) and not _LINKS.search(text) else code(text, 200)


def code(text: str, width: int = 80) -> str:
    """A code span: nothing in it is markup, a mention or a link."""
    text = shorten(printable(text), width).strip() or '""'
    if "`" in text or "|" in text or "\\" in text:
        # These end a span or a table's cell whatever escapes them; entities do not.
        entities = "".join(c if c.isalnum() or c in " .,:;-" else f"&#{ord(c)};" for c in text)
        return f"<code>{entities}</code>"
    return f"`{text}`"


def _cells(row: _Row) -> str:
    before = code(row.a) if row.a else ""
    after = code(row.b) if row.b else ""
    if row.note:
        after = f"{after} ({row.note})" if row.a != row.b else row.note
    return f"| {row.kind} | {code(row.name)} | {before} | {after} |"
