"""`modelver verify`: is every version still what was published, and could it be restored?"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from modelver.adapters.git.signature import Signature, signature_of
from modelver.adapters.git.sound import SoundCommit
from modelver.core.names import TagName, check_model_name, shown
from modelver.core.refs import near
from modelver.core.registry import ModelVersion
from modelver.core.tag_memory import Known, expected
from modelver.core.verify import Problem, TagObject, judge_signature, judge_signers, parse_tag_object
from modelver.errors import CheckFailed, InvalidInput, NotFound
from modelver.operations import known_tags
from modelver.operations.objects import listings_of, version_objects
from modelver.operations.project import Project
from modelver.operations.promote import published_version
from modelver.operations.transfer import Bars, no_bars
from modelver.operations.verify_files import Files, judge_files
from modelver.operations.verify_places import Storages
from modelver.operations.verify_tags import TagRef, TagRefs, judge_decision, signers_wanted, tag_refs
from modelver.operations.verify_weights import LocalObjects, judge_local


@dataclass(frozen=True)
class VerifyRequest:
    """What shall be verified, and how.

    Attributes:
        ref: one version; None for all.
        model: what a ref without a name means; with no ref, only this model.
        remote: ask the DVC remote and the Git remote too.
        full: hash and read everything anew; trust nothing that is remembered.
        dvc_remote: the DVC remote; None for the default one.
        plain_http: as `DvcRemote.open`.
        signers: allowed signers in SSH's form: each version must be signed by one of them.
        require_signature: each version must be signed by a key that this machine knows.
        allow_partial: versions that were tagged without modelver are not wrong for that alone.
        weights_signature, public_key: an OpenSSF signature of the weights of ``ref``, and the key that it must be by.
    """

    ref: str | None = None
    model: str | None = None
    remote: bool = False
    full: bool = False
    dvc_remote: str | None = None
    plain_http: bool = False
    signers: Path | None = None
    require_signature: bool = False
    allow_partial: bool = False
    weights_signature: Path | None = None
    public_key: Path | None = None


@dataclass(frozen=True)
class Verdict:
    """What was found of one tag.

    Attributes:
        tag: its short name.
        model, version: what the name says; no version for a decision about an environment.
        object_id, commit: what it names; None where it is gone.
        signature: the state of its signature, and whose it is; None where it is gone.
        checked: how many objects were looked at, ``local`` and ``remote``.
        problems: what is wrong.
        notes: what could not be looked at, and other things that are not wrong.
    """

    tag: str
    model: str
    version: str | None
    object_id: str | None
    commit: str | None
    signature: Signature | None = None
    checked: Mapping[str, int] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """The stable JSON form."""
        signed = self.signature
        return {
            "tag": self.tag,
            "model": self.model,
            "version": self.version,
            "object": self.object_id,
            "commit": self.commit,
            "ok": self.ok,
            "signature": None if signed is None else {"state": signed.state, "signers": list(signed.names)},
            "checked": dict(self.checked),
            "problems": [problem.to_dict() for problem in self.problems],
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class VerifyReport:
    """What was found of all.

    Attributes:
        versions: a verdict for each version.
        decisions: one for each tag of a promotion, rollback or yank.
        notes: what concerns no single tag.
    """

    versions: tuple[Verdict, ...]
    decisions: tuple[Verdict, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return all(verdict.ok for verdict in (*self.versions, *self.decisions))

    def to_dict(self) -> dict[str, Any]:
        """The stable JSON form."""
        return {
            "ok": self.ok,
            "versions": [verdict.to_dict() for verdict in self.versions],
            "decisions": [verdict.to_dict() for verdict in self.decisions],
            "notes": list(self.notes),
        }


def verify(project: Project, request: VerifyRequest, *, bars: Bars = no_bars) -> VerifyReport:
    """Judge one version, or all.

    Nothing is changed but modelver's own state folder: the digests that were found, and the tags that were seen.

    Args:
        project: the repository.
        request: what and how.
        bars: makes a progress bar.

    Raises:
        NotFound, InvalidInput: there is no such version.
        Refused: there is no such DVC remote, or the clone is shallow and has no tags.
        ExternalFailure: a remote can't be reached, or Git failed.
    """
    if request.signers is not None:
        if not request.signers.is_file():
            raise InvalidInput(f"{request.signers} is no file", hint="man ssh-keygen, ALLOWED SIGNERS, shows its form")
        request = replace(request, signers=request.signers.resolve())  # Git runs at the top of the working tree
    if (request.weights_signature is None) is not (request.public_key is None):
        raise InvalidInput("a signature of weights and its public key go together")
    if request.weights_signature is not None and request.ref is None:
        raise InvalidInput("a signature is of one version: which?", hint="modelver verify NAME@v1.2.0 …")
    refs = tag_refs(project.git, request.remote, plain_http=request.plain_http)
    names = _pick(project, refs, request)
    remote = None
    if request.remote:
        remote = Storages(project, request.dvc_remote, full=request.full, plain_http=request.plain_http, bars=bars)
    with bars(f"verifying {len(names)} tags", 0) as tick:
        job = _Job(project, request, refs, LocalObjects(project, full=request.full, tick=tick), remote)
        verdicts = []
        for name in names:
            verdicts.append(job.judge(name))
            tick(0)  # shows that it goes on, where nothing had to be hashed
    if remote is not None:
        remote.refuse_unasked()
    known_tags.remember(project.git, refs.worth_noting([v.tag for v in verdicts if _as_made(v)]))
    versions = tuple(v for v in verdicts if refs.parsed[v.tag].action == "register")
    decisions = tuple(v for v in verdicts if refs.parsed[v.tag].action != "register")
    return VerifyReport(versions, decisions, tuple(refs.notes(request.model) if request.ref is None else ()))


def _as_made(verdict: Verdict) -> bool:
    """Whether what the tag says is right, wherever its weights are: only such a tag is worth remembering."""
    about_weights = ("missing", "unchecked", "weights", "weights-signature", "partial")
    return all(problem.kind in about_weights for problem in verdict.problems)


def accept(project: Project, tag: str) -> str | None:
    """Remember that what a tag names now, or that it is gone, is right; what it names, None where it is gone.

    Args:
        project: the repository.
        tag: its whole short name.

    Raises:
        NotFound: no such tag is there, and none is remembered.
    """
    refs = tag_refs(project.git, ask_remote=False)
    if tag not in refs.here and tag not in refs.known:
        raise NotFound(f"there is no tag {shown(tag)}, and none is remembered", hint=near(tag, sorted(refs.parsed)))
    ref = refs.here.get(tag)
    known = Known(tag, "", "", "accepted") if ref is None else Known(tag, ref.object_id, ref.commit, "accepted")
    known_tags.remember(project.git, [known])
    return None if ref is None else ref.object_id


def _pick(project: Project, refs: TagRefs, request: VerifyRequest) -> list[str]:
    """The tags to judge: versions, the newest first, then decisions in their order."""
    mine = [
        name
        for name, parsed in refs.parsed.items()
        if request.model in (None, parsed.model)
        and (name in refs.here or expected(refs.known.get(name, [])) is not None)
    ]
    if request.ref is not None:
        picked = _of_ref(project, refs, mine, request.ref, request.model)
    else:
        picked = mine
        if request.model is not None and not mine:
            check_model_name(request.model)
    if not picked:
        raise NotFound(
            "there are no versions to verify" + (f" of {request.model}" if request.model else ""),
            hint="git fetch --unshallow --tags"
            if project.git.is_shallow()
            else "git fetch --tags   (or modelver tag NAME)",
        )
    decisions = sorted((n for n in picked if refs.parsed[n].action != "register"), key=lambda n: _order(refs.parsed[n]))
    versions = [n for n in picked if refs.parsed[n].action == "register"]
    versions.sort(key=lambda n: _precedence(refs.parsed[n]), reverse=True)
    versions.sort(key=lambda n: refs.parsed[n].model)
    return versions + decisions


def _of_ref(project: Project, refs: TagRefs, names: Sequence[str], ref: str, model: str | None) -> list[str]:
    """A version and the decisions about it; or one decision, by its tag's name."""
    text = ref.removeprefix("refs/").removeprefix("tags/")
    exact = [name for name in names if text in (name, name.partition("@")[2])]
    if len(exact) == 1:
        tag = exact[0]
        if refs.parsed[tag].action != "register":
            return exact
    else:
        tag = published_version(project, ref, model).tag
    commits = {known.commit for known in refs.known.get(tag, [])}
    commits |= {refs.here[tag].commit} if tag in refs.here else set()
    return [tag] + [
        name
        for name in names
        if refs.parsed[name].model == refs.parsed[tag].model
        and refs.parsed[name].action != "register"
        and not commits.isdisjoint(_commits(refs, name))
    ]


def _commits(refs: TagRefs, name: str) -> set[str]:
    known = {known.commit for known in refs.known.get(name, []) if known.commit}
    return known | ({refs.here[name].commit} if name in refs.here else set())


def _order(parsed: TagName) -> tuple[str, int, str]:
    return parsed.model, parsed.counter or 0, str(parsed.version or "")


def _precedence(parsed: TagName) -> Any:
    assert parsed.version is not None
    return parsed.version.precedence


class _Job:
    """Judges tags one after another; what versions share is looked at once."""

    def __init__(
        self, project: Project, request: VerifyRequest, refs: TagRefs, local: LocalObjects, remote: Storages | None
    ) -> None:
        self.project = project
        self.request = request
        self.refs = refs
        self.local = local
        self.remote = remote
        self.versions = {version.tag: version for version in project.registry.versions()}
        self.by_commit: dict[str, dict[str, str]] = {}
        for version in self.versions.values():
            self.by_commit.setdefault(version.model, {})[version.record.commit] = str(version.version)
        self.wanted = signers_wanted(project, request.model)

    def judge(self, name: str) -> Verdict:
        """The verdict on a tag."""
        parsed, ref = self.refs.parsed[name], self.refs.here.get(name)
        problems = self.refs.judge(name)
        verdict = Verdict(
            tag=name,
            model=parsed.model,
            version=str(parsed.version) if parsed.version is not None else None,
            object_id=None if ref is None else ref.object_id,
            commit=None if ref is None else ref.commit,
            problems=tuple(problems),
        )
        if ref is None or ref.kind != "tag":
            return verdict
        if parsed.action == "register":
            return self._version(verdict, name)
        return self._decision(verdict, parsed, ref)

    def _version(self, verdict: Verdict, name: str) -> Verdict:
        version = self.versions.get(name)
        if version is None:
            problem = Problem("tag", name, "it points at no commit")
            return replace(verdict, problems=(*verdict.problems, problem))
        sound = SoundCommit(self.project.git, version.record.commit)
        found = judge_files(sound, version, self.local.count)
        notes: list[str] = []
        checked = self._weights(sound, version, found, notes)
        self._weights_signature(found)
        signature = self._signature(version.tag, version.record.object_id, found.tag, found.problems)
        problems = [*verdict.problems, *found.problems]
        if self.request.allow_partial:
            notes += [problem.message for problem in problems if problem.kind == "partial"]
            problems = [problem for problem in problems if problem.kind != "partial"]
        return replace(verdict, signature=signature, checked=checked, problems=tuple(problems), notes=tuple(notes))

    def _weights(self, sound: SoundCommit, version: ModelVersion, found: Files, notes: list[str]) -> dict[str, int]:
        """Judge the objects, and the tensor manifest by them; how many were looked at."""
        facts = found.facts
        if facts is None or facts.weights is None:
            return {}
        git, cache, remote = self.project.git, self.local.cache, self.remote
        listings = listings_of(cache) if remote is None else remote.listings(version, cache)
        try:
            needed = version_objects(git, version.record.commit, version.model, listings, sound).restoring()
        except (NotFound, InvalidInput, CheckFailed) as error:
            hint = error.hint if remote else f"modelver verify {shlex.quote(version.tag)} --remote"
            found.add([Problem("missing", facts.path, error.message, hint)])
            return {}
        problems = judge_local(version.tag, needed, self.local, all_here=remote is None)
        if remote is not None:
            problems += remote.judge(version, needed, self.local, notes)
        found.add(problems)
        raw = sound.read(facts.layout.tensors)
        if raw is not None and not any(problem.kind == "weights" for problem in problems):
            measured = self.local.measured(facts, raw)
            if measured is None:
                notes.append(f"{facts.layout.tensors} was not compared with the weights: they are not on this machine")
            found.add(measured or [])
        here = sum(not self.local.missing(item) for item in needed)
        return {"local": here} if remote is None else {"local": here, "remote": len(needed)}

    def _weights_signature(self, found: Files) -> None:
        signature, key = self.request.weights_signature, self.request.public_key
        if signature is None or key is None:
            return
        from modelver.operations.weights_signature import judge_weights_signature

        if found.facts is None or found.facts.files is None:
            problem = Problem(
                "weights-signature", str(signature), "Git has no manifest that it could be a signature of"
            )
            found.add([problem])
        else:
            found.add(judge_weights_signature(found.facts, signature, key))

    def _decision(self, verdict: Verdict, parsed: TagName, ref: TagRef) -> Verdict:
        problems = list(verdict.problems)
        found = None
        try:
            found = parse_tag_object(SoundCommit(self.project.git, ref.commit).tag_object(ref.object_id))
            problems += judge_decision(verdict.tag, parsed, found, self.by_commit.get(parsed.model, {}))
        except CheckFailed as error:
            problems.append(Problem("git", verdict.tag, error.message, error.hint))
        except InvalidInput as error:
            problems.append(Problem("tag", verdict.tag, error.message))
        signature = self._signature(verdict.tag, ref.object_id, found, problems)
        return replace(verdict, signature=signature, problems=tuple(problems))

    def _signature(
        self, tag: str, object_id: str, found: TagObject | None, problems: list[Problem]
    ) -> Signature | None:
        """The state of a tag's signature; what is wrong with it goes to ``problems``."""
        if found is None:
            return None
        request, git = self.request, self.project.git
        signature = signature_of(git, object_id, request.signers) if found.signed else Signature("unsigned")
        must = request.require_signature or request.signers is not None
        problems += judge_signature(
            tag, signature.state, signature.names, signature.why, must=must, listed=request.signers
        )
        wanted = self.wanted.get(tag)
        if wanted is not None:
            names = signature.names if request.signers is None else signature_of(git, object_id).names
            for allowed in wanted.signers:
                problems += judge_signers(tag, names, allowed, signed=found.signed, mend=wanted.mend)
        return signature


__all__ = ["Verdict", "VerifyReport", "VerifyRequest", "accept", "verify"]
