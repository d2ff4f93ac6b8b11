"""The refs of tags: what they name here and on the Git remote, and what is remembered of them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from modelver.adapters.git import GitRepository
from modelver.core.environments import in_force as decisions_in_force
from modelver.core.names import TagName, parse_tag
from modelver.core.tag_memory import Elsewhere, Known, expected, in_force, judge_ref, was_dropped
from modelver.core.verify import Problem, TagObject, quoted
from modelver.operations import known_tags
from modelver.operations.policy import policies
from modelver.operations.project import Project


@dataclass(frozen=True, slots=True)
class TagRef:
    """What a ref below ``refs/tags`` names.

    Attributes:
        object_id: the object.
        kind: its type; ``tag`` for an annotated tag.
        commit: what an annotated tag points at; the object itself otherwise.
    """

    object_id: str
    kind: str
    commit: str


@dataclass
class TagRefs:
    """All tags that modelver or GTO could have made, here, remembered, and on the remote.

    Attributes:
        git: the repository.
        here: by short name.
        known: what is remembered, by short name.
        remote: the Git remote that was asked; None where none was.
        there: what it has.
        parsed: every name of the three, taken apart.
    """

    git: GitRepository
    here: dict[str, TagRef]
    known: dict[str, list[Known]]
    remote: str | None = None
    there: dict[str, str] = field(default_factory=dict)
    parsed: dict[str, TagName] = field(default_factory=dict)

    def judge(self, name: str) -> list[Problem]:
        """Whether a tag was moved or deleted, and is an annotated one."""
        ref, history = self.here.get(name), self.known.get(name, [])
        elsewhere = None if self.remote is None else Elsewhere(self.remote, self.there.get(name))
        ought = expected(history)
        here = None if ref is None else ref.object_id
        stored = ought is not None and ought.object_id != here and self._stored(ought.object_id)
        problems = judge_ref(name, here, history, elsewhere, stored=stored)
        if ref is not None and ref.kind != "tag":
            problems.append(
                Problem("tag", name, f"it is a lightweight tag of {ref.object_id}, which says nothing of what it is")
            )
        return problems

    def worth_noting(self, names: Iterable[str]) -> list[Known]:
        """What is to be remembered of tags that were verified, and are not known to name something else."""
        new = []
        for name in names:
            ref, history = self.here.get(name), self.known.get(name, [])
            if ref is None or ref.kind != "tag" or any(p.kind in ("moved", "deleted") for p in self.judge(name)):
                continue
            kept = in_force(history)
            if self.remote is not None and self.there.get(name) == ref.object_id:
                if not any(k.how == "published" and k.remote == self.remote for k in kept):
                    new.append(Known(name, ref.object_id, ref.commit, "published", self.remote))
            elif not kept and not was_dropped(history, ref.object_id):
                new.append(Known(name, ref.object_id, ref.commit, "seen"))
        return new

    def notes(self, model: str | None) -> list[str]:
        """What a user should know of the remote."""
        if self.remote is None:
            return []
        mine = {name for name, parsed in self.parsed.items() if model in (None, parsed.model)}
        missing = sorted(name for name in self.there if name in mine and name not in self.here)
        if not missing:
            return []
        names = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        return [f"{self.remote} has {names}, not looked at since not here: git fetch {self.remote} --tags"]

    def _stored(self, object_id: str) -> bool:
        return self.git.rev_parse(object_id) is not None


def tag_refs(git: GitRepository, ask_remote: bool, *, plain_http: bool = False) -> TagRefs:
    """Read the refs; with ``ask_remote`` those of the default Git remote too, where there is one.

    Raises:
        Refused: the line to the remote is not encrypted, and ``plain_http`` does not allow that.
        ExternalFailure: the remote can't be reached.
    """
    here: dict[str, TagRef] = {}
    parsed: dict[str, TagName] = {}
    form = "--format=%(refname:strip=2)%00%(objectname)%00%(objecttype)%00%(*objectname)"
    for line in git.text("for-each-ref", form, "--", "refs/tags").splitlines():
        name, object_id, kind, commit = line.split("\0")
        if _note(parsed, name):
            here[name] = TagRef(object_id, kind, commit or object_id)
    known = {name: history for name, history in known_tags.recall(git).items() if _note(parsed, name)}
    refs = TagRefs(git, here, known, parsed=parsed)
    remote = git.default_remote() if ask_remote else None
    if remote is not None:
        refs.remote = remote.shown
        there = git.remote_tags(remote, "*", plain_http=plain_http)
        refs.there = {name: ident for name, ident in there.items() if _note(parsed, name)}
    return refs


def _note(parsed: dict[str, TagName], name: str) -> bool:
    """Take a name apart; whether modelver reads it. GTO's ``NAME@vX.Y.Z#N`` it passes over, as the registry does."""
    found = parse_tag(name)
    if found is None or (found.version is not None and found.counter is not None):
        return False
    parsed[name] = found
    return True


def judge_decision(name: str, parsed: TagName, found: TagObject, versions: Mapping[str, str]) -> list[Problem]:
    """Whether the tag object of a promotion, rollback or yank says what its name says.

    Args:
        name: the tag's.
        parsed: the same, taken apart.
        found: the object.
        versions: this model's, by commit.
    """
    problems = []
    if found.name != name:
        problems.append(
            Problem(
                "tag", name, f"the tag object calls itself {quoted(found.name)}: the ref was made to name another tag"
            )
        )
    said = found.trailers
    version = str(parsed.version) if parsed.version is not None else versions.get(found.target)
    for key, wanted in (("Model", parsed.model), ("Environment", parsed.environment), ("Version", version)):
        value = said.get(f"Modelver-{key}")
        if value is not None and value != wanted:
            truth = f"it is {wanted}" if wanted is not None else "the commit that it points at is no version"
            problems.append(Problem("tag", name, f"its message says Modelver-{key}: {quoted(value)}, and {truth}"))
    return problems


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whose signature a decision's tag must bear.

    Attributes:
        signers: one of each of these, a list from each policy that names any.
        mend: the command that decides anew what is so by it; empty where there is none.
    """

    signers: tuple[tuple[str, ...], ...]
    mend: str


def signers_wanted(project: Project, model: str | None) -> dict[str, Wanted]:
    """Decision tags that must be signed by somebody whom a policy names: tag → signers.

    Those are what is in force. What was decided before ``signers`` was set, and holds no more, is history.

    Raises:
        InvalidInput: a ``params.yaml`` can't be read.
    """
    known = policies(project)
    wanted: dict[str, Wanted] = {}
    for name in sorted({name for policy in known for name, one in policy.declared.items() if one.signers}):
        declared = [policy.declared[name] for policy in known if name in policy.declared]
        signers = tuple(dict.fromkeys(one.signers for one in declared if one.signers))
        reason = " --reason '…'" if any(one.protected for one in declared) else ""
        for owner in sorted({one.model for one in project.registry.assignments(model, name)}):
            running = project.registry.environment(owner, name)
            mend = f"modelver promote {running.tag} {name} --sign{reason}" if running is not None else ""
            for one in decisions_in_force(project.registry, owner, name):
                wanted[one.record.name] = Wanted(signers, mend)
    return wanted
