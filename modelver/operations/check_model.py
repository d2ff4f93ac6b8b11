"""The checks that `modelver check` makes of one model, each with a verdict and the command that mends it."""

import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from modelver.adapters import yaml
from modelver.adapters.git import GitRepository, run_git
from modelver.core.bump import Bump
from modelver.core.gates import Check
from modelver.core.names import version_tag
from modelver.core.plan import Request, choose_version
from modelver.core.registry import ModelVersion
from modelver.core.versions import Version, parse_requested
from modelver.disk import write_atomic
from modelver.errors import ExternalFailure, InvalidInput, ModelverError, Refused
from modelver.operations.facts import ModelFacts, build_sidecar, mend_weights, read_sidecar
from modelver.operations.gating import refuse_behind
from modelver.operations.project import Project
from modelver.operations.record import base_and_newer, base_of, compare_with, refuse_incomplete_history
from modelver.operations.snapshot import CommitSnapshot, Snapshot
from modelver.operations.tag import refuse_failed, refuse_stale

_NAMED_BY_CONTENT = re.compile(r"(?:tensors/|model-(?:small-)?)([0-9a-f]{64})(?:\.safetensors)?")
"""Files of a weights folder whose names are their own SHA-256."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One check.

    Attributes:
        name: what was checked.
        ok: its verdict.
        message: why, a sentence.
        hint: the command that mends it; empty where it passed.
    """

    name: str
    ok: bool
    message: str
    hint: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {"name": self.name, "ok": self.ok, "message": self.message, "hint": self.hint}


@dataclass
class Judgement:
    """What was found out of one model so far."""

    base: ModelVersion | None
    version: str | None = None
    bump: Bump | None = None
    weights_changed: bool = True
    document: dict[str, Any] | None = None
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, name: str, ok: bool, message: str, hint: str = "") -> None:
        """Note a verdict."""
        self.findings.append(Finding(name, ok, message, "" if ok else hint))


class PipelineCopy:
    """HEAD's files in a scratch clone, so that DVC judges the commit and not what lies in the working tree.

    The clone shares the repository's objects, holds no weights, and is made when it is first asked for.
    """

    def __init__(self, git: GitRepository, commit: str) -> None:
        self._git = git
        self._commit = commit
        self._scratch: Path | None = None

    def __enter__(self) -> "PipelineCopy":
        return self

    def __exit__(self, *_: object) -> None:
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)

    @cached_property
    def project(self) -> Project:
        """The clone."""
        self._scratch = Path(tempfile.mkdtemp(prefix="modelver-check-"))
        root = self._scratch / "clone"
        # No hooks and no templates: what a user's set-up runs after a checkout has no business here.
        quiet = ["-c", "core.hooksPath=/dev/null", "-c", "advice.detachedHead=false"]
        run_git(
            self._git.root,
            [*quiet, "clone", "--quiet", "--shared", "--no-tags", "--no-checkout", "--template=", "--",
             str(self._git.root), str(root)],
        )  # fmt: skip
        run_git(root, [*quiet, "checkout", "--quiet", "--detach", self._commit])
        if (root / ".dvc").is_symlink():
            raise Refused(".dvc is a symbolic link in HEAD's commit", hint="git rm --cached .dvc, then commit a folder")
        # DVC keeps a folder for each project it saw; this one goes with the clone. The file is replaced, not opened:
        # a commit may hold a link by that name.
        settings = f"[core]\n    site_cache_dir = {self._scratch / 'site'}\n"
        write_atomic(root / ".dvc" / "config.local", settings.encode())
        return Project(GitRepository.find(root))


class Gate:
    """All checks, for the models of one commit.

    Attributes:
        project: the repository.
        snapshot, commit: the files that are judged, and the commit that has them.
        copy: where DVC looks at them.
        base: the revision that the pull request goes to, as people call it.
        notes: what concerns all models.
    """

    def __init__(self, project: Project, snapshot: Snapshot, commit: str, copy: PipelineCopy, base: str) -> None:
        self.project = project
        self.snapshot = snapshot
        self.commit = commit
        self.copy = copy
        self.base = base
        self.notes: list[str] = []

    @cached_property
    def remote_tags(self) -> tuple[str, set[str]]:
        """Git's remote and the names of the version tags there; none where it can't be asked, which `notes` tells."""
        remote = self.project.git.default_remote()
        if remote is None:
            return "", set()
        try:
            return remote.shown, set(self.project.git.remote_tags(remote, "*@*"))
        except (ExternalFailure, Refused) as error:
            self.notes.append(f"remote {remote} could not be asked which versions exist there ({error.message})")
            return remote.shown, set()

    def judge(self, facts: ModelFacts) -> Judgement:
        """Make every check of one model; a check that can't be made says no."""
        found = Judgement(self._base(facts))
        checks: list[tuple[str, Callable[[ModelFacts, Judgement], None]]] = [
            ("sidecar", self._sidecar),
            ("manifests", _manifests),
            ("pipeline", self._pipeline),
            ("validation", self._validation),
            ("version", self._version),
        ]
        for name, check in checks:
            try:
                check(facts, found)
            except ExternalFailure:
                raise
            except ModelverError as error:
                found.add(name, False, error.message, error.hint)
        return found

    def _base(self, facts: ModelFacts) -> ModelVersion | None:
        """What this follows; or the earlier version whose very record it is, as after `rollback --commit`."""
        base, named = base_of(self.project, facts.name), (facts.recorded or {}).get("version")
        for version in self.project.registry.versions(facts.name):
            if base is not None and version.version < base.version and str(version.version) == named:
                published = CommitSnapshot(self.project.git, version.record.commit).read(facts.layout.sidecar)
                return version if published == facts.recorded_bytes else base
        return base

    def _sidecar(self, facts: ModelFacts, found: Judgement) -> None:
        """Present, valid, and byte for byte what recording again would give."""
        refuse_incomplete_history(self.project, facts.name)
        path, again = facts.layout.sidecar, f"modelver record {facts.name}"
        try:
            recorded = read_sidecar(self.snapshot, facts.name)
        except InvalidInput as error:
            found.add("sidecar", False, error.message, again)
            return
        if recorded is None:
            found.add("sidecar", False, f"{path} is not committed", again)
            return
        found.version = str(parse_requested(recorded["version"], facts.scheme))
        base = found.base
        previous = str(base.version) if base else None
        if previous == found.version:  # published already: it follows what it followed then
            previous = recorded["previous"]
        found.document = build_sidecar(facts, recorded["version"], previous)
        found.bump, found.weights_changed = compare_with(self.project, base, facts)
        if facts.recorded_bytes == yaml.dump(found.document):
            found.add("sidecar", True, f"{path} is what recording again gives")
        elif base is not None and found.version == str(base.version):
            self._unrecorded(facts, found, base)
        else:
            found.add(
                "sidecar", False, f"{path} is not what recording gives: {_differing(recorded, found.document)}", again
            )

    def _unrecorded(self, facts: ModelFacts, found: Judgement, base: ModelVersion) -> None:
        """The sidecar still names the published version, and the model is no longer that."""
        path, version = facts.layout.sidecar, base.version
        published = CommitSnapshot(self.project.git, base.record.commit).read(path)
        assert found.bump is not None
        if found.weights_changed:
            found.add(
                "sidecar", False, f"the weights changed since {version} and were not recorded",
                f"modelver record {facts.name}",
            )  # fmt: skip
        elif facts.recorded_bytes != published:
            found.add(
                "sidecar", False, f"{path} was edited, and {version} is published with another one",
                f"git checkout {base.tag} -- {path}   (or modelver record {facts.name} --force-new)",
            )  # fmt: skip
        elif found.bump.level in ("minor", "major"):
            found.add(
                "sidecar", False,
                f"the weights are those of {version}, but what is said of them calls for a {found.bump.level} bump",
                f"modelver record {facts.name} --force-new",
            )  # fmt: skip
        else:
            found.add("sidecar", True, f"{path} is that of {version}, whose weights these are")
            found.notes.append(f"this change becomes part of the version after {version}; a tag now would make none")

    def _pipeline(self, facts: ModelFacts, found: Judgement) -> None:
        """Current by the hashes in Git."""
        if not facts.stages and facts.kind != "pipeline":
            return
        try:
            refuse_stale(self.copy.project, facts)
        except Refused as refusal:
            found.add("pipeline", False, refusal.message, f"dvc repro, then modelver record {facts.name}")
            return
        found.add("pipeline", True, "every stage is current")

    def _validation(self, facts: ModelFacts, found: Judgement) -> None:
        """Passed, with its gates; those against a baseline only where a new version is proposed."""
        refuse_failed(self.copy.project, facts)
        if facts.validation is None:
            return
        checks: tuple[Check, ...] = ()
        if found.base is None or found.version != str(found.base.version):
            checks = refuse_behind(self.project, facts, found.base.tag if found.base else None)
        count = len(facts.validation.get("checks") or []) + len(checks)
        found.add("validation", True, f"{count} checks and gates passed")
        found.notes += [check.message for check in checks]

    def _version(self, facts: ModelFacts, found: Judgement) -> None:
        """Free, newer than the one before, and a large enough step from it."""
        if found.version is None or found.bump is None:
            return
        version, base = Version.parse(found.version), found.base
        if base is not None and version == base.version:
            if not found.weights_changed:
                newest = self.project.registry.versions(facts.name)[0].version
                which = "stays the last" if version == newest else f"is back, and is not the newest: {newest}"
                found.add("version", True, f"no new version: {version} {which}")
            return
        name, again = facts.name, f"modelver record {facts.name}"
        remote, there = self.remote_tags
        local = {v.version for v in self.project.registry.versions(name)}
        if base is None and any(tag.startswith(f"{name}@") for tag in there):
            found.add(
                "version", False, f"{remote} has versions of {name} that this clone lacks", f"git fetch {remote} --tags"
            )
            return
        if version in local or version_tag(name, version) in there:
            where = "" if version in local else f" on {remote}"
            found.add(
                "version",
                False,
                f"{name} {version} exists already{where}",
                f"git fetch --tags, merge {self.base}, then {again}",
            )
            return
        newer = base_and_newer(self.project, name)[1]
        try:
            choose_version(
                model=name, scheme=facts.scheme, base=base, taken=local, level=found.bump.level,
                reasons=found.bump.reasons, weights_changed=found.weights_changed, proposed=None,
                request=Request(version=version, force_new=True), now=datetime.now(UTC),
                above=newer.version if newer else None,
            )  # fmt: skip
        except Refused as refusal:
            level = "patch" if found.bump.level == "none" else found.bump.level
            found.add("version", False, refusal.message, f"{again} --bump {level}")
            return
        step = f"is a {found.bump.level} bump or more since {base.version}" if base else "is the first"
        found.add("version", True, f"{version} is free, and {step}")


def _manifests(facts: ModelFacts, found: Judgement) -> None:
    """The file manifest speaks of the weights that DVC's pointer names, and of the tensors that are listed."""
    if facts.weights is None or facts.files is None:
        return  # the sidecar could not be built, and says so
    named = {f.path: match[1] for f in facts.files if (match := _NAMED_BY_CONTENT.fullmatch(f.path))}
    wrong = [f.path for f in facts.files if f.path in named and named[f.path] != f.sha256]
    if facts.tensors is not None:
        listed = {tensor.sha256 for tensor in facts.tensors}
        wrong += [p for p, digest in named.items() if p.startswith("tensors/") and digest not in listed]
    elif facts.kind != "plain":
        wrong.append(facts.layout.tensors)
    if wrong:
        found.add(
            "manifests", False, f"files and tensors do not agree: {', '.join(wrong[:3])}", mend_weights(facts)
        )  # fmt: skip
    else:
        found.add("manifests", True, f"{len(facts.files)} files are those of {facts.weights.pointer}")


def _differing(recorded: dict[str, Any], expected: dict[str, Any]) -> str:
    """The first keys whose values differ."""
    keys = [key for key in {**expected, **recorded} if recorded.get(key) != expected.get(key)]
    if not keys:
        return "the same values are written in another form"
    more = f" and {len(keys) - 4} more" if len(keys) > 4 else ""
    return f"{', '.join(keys[:4])}{more} differ{'s' if len(keys) == 1 else ''}"
