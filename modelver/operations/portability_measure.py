"""Where a version runs, found out now and here: each declared target runs it and is timed; nothing is written."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from modelver.core.gates import Check
from modelver.core.layout import Layout
from modelver.core.model_settings import ModelSettings, parse_settings
from modelver.core.parity import Limits, is_discontinuous, judge_parity
from modelver.core.validation_settings import DEFAULT_TARGET, parse_validation
from modelver.errors import CheckFailed, InvalidInput, Refused
from modelver.formats import compare, golden
from modelver.operations import structure, target_latency
from modelver.operations.cached_weights import check_out
from modelver.operations.facts import ModelFacts, collect
from modelver.operations.portability import Latency, Target, operators_ran
from modelver.operations.project import Project, Resolved
from modelver.operations.snapshot import CommitSnapshot
from modelver.operations.target_latency import Times
from modelver.operations.targets import Ran, Requests, requests_from_data, row_count, run_targets
from modelver.operations.timing import processor
from modelver.runtimes import base

_MODEL = "model.onnx"


def measure(
    project: Project, ref: str | None, model: str | None = None, say: Callable[[str], None] = lambda _: None
) -> list[Target]:
    """Run and time every target that the version's ``params.yaml`` declares; onnxruntime first.

    The rows are those recorded with the model; where none were, some of its declared data as they lie in the working
    tree now.

    Args:
        project: the repository.
        ref: a version whose weights are in DVC's cache; None is the working tree.
        model: what a ref without a name means.
        say: told what is being done, where it can take seconds.

    Raises:
        NotFound: nothing is called so.
        InvalidInput: the ref or a record is malformed, it is no ONNX model, or onnxruntime refuses it.
        Refused: the weights are not here.
        CheckFailed: they are damaged.
    """
    resolved = project.resolve(ref, model)
    snapshot = project.worktree if resolved.commit is None else CommitSnapshot(project.git, resolved.commit)
    facts = collect(snapshot, resolved.model)
    asked = parse_validation(resolved.model, facts.settings, facts.section)
    source = _source(facts, resolved.label)
    with _weights(project, resolved, facts) as folder:
        _verify(folder, facts, source, resolved.label)
        say(f"running {resolved.label} on {', '.join(asked.targets)}")
        return _measure(project.root, folder / _MODEL, facts, source, asked.targets)


def _measure(
    root: Path, path: Path, facts: ModelFacts, source: dict[str, Any], targets: tuple[str, ...]
) -> list[Target]:
    entry = parse_settings(facts.name, facts.settings, facts.section)
    operators = (source.get("graph") or {}).get("operators") or {}
    requests, own = _onnxruntime(root, path, entry, source, operators)
    found = [own, *run_targets(targets, path, requests, operators, entry.parity)]
    times = Times({}, {})
    if requests is not None:
        times = target_latency.measure([ran.name for ran in found if ran.facts["ran"]], path, requests.inputs)
    machine = {"rows": requests.rows if requests else 0, "processor": processor()}
    return [_target(ran, len(operators), times, machine) for ran in found]


def _onnxruntime(
    root: Path, path: Path, entry: ModelSettings, source: dict[str, Any], operators: dict[str, int]
) -> tuple[Requests | None, Ran]:
    """What all targets are asked, and what onnxruntime itself makes of it."""
    session = base.find(DEFAULT_TARGET).load(path)
    recorded = golden.read(path.parent, source["signature"])
    if recorded is not None:
        requests = Requests(*recorded, row_count(recorded[0]), recorded=True)
        return requests, _own(session, requests, operators, entry.parity)
    asked = requests_from_data(root, entry, source, session)
    return asked, _own(session, asked, operators, entry.parity)


def _own(session: base.Session, requests: Requests | None, operators: dict[str, int], limits: Limits) -> Ran:
    """What onnxruntime itself makes of the requests."""
    facts = {"ran": requests is not None, "ok": True, "version": base.find(DEFAULT_TARGET).version()}
    if requests is None:
        message = "not run, for there are no rows: neither were any recorded, nor does params.yaml declare `data:`"
        return Ran(DEFAULT_TARGET, facts, (Check(DEFAULT_TARGET, False, message=message),), None)
    if not requests.recorded:
        return Ran(DEFAULT_TARGET, facts, (), None)
    parity = compare.difference(requests.expected, session.run(requests.inputs), requests.rows, limits)
    wrong = tuple(check for check in judge_parity(parity, is_discontinuous(operators), limits) if not check.ok)
    return Ran(DEFAULT_TARGET, {**facts, "ok": not wrong}, wrong, parity)


def _target(ran: Ran, operators: int, times: Times, machine: dict[str, Any]) -> Target:
    facts, parity = ran.facts, ran.parity.to_dict() if ran.parity else {}
    ok = bool(facts["ran"] and facts["ok"])
    reason = ran.checks[0].message if ran.checks and not ok else ""  # the summary; of onnxruntime, what is wrong
    timed, failed = times.timed.get(ran.name), times.failed.get(ran.name)
    latency = None if timed is None else Latency(**timed.to_dict(), **machine)
    return Target(
        name=ran.name,
        version=facts["version"],
        ran=bool(facts["ran"]),
        ok=ok,
        operators=operators_ran(bool(facts["ran"]), operators),
        max_abs=parity.get("max_abs"),
        max_rel=parity.get("max_rel"),
        label_agreement=parity.get("label_agreement"),
        latency=latency,
        reason=reason or (failed.message if failed else ""),
    )


def _source(facts: ModelFacts, label: str) -> dict[str, Any]:
    source = dict(facts.source or {})
    form = source.get("format")
    if not isinstance(form, dict) or form.get("name") != "onnx":
        raise InvalidInput(f"{label} of {facts.name} is no ONNX model, and the targets run no other")
    if not structure.is_signature(source.get("signature")):
        raise InvalidInput(f"{facts.layout.source} lacks a well-formed field 'signature'", hint="dvc repro")
    return source


@contextmanager
def _weights(project: Project, resolved: Resolved, facts: ModelFacts) -> Iterator[Path]:
    """The folder of the weights: of the working tree itself, and of a commit a copy out of the cache."""
    if resolved.commit is None:
        yield project.root / Layout(resolved.model).weights
        return
    with tempfile.TemporaryDirectory(prefix="modelver-portability-") as scratch:
        check_out(project, facts, resolved.label, Path(scratch), what="nothing can be run")
        yield Path(scratch)


def _verify(folder: Path, facts: ModelFacts, source: dict[str, Any], label: str) -> None:
    """Nothing is run that is not what was recorded and described, or that ONNX's checker refuses."""
    if facts.files is None:
        raise Refused(
            f"{facts.layout.files} does not list the weights of {label}, so nobody knows what they should be",
            hint="dvc repro",
        )
    looks: tuple[Callable[[], Check], ...] = (
        lambda: structure.digests(folder, facts.files or (), None),
        lambda: structure.structure(folder / _MODEL),
        lambda: structure.description(folder / _MODEL, source),
    )
    for look in looks:  # one after the other: what has the wrong digest is not opened
        check = look()
        if not check.ok:
            raise CheckFailed(f"{label}: {check.message}", hint=check.hint)
