"""How strict a licence is, so that a version whose licence tightens is a breaking one.

The ids are those of SPDX and of Hugging Face's model cards, in any case. This is a coarse order for a version
number, not legal advice: within one class nothing is said about which licence asks for more.
"""

import re
from enum import IntEnum

MAX_LENGTH = 500
"""Characters looked at; a longer one is a licence's text and no id, and patterns would take long on it."""


class Strictness(IntEnum):
    """Classes of licences; a greater value leaves users fewer freedoms."""

    PUBLIC_DOMAIN = 0
    PERMISSIVE = 1
    WEAK_COPYLEFT = 2
    STRONG_COPYLEFT = 3
    NETWORK_COPYLEFT = 4
    RESTRICTED = 5
    UNKNOWN = 6


# The first pattern that matches the whole id decides, so restrictions (nc, nd, rail) stand above the families.
_CLASSES: tuple[tuple[Strictness, str], ...] = (
    (Strictness.RESTRICTED, r"cc-by(-[a-z]+)*-(nc|nd)(-[a-z]+)*(-[0-9.]+)?(-[a-z]+)?"),
    (Strictness.RESTRICTED, r".*\b(open)?rail(\+\+|-.*)?|.*non-?commercial.*|.*research.*"),
    (Strictness.RESTRICTED, r"(llama|gemma|qwen|grok|deepfloyd|falcon|stable|stabilityai|apple|jamba|c-uda|health).*"),
    (Strictness.RESTRICTED, r"(busl|sspl|elastic|polyform|fair-).*|intel-research|h-research"),
    (Strictness.PUBLIC_DOMAIN, r"cc0(-1\.0)?|unlicense|wtfpl|pddl(-1\.0)?|0bsd|mit-0|cc-pddc|blessing|public-domain"),
    (Strictness.NETWORK_COPYLEFT, r"agpl.*|osl.*|eupl.*|rpl-.*|cpal.*"),
    (Strictness.WEAK_COPYLEFT, r"lgpl.*|mpl.*|epl.*|cddl.*|ms-rl|ecos-2\.0|apsl.*|artistic-1.*|cecill-c|lppl.*"),
    (Strictness.STRONG_COPYLEFT, r"gpl.*|gfdl.*|cc-by-sa.*|cdla-sharing.*|odbl.*|cecill(-[0-9.]+)?"),
    (
        Strictness.PERMISSIVE,
        r"mit|mit-.*|apache(-.*)?|bsd(-.*)?|isc|zlib|ncsa|postgresql|bsl-1\.0|afl-.*|artistic-2\.0|ecl-.*|ms-pl|ofl-.*"
        r"|cc-by(-[0-9.]+)?(-[a-z]+)?|cdla-permissive.*|odc-by(-.*)?|etalab-.*|openmdw(-.*)?|open-mdw|unicode.*|python-.*"
        r"|psf-.*|x11|curl|upl-1\.0|blueoak-.*|mulanpsl-.*|cecill-b|hpnd|fsfap|ntp|w3c.*|vim|boost",
    ),
)
_TOKEN = re.compile(r"\(|\)|[^\s()]+")


def strictness(licence: str | None) -> Strictness:
    """The class of a licence id or SPDX expression.

    Of ``A OR B`` a user picks the freer, of ``A AND B`` the stricter holds; ``WITH`` an exception is not looked at.
    No licence at all is UNKNOWN: nothing is granted.
    """
    if licence is None or not licence.strip() or len(licence) > MAX_LENGTH:
        return Strictness.UNKNOWN
    tokens = _TOKEN.findall(licence)
    if any(token.upper() in ("AND", "OR", "WITH") for token in tokens):
        return _expression(tokens)
    return _one("-".join(licence.strip().lower().split()))


def tightens(old: str | None, new: str | None) -> bool:
    """Whether a user of ``old`` has fewer freedoms under ``new``, as far as the classes can tell."""
    return strictness(new) > strictness(old)


def _expression(tokens: list[str]) -> Strictness:
    """Read with two stacks (AND binds tighter than OR), so that nesting cannot exhaust Python's own."""
    frames: list[tuple[list[Strictness], bool]] = []
    options: list[Strictness] = []  # what stands between ORs at this level
    joined, skip = False, False  # AND seen: the next one joins the last; WITH seen: the next one is an exception
    for part in tokens:
        word = part.upper()
        if skip:
            skip = False
        elif word == "WITH":
            skip = True
        elif word == "AND":
            joined = True
        elif word == "OR":
            joined = False
        elif part == "(":
            frames.append((options, joined))
            options, joined = [], False
        elif part == ")" and frames:
            value = min(options, default=Strictness.UNKNOWN)
            options, joined = frames.pop()
            _add(options, value, joined)
            joined = False
        elif part != ")":
            _add(options, _one(part.lower()), joined)
            joined = False
    return Strictness.UNKNOWN if frames else min(options, default=Strictness.UNKNOWN)


def _add(options: list[Strictness], value: Strictness, joined: bool) -> None:
    if joined and options:
        options[-1] = max(options[-1], value)
    else:
        options.append(value)


def _one(name: str) -> Strictness:
    bare = re.sub(r"(-only|-or-later|\+)$", "", name) if not name.endswith("++") else name
    for rank, pattern in _CLASSES:
        if re.fullmatch(pattern, bare):
            return rank
    return Strictness.UNKNOWN
