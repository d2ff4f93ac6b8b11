"""`modelver push`: the weights to the DVC remote, read back there and hashed, and only then the tags to Git's."""

import shlex
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from modelver.adapters.dvc import DvcCache, DvcRemote
from modelver.adapters.git import GitRepository
from modelver.adapters.git.objects import RefChange, delete_ref
from modelver.adapters.git.publish import (
    MOST_REFS,
    Pushed,
    is_true,
    push_refs,
    remote_refs,
)
from modelver.core.printable import printable
from modelver.core.publish import PushPlan, plan_push, without
from modelver.core.registry import ModelVersion
from modelver.disk import HashCache
from modelver.errors import ExternalFailure, InvalidInput, ModelverError, Refused
from modelver.operations import known_tags
from modelver.operations.findable import refuse_unfindable
from modelver.operations.objects import listings_of
from modelver.operations.plain_lines import plain_lines
from modelver.operations.project import Project
from modelver.operations.promote import published_version
from modelver.operations.push_target import HEADS, VERSION_TAGS, PartlyPushed, Target, push_target, refuse_partly_pushed
from modelver.operations.pushing import pushing
from modelver.operations.remembered import Remembered
from modelver.operations.storing import Storing, Tagged, store, wanted_by
from modelver.operations.tag import TagResult
from modelver.operations.transaction import locked
from modelver.operations.transfer import JOBS, Bars, no_bars
from modelver.operations.unfinished import let_go

Say = Callable[[str], None]

MOST_JOBS = 64
"""More at once than any storage is the faster for."""

_TRIES = 4
"""How often a push is tried that lost to another one which moved other refs than these."""


@dataclass(frozen=True, slots=True)
class Branch:
    """A branch of the Git remote that was moved: its short name, and where from (None: it was made) and to."""

    name: str
    old: str | None
    new: str


@dataclass(frozen=True, slots=True)
class PushResult:
    """What `push` did, or with ``dry_run`` would do.

    Attributes:
        remote: the Git remote, without credentials.
        versions: tags of the versions whose objects were looked after.
        tags: tags that the Git remote got.
        branch: the branch of the Git remote that was moved.
        storing: what went to the DVC remote; None where no version was looked after.
        dry_run: whether nothing was written.
    """

    remote: str
    versions: tuple[str, ...]
    tags: tuple[str, ...]
    branch: Branch | None
    storing: Storing | None
    dry_run: bool

    def to_dict(self) -> dict[str, Any]:
        """The stable JSON form."""
        return {
            "remote": self.remote,
            "versions": list(self.versions),
            "tags": list(self.tags),
            "branch": None if self.branch is None else asdict(self.branch),
            "objects": None if self.storing is None else asdict(self.storing),
            "dry_run": self.dry_run,
        }


def push(
    project: Project,
    refs: Sequence[str] = (),
    *,
    model: str | None = None,
    remote: str | None = None,
    dvc_remote: str | None = None,
    jobs: int = JOBS,
    full: bool = False,
    plain_http: bool = False,
    weights_only: bool = False,
    dry_run: bool = False,
    say: Say = lambda _: None,
    bars: Bars = no_bars,
) -> PushResult:
    """Publish versions.

    Args:
        project: the repository.
        refs: the versions, with what was decided about them; none for all that the Git remote does not have yet, but
            for those of which no pointer says what their weights are.
        model: what a ref without a name means.
        remote: the Git remote; None for the one that HEAD's branch is pushed to.
        dvc_remote: name of the DVC remote; None for the default one.
        jobs: objects on the way at the same time.
        full: read everything back again, also what was read back before.
        plain_http: let bytes and credentials go over the line unencrypted.
        weights_only: pass over what is needed only to make the versions again.
        dry_run: only look.
        say: told of what goes on, a sentence at a time.
        bars: progress.

    Raises:
        NotFound, InvalidInput: a ref names no version, or there is no such remote.
        Refused: the Git remote has another object under a tag's name, weights are nowhere to be found, others would
            not find them, or the line is not encrypted.
        CheckFailed: weights are damaged and nobody has better ones.
        ExternalFailure: Git or a remote failed; no tag is on the Git remote that was not there.

    In one case Refused or CheckFailed come after the tags are out, and the message says so: an object vanishes from the
    DVC remote meanwhile, and the cache lacks it.
    """
    if not 1 <= jobs <= MOST_JOBS:
        raise InvalidInput(f"{jobs} jobs are none that can be done", hint=f"--jobs 1 to --jobs {MOST_JOBS}")
    only = [published_version(project, ref, model) for ref in refs] if refs else None
    target = push_target(project.git, remote, plain_http=plain_http)
    plan, branches = _plan(project, target, only, every=full)
    look: Callable[..., Storing] | None = None
    storing = None
    passed: list[ModelVersion] = []
    if plan.versions:
        project.require_dvc()
        storage = DvcRemote.open(project.root, dvc_remote, plain_http=plain_lines(project.git, plain_http))
        storage.probe()
        cache, memory = DvcCache.find(project.root), Remembered(project.git.state_dir)
        tagged = [Tagged(v.tag, v.model, v.record.commit) for v in plan.versions]
        wanted = wanted_by(
            project.git, tagged, listings_of(cache, lambda: storage),
            lineage=not weights_only, pass_over=only is None, say=say,
        )  # fmt: skip
        passed = [version for version in plan.versions if version.tag in wanted.passed]
        plan = without(plan, passed)
        refuse_unfindable(
            project.git, tagged, wanted, storage, target.remote.name,
            chosen=dvc_remote is not None, plain_http=plain_lines(project.git, plain_http), say=say,
        )  # fmt: skip
        look = partial(
            store, storage, wanted, cache, HashCache(project.git.state_dir), memory,
            jobs=jobs, root=project.root, bars=bars,
        )  # fmt: skip
        storing = look(full=full, dry_run=dry_run, say=say)
    if dry_run:
        branch = _branch_change(project.git, target, plan, branches, say)
        return _result(target, plan, _changes(plan, branch), storing, dry_run=True)
    done = _publish(project, target, only, passed, plan, branches, say)
    known_tags.published(project.git, [(r.name, r.object_id, r.commit) for r in plan.tags], target.remote.shown)
    if look is not None and done:
        _look_again(look, say)
    refuse_partly_pushed(project.git, target, done)
    return _result(target, plan, done, storing, dry_run=False)


def _look_again(look: Callable[..., Storing], say: Say) -> None:
    """Look whether the objects are still there, now that the tags are out.

    A `gc` of somebody else's looks at the tags once more after it has set objects aside, and puts back what they need:
    it either sees these tags, or has set aside before they were out, and that is seen here.
    """
    try:
        again = look()
    except ExternalFailure as error:  # they were right a moment ago, and gc keeps for long what it has set aside
        say(f"warning: the tags are out; to look at their objects once more failed: {error.message}")
        return
    except ModelverError as error:
        raise type(error)(f"the tags are out, and since then: {error.message}", hint=error.hint) from None
    if again.uploaded:
        say(f"note: {again.uploaded} objects were gone from DVC remote {again.remote} meanwhile, and are there again")


def push_new(
    project: Project, made: Sequence[TagResult], *, say: Say = lambda _: None, bars: Bars = no_bars, **options: Any
) -> PushResult:
    """Publish versions that were tagged a moment ago. Where somebody else was faster, those tags are taken back.

    Args:
        project: the repository, opened after the tags were made.
        made: what `tag` gave.
        say, bars, options: as `push`.

    Raises:
        Refused: somebody else has published another version under that name; the tag made here is gone again.
        NotFound, InvalidInput, CheckFailed, ExternalFailure: as `push`; the tags stay here, and the message says so.
    """
    tags = [result.tag for result in made]
    try:
        return push(project, tags, say=say, bars=bars, **options)
    except PartlyPushed:
        raise
    except ModelverError as error:
        lost, target = _take_back(project, made, options, say)
        if lost and target is not None:
            words = (target.remote.shown, *([target.short_branch] if target.branch else []))
            pull = shlex.join(["git", "pull", "--no-rebase", "--tags", *words]) if target.branch else "git fetch"
            theirs = f"somebody else has published {', '.join(lost)} on {target.remote}"
            raise Refused(
                f"{theirs}; the tag that was made here is removed",
                hint=f"{pull} && modelver tag {made[0].model} --push   (once their change and yours are merged)",
            ) from None
        again = shlex.join(["modelver", "push", *tags, *_same_way(options)])
        said = f"{error.message}; {', '.join(tags)} is made here and not pushed"
        raise type(error)(said if not error.hint else f"{said} (then: {again})", hint=error.hint or again) from None
    finally:
        let_go()


def _same_way(options: Mapping[str, Any]) -> list[str]:
    """Of the options of a push those without which another one would go elsewhere."""
    where = ["--dvc-remote", options["dvc_remote"]] if options.get("dvc_remote") else []
    return where + (["--plain-http"] if options.get("plain_http") else [])


def _plan(
    project: Project, target: Target, only: Collection[ModelVersion] | None, *, every: bool
) -> tuple[PushPlan, Mapping[str, str]]:
    """What to publish, and where the remote's branches are."""
    patterns = [*VERSION_TAGS, *([target.branch] if target.branch else [])]
    found = remote_refs(project.root, target.address, patterns)
    tags = {ref.removeprefix("refs/tags/"): object_id for ref, object_id in found.items() if ref[:10] == "refs/tags/"}
    branches = {ref: object_id for ref, object_id in found.items() if ref == target.branch}
    known_tags.overtaken(project.git, project.registry, tags)
    shown = target.remote.shown
    seen = {
        tag: {known.object_id for known in history if known.how == "published" and known.remote == shown}
        for tag, history in known_tags.recall(project.git).items()
    }
    return plan_push(project.registry, tags, shown, only=only, every=every, seen=seen), branches


def _publish(
    project: Project,
    target: Target,
    only: Collection[ModelVersion] | None,
    passed: Collection[ModelVersion],
    plan: PushPlan,
    branches: Mapping[str, str],
    say: Say,
) -> list[RefChange]:
    """Push tags and commit; what was pushed.

    Others push at the same time. Who fails because of them asks anew what is there, and goes on where that does not
    stand against it.
    """
    git = project.git
    wanted = {version.tag for version in plan.versions}
    done: list[RefChange] = []
    changes = _changes(plan, _branch_change(git, target, plan, branches, say))
    tries = 0
    while changes:
        part = changes[:MOST_REFS]
        with pushing(git, [r for c in part if c.ref.startswith(HEADS) for r in target.tracking(c.ref)]):
            pushed = push_refs(project.root, target.remote.name, part)
        for line in pushed.said:
            say(f"git: {printable(line)}")
        before = changes
        if pushed.done:
            done += part
            changes = changes[MOST_REFS:]
            continue
        tries += 1
        contended = any("[remote rejected]" in why and "hook" not in why for why in pushed.rejected.values())
        if contended:
            time.sleep(0.3 * tries)  # another push holds the server's locks
        plan, branches = _plan(project, target, only, every=False)
        plan = without(PushPlan(tuple(v for v in plan.versions if v.tag in wanted), plan.tags), passed)
        changes = _changes(plan, _branch_change(git, target, plan, branches, lambda _: None))
        # an answer that got lost: what is there under our names is ours, or planning would have refused
        done += [c for c in part if c not in changes and (branches.get(c.ref) == c.new or not c.ref.startswith(HEADS))]
        if tries == _TRIES or (changes == before and not contended):
            raise _refused(target, before, pushed)
    return done


def _changes(plan: PushPlan, branch: RefChange | None) -> list[RefChange]:
    tags = [RefChange(f"refs/tags/{record.name}", record.object_id, None) for record in plan.tags]
    return [*([branch] if branch else []), *tags]


def _branch_change(
    git: GitRepository, target: Target, plan: PushPlan, branches: Mapping[str, str], say: Say
) -> RefChange | None:
    """How the branch that HEAD's is published as is to move: forwards only, to the newest of the versions' commits."""
    branch = target.branch
    if branch is None or not plan.versions:
        return None
    there = branches.get(branch)
    short = f"{target.remote}/{target.short_branch}"
    if there is not None and not is_true(git.root, "cat-file", "-e", there):
        say(f"note: {short} has commits that are not here, so it is left as it is")
        return None
    commits = {version.record.commit for version in plan.versions}
    lacking = git.text("rev-list", "--topo-order", "HEAD", *([f"^{there}"] if there else [])).splitlines()
    newest = next((commit for commit in lacking if commit in commits), None)
    if newest is None:
        return None
    if there is not None and not is_true(git.root, "merge-base", "--is-ancestor", there, newest):
        say(f"note: {short} and the branch here have diverged, so it is left as it is; tags carry their own commits")
        return None
    if target.left:
        say(f"note: {short} is left as it is: {target.left}; tags carry their own commits")
        return None
    return RefChange(branch, newest, there)


def _refused(target: Target, changes: Sequence[RefChange], pushed: Pushed) -> ExternalFailure:
    why = next(iter(pushed.rejected.values()), pushed.said[-1] if pushed.said else "no reason was given")
    names = [change.ref.removeprefix("refs/tags/").removeprefix(HEADS) for change in changes]
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ExternalFailure(
        f"{target.remote} did not take {', '.join(names[:3])}{more}: {printable(why)}; nothing was changed there",
        hint="the weights are stored: mend what Git says above, then run the command again",
    )


def _take_back(
    project: Project, made: Sequence[TagResult], options: Mapping[str, Any], say: Say
) -> tuple[list[str], Target | None]:
    """Delete those of the tags made here whose name means another object on the Git remote; their names, and where."""
    lost: list[str] = []
    try:
        target = push_target(project.git, options.get("remote"), plain_http=options.get("plain_http", False))
        there = remote_refs(project.root, target.address, [f"refs/tags/{result.tag}" for result in made])
    except ModelverError as error:
        say(f"warning: what the Git remote has can't be known: {error.message}")
        return lost, None
    with locked(project.git):
        for result in made:
            ref = f"refs/tags/{result.tag}"
            here = project.git.text("for-each-ref", "--format=%(objectname)", "--", ref)
            if result.tag_object and here == result.tag_object and there.get(ref, here) != here:
                delete_ref(project.git, ref, here)
                known_tags.dropped(project.git, result.tag, here)
                lost.append(result.tag)
    return lost, target


def _result(
    target: Target, plan: PushPlan, changes: Sequence[RefChange], storing: Storing | None, *, dry_run: bool
) -> PushResult:
    moved = next((change for change in changes if change.ref.startswith(HEADS)), None)
    return PushResult(
        remote=target.remote.shown,
        versions=tuple(version.tag for version in plan.versions),
        tags=tuple(c.ref.removeprefix("refs/tags/") for c in changes if c.ref.startswith("refs/tags/")),
        branch=None if moved is None else Branch(moved.ref.removeprefix(HEADS), moved.old, moved.new),
        storing=storing,
        dry_run=dry_run,
    )


__all__ = ["Branch", "PushResult", "push", "push_new"]
