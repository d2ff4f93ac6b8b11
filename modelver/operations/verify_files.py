"""What Git holds of a version, judged: tag, sidecar, manifests, pointers against each other. No weights are read."""

import hashlib
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from modelver.adapters import yaml
from modelver.adapters.git.sound import SoundCommit
from modelver.core.layout import DVC_LOCK, DVC_YAML, PARAMS, Layout
from modelver.core.manifest import load_files, load_tensors
from modelver.core.registry import ModelVersion
from modelver.core.verify import (
    Problem,
    TagObject,
    judge_manifests,
    judge_sidecar,
    judge_tag,
    judge_trailers,
    parse_tag_object,
)
from modelver.core.verify_pointers import judge_pointers
from modelver.errors import CheckFailed, InvalidInput, NotFound
from modelver.operations.facts import ModelFacts, build_sidecar, collect, read_sidecar, yaml_or_none
from modelver.operations.snapshot import Snapshot


@dataclass
class Files:
    """What was found of one version in Git.

    Attributes:
        tag: its tag object; None where it can't be read.
        facts: its model; None where its files can't be read.
        document: its sidecar; None where there is none that can be read.
        partial: it was tagged without modelver, and has no manifest of SHA-256 digests.
        problems: what is wrong.
    """

    tag: TagObject | None = None
    facts: ModelFacts | None = None
    document: dict[str, Any] | None = None
    partial: bool = False
    problems: list[Problem] = field(default_factory=list)

    def add(self, problems: list[Problem]) -> None:
        """Note problems."""
        self.problems += problems


def judge_files(sound: SoundCommit, version: ModelVersion, count: Callable[[str], int | None]) -> Files:
    """Judge all that Git holds of a version.

    Args:
        sound: the version's commit.
        version: what the registry says.
        count: how many files a folder's object lists; None where that is not known here.
    """
    found = Files()
    try:
        found.tag = parse_tag_object(sound.tag_object(version.record.object_id))
        if found.tag.target != version.record.commit:
            found.add([Problem("tag", version.tag, f"it points at {found.tag.target}, which is no commit")])
        found.add(judge_tag(version.tag, found.tag, version.model, str(version.version)))
    except CheckFailed as error:
        found.add([Problem("git", version.tag, error.message, error.hint)])
    except InvalidInput as error:
        found.add([Problem("tag", version.tag, error.message)])
    try:
        _judge_commit(sound, version, found, count)
    except CheckFailed as error:
        found.add([Problem("git", version.tag, error.message, error.hint)])
    return found


def _judge_commit(sound: SoundCommit, version: ModelVersion, found: Files, count: Callable[[str], int | None]) -> None:
    layout = Layout(version.model)
    sound.read_many([DVC_YAML, DVC_LOCK, PARAMS, layout.card, *layout.generated()])
    recorded = sound.read(layout.sidecar)
    said: Mapping[str, str] = found.tag.trailers if found.tag else {}
    try:
        found.document = read_sidecar(sound, version.model)
    except InvalidInput as error:
        found.add([Problem("sidecar", layout.sidecar, error.message)])
    found.add(judge_trailers(version.tag, said, recorded, found.document, _sha256))
    if "Modelver-Sidecar" not in said:
        found.partial = True
        found.add([_partial(version, found.document is not None)])
    try:
        found.facts = collect(sound, version.model)
    except InvalidInput as error:
        found.add([Problem("file", version.tag, error.message, error.hint)])
        return
    except NotFound as error:  # to add the model now would mend nothing in a commit that is there
        tag = shlex.quote(version.tag)
        hint = f"git tag -d {tag}   (if nobody else has it yet; else: modelver yank {tag} --reason '…')"
        found.add([Problem("file", version.tag, error.message, hint)])
        return
    _judge_weights(sound, found.facts, found, count)
    if found.document is not None and recorded is not None and found.facts.files is not None:
        _judge_sidecar(version, found.facts, found, found.document, recorded)


def _judge_weights(sound: Snapshot, facts: ModelFacts, found: Files, count: Callable[[str], int | None]) -> None:
    """Manifests and pointers."""
    layout = facts.layout
    if facts.weights is None:
        found.add(
            [Problem("lock", DVC_LOCK, f"neither it nor {facts.path}.dvc says what the weights of {facts.name} are")]
        )
        return
    raw, tensors = sound.read(layout.files), sound.read(layout.tensors)
    if raw is None and not found.partial:
        found.add([Problem("manifest", layout.files, "it is missing")])
    if raw is not None:
        listed = None
        if tensors is not None and facts.kind != "plain":
            listed = (tensors, load_tensors(tensors, layout.tensors))
        found.add(
            judge_manifests(layout.folder, (raw, load_files(raw, layout.files)), listed, facts.weights, found.document)
        )
    if tensors is None and facts.kind != "plain":
        found.add([Problem("manifest", layout.tensors, "it is missing")])
    for pointer in sorted({facts.weights.pointer, *([DVC_LOCK] if facts.stages else [])}):
        document = yaml_or_none(sound, pointer)
        found.add(judge_pointers(pointer, document, facts.stages, facts.weights, facts.files, count))


def _judge_sidecar(
    version: ModelVersion, facts: ModelFacts, found: Files, document: dict[str, Any], recorded: bytes
) -> None:
    path = facts.layout.sidecar
    try:
        built = build_sidecar(facts, str(version.version), document["previous"])
    except InvalidInput as error:
        found.add([Problem("sidecar", path, f"it can't be recorded again: {error.message}")])
        return
    found.add(judge_sidecar(path, version.model, str(version.version), document, recorded, built, yaml.dump(built)))


def _partial(version: ModelVersion, recorded: bool) -> Problem:
    what = (
        "so nothing says which sidecar and weights were meant" if recorded else "so only MD5s of its weights are known"
    )
    return Problem(
        "partial",
        version.tag,
        f"it was tagged without modelver, {what}",
        "modelver tag makes versions that can be verified whole   (--allow-partial lets this one pass)",
    )


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
