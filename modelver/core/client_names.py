"""Names out of model files as identifiers: letters, digits and underscores of ASCII, whatever the model calls them.

Text of a model's never becomes code: names become identifiers here, and everything else stands in generated code as
a string literal whose quotes, backslashes and characters beyond ASCII are escapes.
"""

import json
import keyword
import re
from collections.abc import Iterable

from modelver.core.printable import printable, shorten

_OWN = """
    np npt numpy any path dataclass onnxruntime ort runtime session self inputs outputs model labels load run feeds
    importlib collections values annotations math
"""
"""What the generated modules use themselves."""

_SCRIPT = """
    abstract arguments bigint boolean catch const constructor debugger default delete do enum eval export extends
    false final function implements instanceof interface let new null number object package private protected
    prototype public readonly static string super switch symbol this throw true typeof undefined unknown var void
    proto hasownproperty tostring valueof
"""
"""JavaScript's and TypeScript's words."""

_RESERVED = frozenset({*keyword.kwlist, *keyword.softkwlist, *_OWN.split(), *_SCRIPT.split()})

MAX_LENGTH = 60


def identifier(name: str) -> str:
    """``name`` in small letters with underscores, an identifier of Python and TypeScript and a word of neither."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name[:200])
    text = re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")[:MAX_LENGTH].strip("_")
    text = "".join(c for c in text if c.isascii())
    if not text:
        text = "value"
    if text[0].isdigit():
        text = f"n{text}"
    return f"{text}_" if text in _RESERVED else text


def identifiers(names: Iterable[str]) -> dict[str, str]:
    """Name → identifier, each of its own: the second of two that would be equal gets a number."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        base = text = identifier(name)
        number = 2
        while text in taken:
            text = f"{base.rstrip('_')}_{number}"
            number += 1
        taken.add(text)
        found[name] = text
    return found


def literal(text: str) -> str:
    """A string literal that Python and JavaScript read alike, in ASCII (JSON's)."""
    # A lone surrogate is no text in either; JSON's escape of it is read back as it was.
    return json.dumps(text)


def remark(text: str, width: int = 200) -> str:
    """``text`` for a docstring or a comment: one line of printable ASCII that ends neither."""
    line = shorten(printable(" ".join(text.split())), width).encode("ascii", "backslashreplace").decode()
    return line.replace("\\", "/").replace('"', "'").replace("*/", "* /").replace("`", "'")
