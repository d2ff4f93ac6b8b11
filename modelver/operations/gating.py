"""Gates against a baseline, and the gates of an environment: judged where tags are known, never recorded in a file.

What was compared with what goes into the message of the tag that the verdict let through.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from modelver.core.gates import (
    PREVIOUS,
    Baseline,
    Check,
    Gate,
    judge_against,
    judge_gates,
    lifted_gate,
    merge_gates,
    parse_gates,
    parse_own_gates,
)
from modelver.core.judged import other_than
from modelver.core.layout import PARAMS
from modelver.core.model_settings import MODELS, parse_settings
from modelver.core.sidecar import flatten
from modelver.core.validation_settings import parse_validation
from modelver.errors import CheckFailed, InvalidInput, NotFound, Refused
from modelver.operations.facts import (
    ModelFacts,
    check_params,
    model_settings,
    modelver_params,
    read_sidecar,
    settings_section,
)
from modelver.operations.judged_data import data_md5, refuse_lost
from modelver.operations.project import Project
from modelver.operations.snapshot import CommitSnapshot, Snapshot


def model_gates(settings: Mapping[str, Any], name: str, section: str = MODELS) -> tuple[Gate, ...]:
    """The gates of a model's entry in ``params.yaml``, which hold for every version.

    Raises:
        InvalidInput: they are malformed; the message names the field.
    """
    return parse_gates(settings.get("gates"), f"{PARAMS}, {section}.{name}.gates")


def environment_gates(snapshot: Snapshot, name: str, environment: str) -> tuple[tuple[Gate, ...], tuple[str, ...]]:
    """What a version of a model must reach to run in an environment, beyond the model's own gates.

    ``modelver.environments.ENV.gates`` hold for all models; a gate on the same metric under
    ``environments.ENV.gates`` in the model's own entry takes its place, and ``null`` there lifts it.

    Returns:
        The gates; and the metrics whose gate was lifted.

    Raises:
        InvalidInput: a section is malformed; the message names it.
    """
    data, where = _section(modelver_params(snapshot), f"{PARAMS}, modelver", environment)
    general = parse_gates(data, where)
    section = f"{PARAMS}, {settings_section(snapshot, name)}.{name}"
    own, lifted = parse_own_gates(*_section(model_settings(snapshot, name), section, environment))
    stand = {gate.metric for gate in general}
    return merge_gates(general, own, lifted), tuple(metric for metric in lifted if metric in stand)


def checks_against(
    project: Project, name: str, gates: Sequence[Gate], metrics: Mapping[str, float], previous: str | None
) -> tuple[Check, ...]:
    """The verdicts of ``gates`` that speak of a baseline.

    Args:
        project: the repository.
        name: the model, where a baseline names none.
        gates: those without a baseline are passed over.
        metrics: flat, of the version that is judged.
        previous: the tag of the version that it follows; None for the first.

    Raises:
        NotFound: a gate names a version that does not exist.
        InvalidInput: a baseline's sidecar can't be read.
    """
    wanted = {gate.baseline for gate in gates if gate.is_relative}
    baselines = {text: _baseline(project, name, text, previous) for text in sorted(wanted)}
    return judge_against(gates, metrics, baselines)


def refuse_unjudged(project: Project, facts: ModelFacts) -> None:
    """Refuse a verdict on other weights, settings or data, and gates on a model that nobody validated.

    Whether the validation of a model with stages is current, DVC knows.

    Raises:
        Refused: the model's validation does not speak of what is there.
        InvalidInput: settings are malformed, or of a key or model that nobody knows, so that gates would be lost.
    """
    check_params(project.worktree)
    parse_settings(facts.name, facts.settings, facts.section)
    parse_validation(facts.name, facts.settings, facts.section)
    if facts.kind == "pipeline":
        return
    mend = f"modelver stage validate {facts.name}"
    if facts.validation is not None:
        data = facts.settings.get("data")
        data = data if isinstance(data, str) else None
        other = other_than(facts.validation.get("judged"), facts.files, facts.settings, data_md5(project.root, data))
        if other == "weights":
            raise Refused(f"{facts.layout.validation} is about other weights of {facts.name}", hint=mend)
        if other == "settings":
            raise Refused(f"what {PARAMS} asks of {facts.name} has changed since it was validated", hint=mend)
        if data is not None and facts.validation.get("judged"):
            refuse_lost(project.git, data, facts.name)
        if other:
            if not (project.root / str(data)).exists():
                mend = f"dvc pull {shlex.quote(str(data))} && {mend}"
            raise Refused(f"{data} has changed since {facts.name} was validated on it", hint=mend)
    elif model_gates(facts.settings, facts.name, facts.section):
        if facts.kind == "plain":
            mend = f"take `gates:` of {facts.name} out of {PARAMS}: nothing measures a plain model"
        raise Refused(f"{facts.name} has gates, and has not been validated", hint=mend)


def refuse_behind(project: Project, facts: ModelFacts, previous: str | None) -> tuple[Check, ...]:
    """Raise CheckFailed if the model's metrics fall short of a baseline; the verdicts otherwise.

    Raises:
        CheckFailed: a gate says no.
        InvalidInput, NotFound: as `checks_against`.
    """
    gates = model_gates(facts.settings, facts.name, facts.section)
    checks = checks_against(project, facts.name, gates, _metrics(facts.validation), previous)
    _refuse(checks, f"{facts.name} does not pass its gates")
    return checks


def environment_checks(
    project: Project, name: str, environment: str, sidecar: Mapping[str, Any], settings: Snapshot | None = None
) -> tuple[Check, ...]:
    """Judge a recorded version for an environment; ``latest`` and ``previous`` mean what they mean for a tag.

    Args:
        project: the repository.
        name: the model.
        environment: where it is to run.
        sidecar: of the version that is judged.
        settings: the files whose ``params.yaml`` counts; None for the working tree.
    """
    gates, lifted = environment_gates(settings or project.worktree, name, environment)
    metrics = flatten(sidecar.get("metrics") or {})
    before = sidecar.get("previous")
    previous = f"{name}@{before}" if before else None
    return (
        *judge_gates(gates, metrics),
        *checks_against(project, name, gates, metrics, previous),
        *(lifted_gate(metric, name) for metric in lifted),
    )


def refuse_for_environment(
    project: Project,
    name: str,
    environment: str,
    sidecar: Mapping[str, Any],
    settings: Snapshot | None = None,
    whose: str = "",
) -> tuple[Check, ...]:
    """Raise CheckFailed if a recorded version does not pass an environment's gates; the verdicts otherwise.

    Args:
        project, name, environment, sidecar, settings: as `environment_checks`.
        whose: what to call ``settings`` where they are not the working tree's: a branch, or HEAD.

    Raises:
        CheckFailed: a gate says no.
        InvalidInput, NotFound: as `environment_gates` and `checks_against`.
    """
    checks = environment_checks(project, name, environment, sidecar, settings)
    what = f"{name} {sidecar.get('version')} does not pass the gates of {environment}"
    _refuse(
        [_or_lifted(check, settings or project.worktree, name, environment) for check in checks],
        f"{what}, as {whose} has them" if whose else what,
    )
    return checks


def _or_lifted(check: Check, settings: Snapshot, name: str, environment: str) -> Check:
    """A failed check of a metric that the model lacks, with what to write where the gate does not apply to it."""
    if check.ok or check.value is not None or " has no " in check.message:
        return check
    place = f"{settings_section(settings, name)}.{name}.environments.{environment}.gates"
    metric = check.name.removeprefix("gate:").partition(":")[0]
    return replace(check, hint=f"{check.hint}; or, where it does not apply to {name}, {place}: {{{metric}: null}}")


def _refuse(checks: Sequence[Check], what: str) -> None:
    failed = [check for check in checks if not check.ok]
    if failed:
        more = f" (and {len(failed) - 3} more)" if len(failed) > 3 else ""
        said = "; ".join(f"{check.name}: {check.message}" for check in failed[:3])
        raise CheckFailed(f"{what}: {said}{more}", hint=failed[0].hint)


def _section(holder: Mapping[str, Any], where: str, environment: str) -> tuple[object, str]:
    """What stands under ``environments.ENV.gates`` of a section, and where that is."""
    place = f"{where}.environments"
    environments = holder.get("environments") or {}
    if isinstance(environments, list):  # declares the names of environments and says nothing of gates
        environments = {}
    if not isinstance(environments, Mapping):
        raise InvalidInput(f"{place} must map an environment to its settings", hint=_EXAMPLE)
    entry = environments.get(environment) or {}
    if not isinstance(entry, Mapping):
        raise InvalidInput(f"{place}.{environment} must be a mapping", hint=_EXAMPLE)
    return entry.get("gates"), f"{place}.{environment}.gates"


def _baseline(project: Project, name: str, text: str, previous: str | None) -> Baseline | None:
    if text == PREVIOUS:
        if previous is None:
            return None
        ref = previous
    else:
        ref = f"{name}{text}" if text.startswith("#") else text
    if "#" in ref:
        model, _, environment = ref.partition("#")
        version = project.registry.environment(model, environment)
        if version is None:  # an environment that runs nothing yet can't be fallen behind of
            return None
    elif ref == "latest" and project.registry.latest(name) is None:
        return None
    else:
        version = project.resolve(ref, name).version
        if version is None:
            raise NotFound(f"the gates' baseline {text} is no version of {name}", hint=f"modelver list {name}")
    sidecar = read_sidecar(CommitSnapshot(project.git, version.record.commit), version.model, label=f"{version.tag}:")
    return Baseline(version.tag, flatten((sidecar or {}).get("metrics") or {}))


def _metrics(validation: Mapping[str, Any] | None) -> dict[str, float]:
    metrics = (validation or {}).get("metrics") or {}
    if not isinstance(metrics, Mapping):
        raise InvalidInput("validation.json: metrics: expected an object", hint="dvc repro")
    return flatten(metrics)


_EXAMPLE = "write for example `environments: {prod: {gates: {accuracy: {min: 0.9}}}}`"

__all__ = [
    "checks_against",
    "environment_checks",
    "environment_gates",
    "model_gates",
    "refuse_behind",
    "refuse_for_environment",
    "refuse_unjudged",
]
