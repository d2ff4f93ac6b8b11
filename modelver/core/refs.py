"""How a user names a version: ``v1``, ``digits@latest``, ``digits#prod``, any Git revision, or nothing. Pure."""

import difflib
import re
import shlex
from dataclasses import dataclass
from typing import Literal

from modelver.core.names import NAME, shown
from modelver.core.registry import ModelVersion, Registry
from modelver.core.versions import Version
from modelver.errors import InvalidInput, NotFound

_PARTIAL = re.compile(r"v?(?P<major>[0-9]{1,18})(?:\.(?P<minor>[0-9]{1,18}))?\Z")
_FULL = re.compile(r"v?[0-9]+\.[0-9]+\.[0-9]+(?:[-+][0-9A-Za-z.+-]+)?\Z")
_REF = re.compile(rf"(?:(?P<model>{NAME})(?P<sep>[@#]))?(?P<rest>[^\0]*)\Z", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Ref:
    """A ref, taken apart.

    Attributes:
        kind: what sort of ref it is.
        model: named before ``@`` or ``#``; None where the user left it out.
        value: the version, environment or Git revision; empty for ``latest`` and ``worktree``.
        text: as the user wrote it.
    """

    kind: Literal["version", "latest", "environment", "revision", "worktree"]
    model: str | None
    value: str
    text: str

    def keeps(self, version: ModelVersion) -> bool:
        """Whether it goes on meaning this version, which it was resolved to, when the version is yanked."""
        if self.kind == "version":
            return self.value.removeprefix("v") == str(version.version).removeprefix("v")
        return self.kind != "latest"


def parse_ref(text: str | None) -> Ref:
    """Take a ref apart without looking at the repository.

    Raises:
        InvalidInput: a ref that no grammar and no Git revision allows (an option, control characters, too long).
    """
    if text is None:
        return Ref("worktree", None, "", "")
    _check_characters(text)
    match = _REF.match(text)
    model, separator, rest = (match["model"], match["sep"], match["rest"]) if match else (None, None, text)
    if separator == "#":
        return Ref("environment", model, rest, text)
    if rest == "latest":
        return Ref("latest", model, "", text)
    if _PARTIAL.match(rest) or _FULL.match(rest):
        return Ref("version", model, rest, text)
    return Ref("revision", None, text, text)


def resolve_version(ref: Ref, registry: Registry, default_model: str | None) -> ModelVersion | None:
    """The version that a ref names; None for a revision or the working tree, and for digits that match no version
    (``1234567`` may be a commit).

    Args:
        ref: from `parse_ref`.
        registry: all versions.
        default_model: used where the ref names no model; None where there are several.

    Raises:
        InvalidInput: the model was left out and there are several.
        NotFound: no such model, version or environment; the message lists the near ones.
    """
    if ref.kind in ("revision", "worktree"):
        return None
    model = ref.model or default_model
    if model is None:
        names = sorted(registry.models)
        if not names:
            raise NotFound(
                f"no version matches {shown(ref.text)}: the repository has no versions",
                hint="modelver tag NAME",
            )
        raise InvalidInput(
            f"{shown(ref.text)} does not say which model, and there are {len(names)}: {', '.join(names[:8])}",
            hint=f"{names[0]}@{ref.text}",
        )
    if model not in registry.models:
        raise NotFound(
            f"model {model!r} has no versions",
            hint=near(model, list(registry.models)) or f"modelver tag {model}",
        )
    if ref.kind == "latest":
        found = registry.latest(model)
    elif ref.kind == "environment":
        found = registry.environment(model, ref.value) or _decided(f"{model}#{ref.value}", registry, model)
    else:
        found = _match(ref.value, registry.versions(model))
    if found is None and ref.kind == "environment" and "#" in ref.value:
        decisions = [one.record.name for one in registry.assignments(model) if one.version is not None]
        raise NotFound(f"no decision is tagged {shown(ref.text)}", hint=near(f"{model}#{ref.value}", decisions))
    if found is None and ref.kind == "environment":
        dangling = next((one for one in registry.running(model, ref.value) if one.version is None), None)
        if dangling is not None:
            raise NotFound(
                f"{dangling.record.name} has commit {dangling.record.commit[:12]} run in {shown(ref.value)}, and no "
                f"version of {model} that is on that commit is known here",
                hint=f"where it was decided: modelver push {model}@VERSION   (then here: git fetch --tags)",
            )
        raise NotFound(
            f"nothing of {model} runs in {shown(ref.value)}",
            hint=f"modelver promote {model}@latest {shlex.quote(ref.value)}",
        )
    if found is None and ref.kind == "version" and ref.model is None and ref.value.isdigit():
        return None
    if found is None:
        tags = [v.tag for v in registry.versions(model)]
        raise NotFound(f"no version matches {shown(ref.text)}", hint=near(f"{model}@{ref.value}", tags))
    return found


def _decided(tag: str, registry: Registry, model: str) -> ModelVersion | None:
    """What the decision was about whose tag is spelt out: ``digits#prod#3``."""
    return next((one.version for one in registry.assignments(model) if one.record.name == tag), None)


def near(wanted: str, known: list[str], limit: int = 8) -> str:
    """A hint of what there is: all known names where they are few, else those nearest to what was asked for."""
    if not known:
        return ""
    if len(known) <= limit:
        return f"there {'is' if len(known) == 1 else 'are'} {', '.join(known)}"
    close = difflib.get_close_matches(wanted, known[:2000], n=5, cutoff=0.4)
    return f"near: {', '.join(close)}" if close else f"there are {', '.join(known[:limit])} and more"


def _match(text: str, versions: list[ModelVersion]) -> ModelVersion | None:
    if _FULL.match(text):
        wanted = Version.parse(text)
        return next((v for v in versions if v.version == wanted), None)
    match = _PARTIAL.match(text)
    if not match:
        return None
    candidates = [
        v
        for v in versions
        if v.version.major == int(match["major"]) and (match["minor"] is None or v.version.minor == int(match["minor"]))
    ]
    # A prerelease or a withdrawn version is what `v2` means only where nothing better matches.
    candidates.sort(key=lambda v: (not v.version.prerelease, not v.yanked, v.version.precedence), reverse=True)
    return candidates[0] if candidates else None


def _check_characters(text: str) -> None:
    if not text or len(text) > 256 or text.startswith("-") or any(not c.isprintable() for c in text):
        raise InvalidInput(
            f"{shown(text)} is no ref", hint="a ref is v1, NAME@v1.2, NAME@latest, NAME#ENV or a Git revision"
        )
