"""What the pre-push hook does: no version tag goes out whose weights are not on the DVC remote, read back and right.

And no decision that others have overtaken, or whose version they do not have.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from modelver.adapters.dvc import DvcCache, DvcRemote
from modelver.adapters.git import GitRepository
from modelver.core.names import parse_tag
from modelver.core.printable import printable
from modelver.errors import InvalidInput, ModelverError, Refused
from modelver.operations.findable import refuse_unfindable
from modelver.operations.objects import listings_of
from modelver.operations.plain_lines import plain_lines
from modelver.operations.prepush_decisions import refuse_decisions
from modelver.operations.remembered import Remembered
from modelver.operations.storing import Tagged, wanted_by
from modelver.operations.transfer import Bars, check_remote, no_bars


@dataclass(frozen=True, slots=True)
class Stopped:
    """What the hook found.

    Attributes:
        problems: message and hint of each version that must not go out.
    """

    problems: tuple[tuple[str, str], ...] = ()

    @property
    def hook_status(self) -> int:
        """The hook's exit status: 1 stops the push."""
        return 1 if self.problems else 0

    def messages(self) -> list[tuple[str, str, str]]:
        """Level, message and hint, for the user."""
        return [("error", message, hint) for message, hint in self.problems]


def pre_push(git: GitRepository, lines: bytes, remote: str, *, bars: Bars = no_bars) -> Stopped:
    """Look whether the weights of the version tags that are about to be pushed are on the DVC remote, and right.

    Args:
        git: the repository.
        lines: what Git gives the hook: ``<local ref> <object> <remote ref> <object>``, a line each.
        remote: the Git remote: its name, or URL where it has none.
        bars: progress.

    Raises:
        InvalidInput: those are no such lines.
        ExternalFailure: the Git remote or the DVC remote can't be asked.
    """
    pushed = _pushed(lines)
    objection = refuse_decisions(git, pushed, remote)
    problems = [] if objection is None else [objection]
    versions = _versions(git, pushed)
    if not versions:
        return Stopped(tuple(problems))
    memory = Remembered(git.state_dir)
    cache = DvcCache.find(git.root)
    opened: list[DvcRemote] = []

    def storage() -> DvcRemote:
        if not opened:
            found = DvcRemote.open(git.root, plain_http=plain_lines(git))
            found.probe()
            opened.append(found)
        return opened[0]

    for version in versions:
        hint = f"modelver push {version.tag}"
        try:
            wanted = wanted_by(git, [version], listings_of(cache, storage), lineage=False)
        except ModelverError as error:
            if error.exit_code == 3:
                raise
            problems.append((error.message, error.hint or hint))
            continue
        if not wanted.needed:
            continue
        try:
            refuse_unfindable(git, [version], wanted, storage(), remote, plain_http=plain_lines(git))
        except Refused as error:
            problems.append((error.message, error.hint))
            continue
        findings = check_remote(storage(), wanted.needed, memory, bars=bars)
        bad = [finding for finding in findings if finding.state != "right"]
        if bad:
            first = f"{printable(bad[0].needed.what)} ({bad[0].needed.md5}): {bad[0].why}"
            problems.append(
                (
                    f"{version.tag} is not pushed: {len(bad)} of its {len(findings)} objects are missing or wrong on "
                    f"DVC remote {storage().name}: {first}",
                    hint,
                )
            )
    return Stopped(tuple(problems))


def _pushed(lines: bytes) -> list[tuple[str, str]]:
    """The refs of the remote that shall name something, and the objects."""
    found = []
    for line in lines.decode("utf-8", "surrogateescape").splitlines():
        words = line.rsplit(" ", 3)  # a local ref like HEAD~1 or :/text may hold blanks
        if len(words) != 4:
            raise InvalidInput("pre-push takes lines of four words on standard input", hint="git push --dry-run")
        _, object_id, ref, _ = words
        if object_id.strip("0"):
            found.append((ref, object_id))
    return found


def _versions(git: GitRepository, pushed: Sequence[tuple[str, str]]) -> list[Tagged]:
    found = []
    for ref, object_id in pushed:
        parsed = parse_tag(ref.removeprefix("refs/tags/")) if ref.startswith("refs/tags/") else None
        commit = git.rev_parse(object_id) if parsed is not None and parsed.action == "register" else None
        if parsed is not None and commit is not None:
            found.append(Tagged(ref.removeprefix("refs/tags/"), parsed.model, commit))
    return found
