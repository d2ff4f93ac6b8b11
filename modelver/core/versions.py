"""Versions: semantic versions behind a ``v``, and the three schemes that choose the next one.

Source: https://semver.org/spec/v2.0.0.html (precedence: section 11).
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import total_ordering
from typing import Literal, get_args

from modelver.errors import InvalidInput

Scheme = Literal["semver", "sequence", "timestamp"]
SCHEMES: tuple[Scheme, ...] = get_args(Scheme)
Level = Literal["none", "patch", "minor", "major"]
LEVELS: tuple[Level, ...] = get_args(Level)

_VERSION_RE = re.compile(
    r"v?(?P<major>0|[1-9][0-9]*)\.(?P<minor>0|[1-9][0-9]*)\.(?P<patch>0|[1-9][0-9]*)"
    r"(?:-(?P<pre>[0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*))?(?:\+(?P<build>[0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*))?\Z"
)
_MAX_LENGTH = 128


@total_ordering
@dataclass(frozen=True, slots=True)
class Version:
    """A semantic version. Orders by precedence; build metadata does not count in the order.

    Attributes:
        major, minor, patch: the numbers.
        prerelease: dot-separated identifiers behind ``-``; empty for a release.
        build: identifiers behind ``+``.
    """

    major: int
    minor: int
    patch: int
    prerelease: tuple[str, ...] = ()
    build: str = ""

    @classmethod
    def parse(cls, text: str) -> "Version":
        """Parse ``v1.2.3``, ``1.2.3``, ``v2.0.0-rc.1``.

        Raises:
            InvalidInput: not a full semantic version.
        """
        match = _VERSION_RE.match(text) if len(text) <= _MAX_LENGTH else None
        pre = tuple(match["pre"].split(".")) if match and match["pre"] else ()
        if not match or any(p.isdigit() and len(p) > 1 and p[0] == "0" for p in pre):
            raise InvalidInput(
                f"{text[:60]!a} is no version",
                hint="a version is three numbers behind a v, such as v1.2.0",
            )
        return cls(int(match["major"]), int(match["minor"]), int(match["patch"]), pre, match["build"] or "")

    def __str__(self) -> str:
        text = f"v{self.major}.{self.minor}.{self.patch}"
        if self.prerelease:
            text += "-" + ".".join(self.prerelease)
        return text + (f"+{self.build}" if self.build else "")

    def __lt__(self, other: "Version") -> bool:
        return self.precedence < other.precedence

    @property
    def precedence(self) -> tuple[object, ...]:
        """A sort key by semver's section 11: a prerelease before its release, numbers before words."""
        identifiers = tuple((0, int(p), "") if p.isdigit() else (1, 0, p) for p in self.prerelease)
        return (self.major, self.minor, self.patch, not self.prerelease, identifiers)

    def bumped(self, level: Level) -> "Version":
        """The release that a change of ``level`` leads to; from a prerelease, the release that it announces."""
        if self.prerelease:
            return Version(self.major, self.minor, self.patch)
        if level == "major":
            return Version(self.major + 1, 0, 0)
        if level == "minor":
            return Version(self.major, self.minor + 1, 0)
        return Version(self.major, self.minor, self.patch + 1)


def first_version(scheme: Scheme, now: datetime) -> Version:
    """The version of a model that has none: v1.0.0, or the time for the timestamp scheme."""
    return timestamp_version(now) if scheme == "timestamp" else Version(1, 0, 0)


def next_version(scheme: Scheme, previous: Version, level: Level, now: datetime) -> Version:
    """The version that follows ``previous``.

    Args:
        scheme: ``semver`` bumps by ``level``; ``sequence`` counts the major number up; ``timestamp`` takes ``now``,
            or what comes right after ``previous`` where that is no earlier.
        previous: the version before.
        level: the bump that the change calls for.
        now: the current time, with its zone.
    """
    if scheme == "sequence":
        return Version(previous.major + 1, 0, 0)
    if scheme == "timestamp":
        found = timestamp_version(now)
        # two within one second, or a clock that was set back: a version must still come after the one before
        return found if previous < found else Version(previous.major, previous.minor, previous.patch + 1)
    return previous.bumped(level)


def timestamp_version(now: datetime) -> Version:
    """``vYYYYMMDD.HHMMSS.0`` in UTC, as semver's numbers (no leading zeros), so that it sorts by time."""
    utc = now.astimezone(UTC)
    return Version(int(utc.strftime("%Y%m%d")), int(utc.strftime("%H%M%S")), 0)


def parse_scheme(text: object) -> Scheme:
    """Raise InvalidInput unless ``text`` names a scheme."""
    for scheme in SCHEMES:
        if text == scheme:
            return scheme
    raise InvalidInput(
        f"params.yaml: modelver.scheme: {ascii(text)[:60]} is no version scheme",
        hint="one of " + ", ".join(SCHEMES),
    )


def parse_requested(text: str, scheme: Scheme) -> Version:
    """What a user wrote behind ``--version``; the sequence scheme also takes ``v3`` or ``3``.

    Raises:
        InvalidInput: no version, or one with build metadata (two of them would tie in the order).
    """
    if scheme == "sequence" and re.fullmatch(r"v?[1-9][0-9]{0,17}", text):
        return Version(int(text.removeprefix("v")), 0, 0)
    version = Version.parse(text)
    if version.build:
        raise InvalidInput(
            f"version {version} has build metadata, which does not count in the order of versions",
            hint=f"--version {str(version).split('+')[0]}",
        )
    return version


def bump_between(old: Version, new: Version) -> Level:
    """How large the step from ``old`` to ``new`` is."""
    if new.major != old.major:
        return "major"
    if new.minor != old.minor:
        return "minor"
    return "none" if new == old else "patch"


def parse_bump(text: str) -> Level | None:
    """What a user wrote behind ``--bump``; None for ``auto``.

    Raises:
        InvalidInput: none of auto, patch, minor, major.
    """
    if text == "auto":
        return None
    for level in LEVELS:
        if text == level and level != "none":
            return level
    raise InvalidInput(f"--bump {text[:40]!a} is no bump", hint="auto, patch, minor or major")
