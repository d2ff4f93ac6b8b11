"""What `init` and `add` write into people's files: starter stages, settings, attributes. Pure."""

from typing import Any

from modelver.errors import InvalidInput, Refused

ATTRIBUTES = """\
# What modelver and DVC write has the same bytes everywhere.
*.dvc text eol=lf
dvc.lock text eol=lf
models/**/metadata.yaml text eol=lf
models/**/source.json text eol=lf
models/**/validation.json text eol=lf
models/**/scores.json text eol=lf
models/**/assessment.json text eol=lf
models/**/variants.json text eol=lf
models/**/variants-latency.json text eol=lf
models/**/*.jsonl text eol=lf linguist-generated
"""

PARAMS = """\
modelver:
  scheme: semver        # or sequence (v1, v2, …), or timestamp
  models: {}            # `modelver add` puts models here that a stage exports
"""

STAGES: dict[str, Any] = {
    "export": {
        "foreach": "${modelver.models}",
        "do": {
            "cmd": "modelver stage export ${key}",
            "deps": ["${item.source}", "${item.data}"],
            "params": [
                "modelver.models.${key}.source",
                "modelver.models.${key}.framework",
                "modelver.models.${key}.target",
                "modelver.models.${key}.export",
            ],
            "outs": [
                "models/${key}/weights",
                {"models/${key}/tensors.jsonl": {"cache": False}},
                {"models/${key}/files.jsonl": {"cache": False}},
                {"models/${key}/source.json": {"cache": False}},
            ],
        },
    },
    "assess": {
        "foreach": "${modelver.models}",
        "do": {
            "cmd": "modelver stage assess ${key} --brief",
            "deps": ["models/${key}/weights", "models/${key}/files.jsonl", "models/${key}/source.json"],
            "outs": [{"models/${key}/assessment.json": {"cache": False}}],
        },
    },
    "optimize": {
        "foreach": "${modelver.models}",
        "do": {
            "cmd": "modelver stage optimize ${key}",
            "deps": [
                "models/${key}/weights",
                "models/${key}/files.jsonl",
                "models/${key}/source.json",
                "${item.data}",
                "${item.calibration}",
            ],
            "params": [
                "modelver.models.${key}.target",
                "modelver.models.${key}.task",
                "modelver.models.${key}.optimize",
                "modelver.models.${key}.validate",
            ],
            "outs": [
                "models/${key}/variants",
                {"models/${key}/variants.json": {"cache": False}},
            ],
        },
    },
    "validate": {
        "foreach": "${modelver.models}",
        "do": {
            "cmd": "modelver stage validate ${key}",
            "deps": ["models/${key}/weights", "models/${key}/files.jsonl", "models/${key}/source.json", "${item.data}"],
            "params": [
                "modelver.models.${key}.target",
                "modelver.models.${key}.task",
                "modelver.models.${key}.gates",
                "modelver.models.${key}.parity",
                "modelver.models.${key}.targets",
                "modelver.models.${key}.validate",
            ],
            "metrics": [{"models/${key}/validation.json": {"cache": False}}],
            "plots": [
                {
                    "models/${key}/scores.json": {
                        "cache": False,
                        "template": "bar_horizontal",
                        "x": "value",
                        "y": "metric",
                        "title": "${key}",
                    }
                }
            ],
        },
    },
}
"""The stage groups of ``dvc.yaml``. Block lists: DVC can't parse ``${…}`` in a flow list."""

OPTIONAL = frozenset({"assess", "optimize"})
"""Groups that a model can be versioned without: where a stage of that name does something else, it is left alone."""

DEFAULTS: dict[str, Any] = {"task": None, "calibration": None, "optimize": {}, "targets": [], "validate": {}}
"""What a model's entry holds at least: DVC fails on a stage whose parameter is missing."""


def ensure_stages(document: Any) -> None:
    """Put the stage groups into a parsed ``dvc.yaml`` where they are missing.

    Raises:
        InvalidInput: `stages` is no mapping.
        Refused: a stage of that name exists and does something else.
    """
    stages = _mapping(document, "stages", "dvc.yaml: stages")
    for name, stage in STAGES.items():
        if name not in stages:
            stages[name] = _copy(stage)
            continue
        theirs = stages[name]
        body = theirs.get("do", theirs) if isinstance(theirs, dict) else None
        command = body.get("cmd", "") if isinstance(body, dict) else ""
        if f"modelver stage {name}" not in str(command) and name not in OPTIONAL:
            raise Refused(
                f"dvc.yaml has a stage {name!r} of its own, and modelver needs that name for its stage group",
                hint=f"rename the stage in dvc.yaml (git grep -n '{name}:' dvc.yaml), then run this again",
            )


def ensure_artifact(document: Any, name: str, path: str, desc: str | None) -> None:
    """Declare a model in a parsed ``dvc.yaml``; what people wrote into its entry stays.

    Raises:
        InvalidInput: `artifacts`, or the entry, is no mapping.
    """
    artifacts = _mapping(document, "artifacts", "dvc.yaml: artifacts")
    entry = _mapping(artifacts, name, f"dvc.yaml: artifacts.{name}")
    entry["path"] = path
    entry.setdefault("type", "model")
    if desc:
        entry["desc"] = desc


def ensure_settings(document: Any, name: str, settings: dict[str, Any]) -> None:
    """Put a model's settings into a parsed ``params.yaml``; keys that are there already keep their value,
    but for those that ``settings`` gives a value.

    Raises:
        InvalidInput: as `ensure_models`, or the model's entry is no mapping.
    """
    entry = _mapping(ensure_models(document), name, f"params.yaml: modelver.models.{name}")
    for key, value in settings.items():
        if key not in entry or value not in (None, {}):
            entry[key] = value
    complete_settings(document)


def ensure_models(document: Any) -> Any:
    """The section ``modelver.models`` of a parsed ``params.yaml``, made if it is missing.

    Raises:
        InvalidInput: it, or ``modelver``, is no mapping.
    """
    if document.get("modelver") is None:
        document["modelver"] = {"scheme": "semver"}
    section = _mapping(document, "modelver", "params.yaml: modelver")
    return _mapping(section, "models", "params.yaml: modelver.models")


def complete_settings(document: Any) -> None:
    """Give every model of a parsed ``params.yaml`` the keys that the stage groups speak of; calibration defaults to the
    model's data."""
    section = document.get("modelver")
    models = section.get("models") if isinstance(section, dict) else None
    for entry in models.values() if isinstance(models, dict) else ():
        if not isinstance(entry, dict):
            continue  # `modelver status` says so
        for key, value in DEFAULTS.items():
            if key not in entry:
                entry[key] = entry.get("data") if key == "calibration" else _copy(value)


def merged_attributes(present: str) -> str:
    """``.gitattributes`` with the missing lines added at the end."""
    lines = present.splitlines()
    missing = [line for line in ATTRIBUTES.splitlines() if line not in lines]
    if not missing:
        return present
    if present and not present.endswith("\n"):
        present += "\n"
    return present + "\n".join(missing) + "\n"


def _mapping(holder: Any, key: str, where: str) -> Any:
    if holder.get(key) is None:
        holder[key] = {}
    if not isinstance(holder[key], dict):
        raise InvalidInput(f"{where}: expected a mapping, found {type(holder[key]).__name__}")
    return holder[key]


def _copy(value: Any) -> Any:
    """A deep copy of plain data: the YAML writer would turn shared parts into aliases."""
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copy(item) for item in value]
    return value
