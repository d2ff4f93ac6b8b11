"""Text of untrusted origin made safe to show in a terminal, a pull request or a tag's message.

Names of tensors, inputs and files come out of model files. A newline in one could forge a trailer of a tag, an
escape sequence could rewrite a terminal, and a bidi mark could show a reviewer something else than is there.
"""

import unicodedata

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"})


def printable(text: str) -> str:
    """``text`` with control, format (bidi, zero width), surrogate and unassigned characters and odd blanks as escapes.

    Escapes are those of Python's string literals (``\\n``, ``\\x1b``, ``\\u202e``).
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escape(char) for char in text)


def shorten(text: str, width: int) -> str:
    """``text`` cut in its middle to at most ``width`` columns; the cut shows as one ``…``.

    Args:
        text: printable text.
        width: columns of a terminal, at least 1; wide East Asian characters count two.
    """
    # Combining marks take no column, so a pile of them is bounded by its length as well.
    if columns(text) <= width and len(text) <= 2 * width:
        return text
    room = max(width - 1, 0)
    head = _take(text, room - room // 2)
    tail = _take(text[::-1], room // 2)[::-1]
    return f"{head}…{tail}"


def columns(text: str) -> int:
    """Columns of a terminal that ``text`` takes."""
    return len(text) if text.isascii() else sum(_width(char) for char in text)


def pad(text: str, width: int) -> str:
    """``text`` with blanks at its end, up to ``width`` columns."""
    return text + " " * max(width - columns(text), 0)


def _escape(char: str) -> str:
    if char == " " or unicodedata.category(char) not in _HIDDEN:
        return char
    return char.encode("unicode_escape").decode("ascii")


def _width(char: str) -> int:
    if unicodedata.combining(char) or unicodedata.category(char) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1


def _take(text: str, room: int) -> str:
    used, end = 0, 0
    for end, char in enumerate(text[: 2 * room + 1]):
        used += _width(char)
        if used > room or end >= 2 * room:
            return text[:end]
    return text[: end + 1] if text else ""
