"""The model card ``models/NAME/README.md``: Markdown with YAML front matter, as on Hugging Face.

Parsing YAML is an adapter's work: `split` hands out the front matter's text, `facts` takes what was parsed.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from modelver.errors import InvalidInput

MAX_CARD = 4 << 20
"""Characters accepted in a card."""

PLACEHOLDER = "[More Information Needed]"
"""What Hugging Face's card template writes where nobody has written anything; read as absent."""

_ABSENT = re.compile(r"\[?\s*(more information needed|todo|tbd|n/?a|none|your .* here)\s*\]?\.?", re.IGNORECASE)
_USES = ("intended use", "intended uses", "intended uses & limitations", "intended uses and limitations")
_LIMITS = ("limitations", "known limitations", "limitations and bias", "limitations and biases")
_RISKS = ("bias, risks, and limitations", "bias, risks and limitations", "risks, limitations and biases")
_DESCRIPTIONS = ("model description", "description", "model details", "model summary", "overview")


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What the sidecar takes over from the card; None where the card does not say."""

    description: str | None = None
    owner: str | None = None
    license: str | None = None
    intended_use: str | None = None
    limitations: str | None = None


def split(text: str, where: str = "README.md") -> tuple[str, str]:
    """Front matter (without its ``---`` lines; empty where there is none) and body.

    Raises:
        InvalidInput: the front matter has no end, or the card is longer than `MAX_CARD` characters.
    """
    if len(text) > MAX_CARD:
        raise InvalidInput(f"{where}: longer than {MAX_CARD} characters, too long for a model card")
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    lines = text.split("\n")
    if lines[0].rstrip() != "---":
        return "", text
    for number, line in enumerate(lines[1:], start=1):
        if line.rstrip() in ("---", "..."):
            return "\n".join([*lines[1:number], ""]), "\n".join(lines[number + 1 :])
    raise InvalidInput(f"{where}: the front matter has no end", "close it with a line that holds only ---")


def facts(front: Mapping[str, object] | None, body: str, where: str = "README.md") -> CardFacts:
    """What the card says, from its front matter and else from the paragraphs below the usual headings.

    Args:
        front: the parsed front matter; None or empty where there is none.
        body: the card's Markdown.
        where: the file's name, for messages.

    Raises:
        InvalidInput: a field of the front matter holds something other than text (``license: NO`` is a boolean).
    """
    front = front or {}
    sections = _sections(body)
    licence = _field(front, ("license",), where)
    if licence in (None, "other"):  # Hugging Face names what it has no id for in license_name
        licence = _field(front, ("license_name",), where) or licence
    return CardFacts(
        description=_field(front, ("description", "model_description", "model_summary"), where)
        or _paragraph(sections, _DESCRIPTIONS),
        owner=_field(front, ("owner", "model_owner", "developers", "developed_by"), where)
        or _bullet(sections, ("developed by", "model owner", "owner")),
        license=licence or _bullet(sections, ("license", "licence")),
        intended_use=_field(front, ("intended_use", "intended_uses"), where)
        or _paragraph(sections, (*_USES, "uses", "direct use")),
        limitations=_field(front, ("limitations",), where) or _paragraph(sections, (*_LIMITS, *_RISKS)),
    )


def template(name: str, *, description: str = "", license: str = "", owner: str = "") -> str:
    """A card to start from; what nobody has written yet reads as absent in `facts`."""
    front = {"license": license, "owner": owner, "description": description}
    # A JSON string is a YAML string whatever it holds; an empty value is YAML's null.
    head = "".join(
        f"{key}: {json.dumps(value, ensure_ascii=False) if value else ''}".rstrip() + "\n"
        for key, value in front.items()
    )
    parts = (
        ("Intended use", "What the model is for, who should use it, and what it must not be used for."),
        ("Limitations", "Where it is wrong or unfair, and on what data it was never tried."),
        ("Training data", "Where the data comes from and what may be done with it."),
    )
    body = "".join(f"## {title}\n\n<!-- {advice} -->\n\n{PLACEHOLDER}\n\n" for title, advice in parts)
    return f"---\n{head}---\n\n# {name}\n\n{body.rstrip()}\n"


def _field(front: Mapping[str, object], keys: Iterable[str], where: str) -> str | None:
    for key in keys:
        value = front.get(key)
        if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
            # Several licences without a word between them: all of them have to be kept to.
            value = (" AND " if key == "license" else ", ").join(value)
        if value is not None and not isinstance(value, str):
            raise InvalidInput(
                f"{where}: {key}: expected text, found {type(value).__name__} {value!r:.40}",
                f'write it in quotes: {key}: "…"',
            )
        if value and _said(value):
            return value.strip()
    return None


def _said(text: str) -> bool:
    return bool(text.strip()) and not _ABSENT.fullmatch(text.strip())


def _sections(body: str) -> dict[str, list[str]]:
    """Lines directly below each heading, by the heading's bare lower-case text; the first of a name counts."""
    found: dict[str, list[str]] = {}
    current: list[str] = []
    fence = ""
    for line in _without_comments(body).split("\n"):
        mark = re.match(r" {0,3}(```+|~~~+)", line)
        if mark and (not fence or line.strip().startswith(fence)):
            fence = "" if fence else mark[1]
        heading = None if fence else re.match(r" {0,3}#{1,6}\s+(.*)$", line)
        if heading:
            current = []
            found.setdefault(_bare(heading[1]), current)
        else:
            current.append(line)
    return found


def _without_comments(body: str) -> str:
    """``body`` without HTML comments; an unclosed one runs to the end, as in a browser."""
    kept, rest = [], body
    while rest:
        before, opened, after = rest.partition("<!--")
        kept.append(before)
        rest = after.partition("-->")[2] if opened else ""
    return "".join(kept)


def _bare(heading: str) -> str:
    text = re.sub(r"[^\w\s,&/()-]", "", heading.strip().rstrip("#"))
    text = text.replace("(s)", "s")
    return " ".join(text.lower().split())


def _paragraph(sections: Mapping[str, list[str]], names: Iterable[str]) -> str | None:
    for name in names:
        for paragraph in "\n".join(sections.get(name, [])).split("\n\n"):
            text = " ".join(paragraph.split())
            if text.startswith(("- **", "* **")):
                break  # a list of facts, as below "Model Description" in Hugging Face's template
            if _said(text):
                return text
    return None


def _bullet(sections: Mapping[str, list[str]], names: Iterable[str]) -> str | None:
    wanted = tuple(names)
    for lines in (sections.get("model description", []), sections.get("model details", [])):
        for line in lines:
            match = re.match(r"\s*[-*]\s+\*\*([^*:]+?)(?:\s*\[optional\])?:?\*\*:?\s*(.*)$", line)
            if match and match[1].strip().lower() in wanted and _said(match[2]):
                return match[2].strip()
    return None
