"""Names of models, environments and versions, and the tags made of them.

The grammar is GTO's, to the letter (``gto/constants.py``), so that GTO, ``dvc artifacts get`` and CI rules read
the tags; modelver creates a subset of it that is also safe as a folder on every file system.
"""

import re
from dataclasses import dataclass
from typing import Literal

from modelver.core.printable import printable
from modelver.core.versions import Version
from modelver.errors import InvalidInput

NAME = r"[a-zA-Z0-9](?:[a-zA-Z0-9\-/_]*[a-zA-Z0-9])?"
_SEMVER = (
    r"(?:0|[1-9][0-9]*)\.(?:0|[1-9][0-9]*)\.(?:0|[1-9][0-9]*)"
    r"(?:-(?:0|[1-9][0-9]*|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9][0-9]*|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*))*)?"
    r"(?:\+[0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*)?"
)
_NAME_RE = re.compile(rf"{NAME}\Z")
_TAG_RE = re.compile(
    rf"(?P<model>{NAME})(?:@(?P<version>v{_SEMVER})|#(?P<env>{NAME}))(?P<cancel>!?)(?:#(?P<counter>[0-9]{{1,18}}))?\Z"
)

MAX_NAME = 100
"""Longest name in characters: a tag, its lock file and the folder below ``models/`` must fit in 255 bytes."""

_FOLDERS = frozenset({"weights", "variants"})
_DEVICES = frozenset({"con", "prn", "aux", "nul", *(f"{kind}{n}" for kind in ("com", "lpt") for n in range(1, 10))})
_RESERVED_PARTS = _FOLDERS | _DEVICES
_RESERVED_NAMES = frozenset({"head", "fetch_head", "orig_head", "merge_head", "latest", "refs"})
_VERSION_LIKE = re.compile(r"v?[0-9]+\Z", re.IGNORECASE)

NAME_RULE = (
    "ASCII letters, digits, '-', '_' and '/', each part beginning and ending with a letter or a digit, "
    "at most 100 characters"
)


@dataclass(frozen=True, slots=True)
class TagName:
    """A tag's name, taken apart.

    Attributes:
        model: the model's name.
        action: what the tag says: a version registered or yanked, an environment assigned or unassigned.
        version: of ``register`` and ``yank`` tags.
        environment: of ``assign`` and ``unassign`` tags.
        counter: the ``#N`` at the end, if any.
    """

    model: str
    action: Literal["register", "yank", "assign", "unassign"]
    version: Version | None = None
    environment: str | None = None
    counter: int | None = None


def parse_tag(tag: str) -> TagName | None:
    """Take a tag's short name apart; None for a tag that is no version and no assignment."""
    match = _TAG_RE.match(tag)
    if not match:
        return None
    counter = int(match["counter"]) if match["counter"] else None
    if match["version"]:
        action: Literal["register", "yank"] = "yank" if match["cancel"] else "register"
        return TagName(match["model"], action, version=Version.parse(match["version"]), counter=counter)
    return TagName(
        match["model"],
        "unassign" if match["cancel"] else "assign",
        environment=match["env"],
        counter=counter,
    )


def version_tag(model: str, version: Version) -> str:
    """The tag of a model's version, ``NAME@vX.Y.Z``."""
    return f"{model}@{version}"


def check_model_name(name: str) -> str:
    """Return ``name`` if a model may be called so.

    Raises:
        InvalidInput: outside the grammar, too long, or a name that Git, a file system or a ref would take for
            something else (``HEAD``, ``latest``, ``v1``, ``CON``, a part called ``weights``).
    """
    _check_grammar("model", name)
    if name.lower() in _RESERVED_NAMES or _VERSION_LIKE.match(name):
        raise InvalidInput(f"{name!r} can't name a model: as a ref it already means something else")
    return name


def is_model_name(name: str) -> bool:
    """Whether a model may be called so."""
    try:
        check_model_name(name)
    except InvalidInput:
        return False
    return True


def check_environment_name(name: str) -> str:
    """Return ``name`` if an environment may be called so; raises InvalidInput as `check_model_name`."""
    _check_grammar("environment", name)
    return name


def check_case(name: str, existing: list[str]) -> None:
    """Raise InvalidInput if ``name`` differs from an existing model's only by case.

    On a file system that folds case the two would share a folder and a tag file.
    """
    for other in existing:
        if other != name and other.lower() == name.lower():
            raise InvalidInput(
                f"model {name!r} differs only by case from {other!r}, and many file systems can't hold both",
                hint=f"use {other!r}, or another name",
            )


def _check_grammar(what: str, name: str) -> None:
    if not name:
        raise InvalidInput(f"the {what}'s name is empty", hint=f"a name is {NAME_RULE}")
    if len(name) > MAX_NAME or not _NAME_RE.match(name):
        raise InvalidInput(f"{shown(name)} is no {what} name", hint=f"a name is {NAME_RULE}")
    for part in name.split("/"):
        if not part or not part[0].isalnum() or not part[-1].isalnum():
            raise InvalidInput(
                f"{name!r} is no {what} name: the part {part!r} is not allowed", hint=f"a name is {NAME_RULE}"
            )
        if part.lower() in _RESERVED_PARTS:
            owner = "modelver keeps a folder of that name" if part.lower() in _FOLDERS else "it is a device on Windows"
            free = "/".join(f"{p}-{what}" if p.lower() in _RESERVED_PARTS else p for p in name.split("/"))
            raise InvalidInput(f"{name!r} is no {what} name: {part!r} is reserved, {owner}", hint=f"try {free}")


def shown(text: str, limit: int = 60) -> str:
    """Untrusted text made fit for an error message: quoted, what is not printable escaped, cut to ``limit`` characters.

    A backslash and a quote of the text's own are escaped too, so that they can't be taken for ours.
    """
    text = text if len(text) <= limit else text[: limit - 1] + "…"
    return "'" + printable(text.replace("\\", r"\\").replace("'", r"\'")) + "'"
