"""Gathering what a sidecar is made of, from one snapshot of the repository's files."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modelver.adapters import yaml
from modelver.core import card, lineage, sidecar
from modelver.core.layout import DVC_LOCK, DVC_YAML, PARAMS, Layout
from modelver.core.manifest import FileEntry, TensorEntry, dvc_dir_hash, load_files, load_tensors
from modelver.core.model_settings import ADDED, MODELS
from modelver.core.names import is_model_name, shown
from modelver.core.pointers import LockedStage, Out, locked_stages, outs_in
from modelver.core.refs import near
from modelver.core.versions import Scheme, parse_scheme
from modelver.errors import InvalidInput, NotFound
from modelver.operations.nested_lock import nested_out
from modelver.operations.snapshot import CommitSnapshot, OverlaySnapshot, Snapshot, WorktreeSnapshot

MAX_JSON = 16 << 20
"""Largest JSON document read, in bytes; parsed, brackets take some 25 times as much memory."""


@dataclass(frozen=True)
class ModelFacts:
    """Everything that Git knows of one model in one state of its files.

    Attributes:
        name: the model's name.
        kind: ``pipeline``, ``ingested`` or ``plain``.
        path: the weights, relative to the repository's root.
        desc: description in ``dvc.yaml``.
        weights: what the pointer says of them; None before the first export.
        files: the file manifest; None where there is none or it speaks of other weights.
        tensors: the tensor manifest; None for a plain model.
        source, validation, variants: the parsed documents.
        card: the card's facts.
        stages: the lineage, upstream first.
        recorded: the sidecar as it stands.
        settings: the model's entry in ``params.yaml``.
        section: where that stands.
        scheme: how versions are chosen.
    """

    name: str
    kind: str
    path: str
    desc: str | None
    weights: Out | None
    files: list[FileEntry] | None
    tensors: list[TensorEntry] | None
    source: Mapping[str, Any] | None
    validation: Mapping[str, Any] | None
    variants: Mapping[str, Any] | None
    card: card.CardFacts
    stages: list[LockedStage]
    recorded: Mapping[str, Any] | None
    recorded_bytes: bytes | None
    settings: Mapping[str, Any]
    section: str
    scheme: Scheme

    @property
    def layout(self) -> Layout:
        """The model's paths."""
        return Layout(self.name)

    def owned_paths(self) -> list[str]:
        """What `tag` may commit: generated for this model alone, and the pointer of its weights."""
        pointer = [] if self.weights is None else [self.weights.pointer]
        return sorted({*self.layout.generated(), *pointer})


def model_names(snapshot: Snapshot) -> list[str]:
    """The models of a snapshot: the entries under ``artifacts:`` in ``dvc.yaml``, in order of their names.

    Entries that no model can be called like are other tools' business.

    Raises:
        InvalidInput: ``dvc.yaml`` can't be read.
    """
    return sorted(name for name in _artifacts(snapshot) if is_model_name(name))


def parsed(snapshot: Snapshot, path: str) -> dict[str, Any]:
    """A YAML mapping of the snapshot; empty where the file is missing.

    Raises:
        InvalidInput: no YAML, or no mapping.
    """
    data = snapshot.read(path)
    try:
        return {} if data is None else yaml.load_mapping(data, path)
    except InvalidInput as error:
        raise InvalidInput(error.message, hint=error.hint or _mend_own(snapshot, path)) from None


def _mend_own(snapshot: Snapshot, path: str) -> str:
    """How to mend a file that the user writes; empty for a commit, where nothing can be mended any more."""
    if isinstance(snapshot, CommitSnapshot):
        return ""
    return f"git diff HEAD -- {path}   (correct it, or take the committed one back: git checkout HEAD -- {path})"


def _expected_mapping(snapshot: Snapshot, path: str, key: str, found: object) -> InvalidInput:
    kind = type(found).__name__
    return InvalidInput(f"{path}: {key}: expected a mapping, found {kind}", hint=_mend_own(snapshot, path))


def modelver_params(snapshot: Snapshot) -> dict[str, Any]:
    """The section ``modelver:`` of ``params.yaml``; raises InvalidInput where it is no mapping."""
    section = parsed(snapshot, PARAMS).get("modelver") or {}
    if not isinstance(section, dict):
        raise _expected_mapping(snapshot, PARAMS, "modelver", section)
    return section


def model_settings(snapshot: Snapshot, name: str) -> dict[str, Any]:
    """A model's settings in ``params.yaml``; empty where it has none.

    Raises:
        InvalidInput: a section, or the entry, is no mapping; or there are two entries.
    """
    section = settings_section(snapshot, name)
    settings = _settings_in(snapshot, section).get(name) or {}
    if not isinstance(settings, dict):
        raise _expected_mapping(snapshot, PARAMS, f"{section}.{name}", settings)
    return settings


def settings_section(snapshot: Snapshot, name: str) -> str:
    """Where a model's settings stand: ``modelver.added`` where it has an entry there, else ``modelver.models``.

    Raises:
        InvalidInput: a section is no mapping, or both have an entry.
    """
    if name not in _settings_in(snapshot, ADDED):
        return MODELS
    if name in _settings_in(snapshot, MODELS):
        raise InvalidInput(
            f"{PARAMS}: {MODELS} and {ADDED} both have an entry {shown(name)}",
            hint=f"keep the one under {MODELS} if a stage exports the model, else the one under {ADDED}",
        )
    return ADDED


def _settings_in(snapshot: Snapshot, section: str) -> dict[str, Any]:
    entries = modelver_params(snapshot).get(section.partition(".")[2]) or {}
    if not isinstance(entries, dict):
        raise _expected_mapping(snapshot, PARAMS, section, entries)
    return entries


def check_params(snapshot: Snapshot) -> None:
    """Refuse what ``params.yaml`` says under a name that nobody reads: gates written there would gate nothing.

    Raises:
        InvalidInput: a key below ``modelver`` that there is not, or settings of an added model that there is not.
    """
    for key in modelver_params(snapshot):
        if key not in _SECTIONS:
            raise InvalidInput(
                f"{PARAMS}: modelver.{shown(str(key))} is no setting that modelver knows",
                hint=near(str(key), list(_SECTIONS)) + "; parameters of your own go elsewhere in params.yaml",
            )
    models = parsed(snapshot, DVC_YAML).get("artifacts")
    known = [str(name) for name in models] if isinstance(models, dict) else []
    for name in _settings_in(snapshot, ADDED):
        if name not in known:
            raise InvalidInput(
                f"{PARAMS}: {ADDED}.{shown(str(name))}: there is no such model in {DVC_YAML}",
                hint=near(str(name), known) or "modelver add NAME PATH",
            )


_SECTIONS = ("scheme", "environments", "models", "added")


def version_scheme(snapshot: Snapshot) -> Scheme:
    """How this repository chooses versions; ``semver`` unless ``params.yaml`` says otherwise."""
    return parse_scheme(modelver_params(snapshot).get("scheme", "semver"))


def read_sidecar(snapshot: Snapshot, name: str, *, label: str = "") -> dict[str, Any] | None:
    """The recorded sidecar, checked against its schema; None where there is none.

    Raises:
        InvalidInput: it can't be read, or is not what the schema allows.
    """
    path = Layout(name).sidecar
    data = snapshot.read(path)
    if data is None:
        return None
    document = yaml.load_mapping(data, label + path)
    sidecar.validate(document, label + path)
    return document


def read_manifests(snapshot: Snapshot, name: str) -> tuple[list[TensorEntry] | None, list[FileEntry] | None]:
    """Tensor and file manifest; None where a file is missing."""
    layout = Layout(name)
    found = snapshot.read_many([layout.tensors, layout.files])
    tensors = load_tensors(found[layout.tensors], layout.tensors) if layout.tensors in found else None
    files = load_files(found[layout.files], layout.files) if layout.files in found else None
    return tensors, files


def collect(snapshot: Snapshot, name: str) -> ModelFacts:
    """Gather one model's facts.

    Raises:
        NotFound: no such model.
        InvalidInput: a file of it can't be read; the message names the file.
    """
    artifacts = _artifacts(snapshot)
    if name not in artifacts:
        raise NotFound(
            f"there is no model {shown(name)} in {DVC_YAML}",
            hint=near(name, sorted(artifacts)) or "modelver add NAME PATH",
        )
    layout = Layout(name)
    path, desc = _artifact(name, artifacts[name])
    stages = lineage.stages_of(layout.folder, path, locked_stages(DVC_LOCK, yaml_or_none(snapshot, DVC_LOCK)))
    weights = _weights(snapshot, path, stages)
    source = _json(snapshot, layout.source)
    tensors, files = read_manifests(snapshot, name)
    if files is not None and weights is not None and not manifest_matches(files, weights):
        files = None
    settings = model_settings(snapshot, name)
    kind = "plain"
    if source is not None:
        kind = "ingested" if source.get("kind") == "ingested" else "pipeline"
    elif path == layout.weights:  # not exported yet; or ingested, and its folder is gone
        kind = "pipeline" if settings.get("source") else "ingested"
    recorded_bytes = snapshot.read(layout.sidecar)
    return ModelFacts(
        name=name,
        kind=kind,
        path=path,
        desc=desc,
        weights=weights,
        files=files,
        tensors=None if kind == "plain" else tensors,
        source=source,
        validation=_json(snapshot, layout.validation),
        variants=_json(snapshot, layout.variants_record),
        card=_card(snapshot, layout.card),
        stages=stages,
        recorded=_recorded_leniently(recorded_bytes, layout.sidecar),
        recorded_bytes=recorded_bytes,
        settings=settings,
        section=settings_section(snapshot, name),
        scheme=version_scheme(snapshot),
    )


def build_sidecar(facts: ModelFacts, version: str, previous: str | None) -> dict[str, Any]:
    """The sidecar of these facts under a version.

    Raises:
        InvalidInput: there are no weights yet, or no manifest that speaks of them.
    """
    if facts.weights is None:
        raise InvalidInput(f"model {facts.name!r} has no weights yet", hint=mend_weights(facts))
    if facts.files is None:
        raise InvalidInput(
            f"{facts.layout.files} does not list the files of {facts.path} as {facts.weights.pointer} has them",
            hint=mend_weights(facts),
        )
    document = sidecar.build(
        model=facts.name,
        version=version,
        previous=previous,
        kind=facts.kind,
        path=facts.path,
        desc=facts.desc,
        card=facts.card,
        md5=facts.weights.md5,
        files=facts.files,
        tensors=facts.tensors,
        source=facts.source,
        validation=facts.validation,
        lineage=lineage.as_documents(facts.stages),
        params=lineage.merged_params(facts.stages),
        variants=facts.variants,
    )
    return document if facts.recorded is None else sidecar.merge_unknown(facts.recorded, document)


def mend_weights(facts: ModelFacts) -> str:
    """The command that brings a model's weights and manifests in step."""
    if facts.kind == "pipeline":
        return "dvc repro"
    if facts.kind == "ingested":
        return f"modelver add {facts.name} PATH"
    return f"modelver add {facts.name} {shlex.quote(facts.path)}"


def manifest_matches(files: list[FileEntry], weights: Out) -> bool:
    """Whether a file manifest speaks of the weights that the pointer names."""
    if weights.is_dir:
        return dvc_dir_hash(files) == weights.md5
    return len(files) == 1 and files[0].md5 == weights.md5


def yaml_or_none(snapshot: Snapshot, path: str) -> object:
    """A parsed YAML file; None where it is missing or empty."""
    data = snapshot.read(path)
    return None if data is None else yaml.load(data, path)


def _artifacts(snapshot: Snapshot) -> dict[str, Any]:
    section = parsed(snapshot, DVC_YAML).get("artifacts") or {}
    if not isinstance(section, dict):
        raise _expected_mapping(snapshot, DVC_YAML, "artifacts", section)
    return {name: entry for name, entry in section.items() if isinstance(name, str)}  # `null:` names nothing


def _artifact(name: str, entry: object) -> tuple[str, str | None]:
    path = entry.get("path") if isinstance(entry, dict) else None
    if not isinstance(path, str) or not path or path.startswith("/") or ".." in path.split("/"):
        raise InvalidInput(f"{DVC_YAML}: artifacts.{name}.path: expected a path inside the repository")
    desc = entry.get("desc") if isinstance(entry, dict) else None
    return path.rstrip("/").removeprefix("./"), desc if isinstance(desc, str) else None


def _weights(snapshot: Snapshot, path: str, stages: list[LockedStage]) -> Out | None:
    pointer = f"{path}.dvc"
    for out in outs_in(pointer, yaml_or_none(snapshot, pointer)):
        if out.path == path:
            return out
    for stage in stages:
        for out in stage.outs:
            if out.path == path:
                return out
    if isinstance(snapshot, WorktreeSnapshot | OverlaySnapshot):
        return None  # a version to be made says where its weights are from, and the lineage is that of the top's stages
    return nested_out(snapshot, path)


def _json(snapshot: Snapshot, path: str) -> dict[str, Any] | None:
    data = snapshot.read(path)
    if data is None:
        return None
    if len(data) > MAX_JSON:
        raise InvalidInput(f"{path}: {len(data)} bytes, more than the {MAX_JSON} that are read")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{path}: no JSON: {str(error)[:120]}") from None
    if not isinstance(document, dict):
        raise InvalidInput(f"{path}: expected a JSON object")
    return document


def _card(snapshot: Snapshot, path: str) -> card.CardFacts:
    data = snapshot.read(path)
    if data is None:
        return card.CardFacts()
    try:
        front, body = card.split(data.decode("utf-8"), path)
    except UnicodeDecodeError:
        raise InvalidInput(f"{path}: not UTF-8") from None
    return card.facts(yaml.load_mapping(front.encode(), path) if front else None, body, path)


def _recorded_leniently(data: bytes | None, path: str) -> dict[str, Any] | None:
    """The recorded sidecar where it can be read: one that can't is written anew, so it must not stop `record`.

    A newer modelver's is no such case: to write it anew would lose what this one does not know.
    """
    if data is None:
        return None
    try:
        document = yaml.load_mapping(data, path)
    except InvalidInput:
        return None
    try:
        sidecar.validate(document, path)
    except InvalidInput:
        if sidecar.is_newer(document):
            raise
        return None
    return document
