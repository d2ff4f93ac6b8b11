"""Which version a model's state becomes, and what stands against it. Pure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from modelver.core.registry import ModelVersion
from modelver.core.versions import LEVELS, Level, Scheme, Version, bump_between, first_version, next_version
from modelver.errors import Refused


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asked for.

    Attributes:
        version: behind ``--version``.
        bump: behind ``--bump``; None for ``auto``.
        reason: behind ``--reason``: why a smaller bump than the change calls for is right.
        force_new: a new version although the weights did not change.
    """

    version: Version | None = None
    bump: Level | None = None
    reason: str = ""
    force_new: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """The version chosen.

    Attributes:
        version: the new version.
        previous: the version that it follows; None for the first.
        level: the bump that the change calls for.
        reasons: why, most important first.
        overridden: the user's reason for a smaller bump; empty where there is none.
    """

    version: Version
    previous: Version | None
    level: Level
    reasons: tuple[str, ...]
    overridden: str = ""


def base_version(all_versions: list[ModelVersion], reachable: set[str]) -> ModelVersion | None:
    """The version that a new one follows: the newest whose tag HEAD can reach, else the newest of all.

    So a fix made on top of v1.0.0 becomes v1.0.1 although v2.0.0 exists elsewhere. Prereleases count.
    """
    return next(iter(base_versions(all_versions, reachable)), None)


def base_versions(all_versions: list[ModelVersion], reachable: set[str]) -> list[ModelVersion]:
    """All versions, in the order in which a new one may follow them: `base_version` first."""
    return sorted(all_versions, key=lambda v: v.tag not in reachable)  # stable: they come newest first


def choose_version(
    *,
    model: str,
    scheme: Scheme,
    base: ModelVersion | None,
    taken: Mapping[Version, str] | set[Version],
    level: Level,
    reasons: tuple[str, ...],
    weights_changed: bool,
    proposed: Version | None,
    request: Request,
    now: datetime,
    above: Version | None = None,
) -> Choice:
    """Choose the version.

    Args:
        model: the model's name.
        scheme: how versions are chosen.
        base: the version before.
        taken: every version that exists or existed; with what is to be said of it (``on another commit``).
        level, reasons: the bump that the change since ``base`` calls for.
        weights_changed: whether the weights differ from those of ``base``.
        proposed: the version in the committed sidecar, where that was reviewed and is still right.
        request: what the user asked for.
        now: the current time with its zone; only the timestamp scheme looks at it.
        above: a version newer than ``base`` that can't be compared with, for it was tagged without a record; the new
            one comes after it all the same.

    Raises:
        Refused: nothing changed, the version exists, it is not newer, or the bump is too small.
    """
    if base is None:
        if above is not None and proposed is not None and proposed <= above:
            proposed = None
        following = first_version(scheme, now) if above is None else next_version(scheme, above, "patch", now)
        version = request.version or proposed or following
        _refuse_taken(model, version, taken)
        _refuse_older(model, version, above, "patch")
        return Choice(version, None, "none", ("first version",))
    if not weights_changed and not request.force_new:
        raise Refused(
            f"the weights of {model} have not changed since {base.version}",
            hint=f"modelver tag {model} --force-new   (to make a new version all the same)",
        )
    needed: Level = "patch" if level == "none" else level
    reasons = reasons or (f"nothing changed since {base.version}",)
    last = base.version if above is None else max(above, base.version)
    wanted = request.version or (None if request.bump else _usable(proposed, last, taken))
    if wanted is not None:
        version = wanted
    else:
        version = next_version(scheme, last, request.bump or needed, now)
    _refuse_taken(model, version, taken)
    _refuse_older(model, version, last, needed)
    overridden = ""
    if scheme == "semver" and not _large_enough(last, version, needed):
        if not (request.bump and request.reason):
            raise Refused(
                f"{version} is too small a step from {last}: the change calls for a {needed} bump "
                f"({'; '.join(reasons[:3])})",
                hint=f"modelver tag {model} --bump {needed}   (or keep the smaller one with --bump … --reason '…')",
            )
        overridden = request.reason
    return Choice(version, base.version, needed, reasons, overridden)


def _usable(proposed: Version | None, base: Version, taken: Collection[Version]) -> Version | None:
    return proposed if proposed is not None and proposed > base and proposed not in taken else None


def _large_enough(old: Version, new: Version, needed: Level) -> bool:
    """Whether the step is at least ``needed``. Before v1.0.0 a minor step may break, as semver's section 4 says."""
    step = bump_between(old, new)
    if old.major == 0 and needed == "major":
        needed = "minor"
    if old.prerelease and (new.major, new.minor, new.patch) == (old.major, old.minor, old.patch):
        return True  # rc.1 → rc.2 → release: how far it is from the release before was decided with rc.1
    return LEVELS.index(step) >= LEVELS.index(needed)


def _refuse_older(model: str, version: Version, last: Version | None, needed: Level) -> None:
    if last is not None and version <= last:
        raise Refused(f"{version} is not newer than {last}", hint=f"modelver tag {model} --bump {needed}")


def _refuse_taken(model: str, version: Version, taken: Mapping[Version, str] | set[Version]) -> None:
    if version in taken:
        said = taken.get(version) if isinstance(taken, Mapping) else None
        where = f", {said}" if said else ""
        raise Refused(
            f"{model} {version} exists already{where}",
            hint=f"modelver tag {model} --version vX.Y.Z   (modelver list {model} shows which are taken)",
        )


def tag_message(
    *,
    model: str,
    choice: Choice,
    note: str,
    sidecar_sha256: str,
    weights_sha256: str,
    forced_new: bool,
    gates: Sequence[str] = (),
) -> str:
    """The message of a version's tag: subject, body, and Git trailers.

    Args:
        model: the model's name.
        choice: the version and why.
        note: the user's words; may be empty.
        sidecar_sha256: digest of the sidecar's bytes.
        weights_sha256: digest of the weights, as the sidecar has it.
        forced_new: whether the version was made although the weights did not change.
        gates: what each gate against a baseline compared with what; the baseline moves, so no file records it.
    """
    paragraphs = [f"{model} {choice.version}"]
    if note.strip():
        paragraphs.append(_paragraphs(note))
    why = f"{choice.level} (" + "; ".join(_line(reason) for reason in choice.reasons[:20]) + ")"
    trailers = [
        f"Modelver-Model: {model}",
        f"Modelver-Version: {choice.version}",
        f"Modelver-Sidecar: sha256:{sidecar_sha256}",
        f"Modelver-Weights: sha256:{weights_sha256}",
        f"Modelver-Bump: {why if choice.previous else 'none (first version)'}",
    ]
    if choice.previous:
        trailers.append(f"Modelver-Previous: {choice.previous}")
    if choice.overridden:
        trailers.append(f"Modelver-Override: {_line(choice.overridden)}")
    if forced_new:
        trailers.append("Modelver-Forced: new version of unchanged weights")
    trailers += [f"Modelver-Gate: {_line(gate)}" for gate in gates]
    return "\n\n".join([*paragraphs, "\n".join(trailers)]) + "\n"


def _line(text: str) -> str:
    """One line without control characters: what a model file says may not forge a trailer."""
    return "".join(c if c.isprintable() else " " for c in " ".join(text.split()))


def _paragraphs(text: str) -> str:
    lines = (_line(line) for line in text.strip().splitlines())
    # A blank line ends the trailers' paragraph, so what the user writes can't pass for one of ours. What looks like a
    # signature would end the message for Git, and the trailers with it.
    return "\n".join(f" {line}" if line.startswith("-----BEGIN ") else line for line in lines)
