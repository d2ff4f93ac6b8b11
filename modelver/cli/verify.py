"""``modelver verify``."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from modelver.cli.context import (
    DvcRemoteOption,
    Format,
    FormatOption,
    ModelOption,
    PlainHttpOption,
    Progress,
    complete_ref,
    out,
    out_json,
    repository,
    say,
    table,
)
from modelver.errors import CheckFailed, InvalidInput

if TYPE_CHECKING:
    from modelver.core.verify import Problem
    from modelver.operations.verify import Verdict, VerifyReport

_ELSEWHERE = "modelver verify --remote   (asks the DVC remote; dvc fetch --all-tags brings them here)"

_MOST = 3
"""Problems of one kind with one mend that are shown of a version; JSON has all."""


def verify(
    ref: Annotated[
        str | None,
        typer.Argument(
            help="A version (v1, NAME@v1.2, NAME#ENV) or a decision's tag; nothing: all.", autocompletion=complete_ref
        ),
    ] = None,
    every: Annotated[bool, typer.Option("--all", "-a", help="All versions; the same as to name none.")] = False,
    remote: Annotated[
        bool, typer.Option("--remote", "-r", help="Ask the DVC remote and the Git remote too: could others restore it?")
    ] = False,
    full: Annotated[
        bool, typer.Option("--full", help="Hash and read everything anew; trust nothing that is remembered.")
    ] = False,
    dvc_remote: DvcRemoteOption = None,
    plain_http: PlainHttpOption = False,
    signers: Annotated[
        Path | None,
        typer.Option("--signers", metavar="FILE", help="Each tag is signed by one of these (SSH's allowed signers)."),
    ] = None,
    require_signature: Annotated[
        bool, typer.Option("--require-signature", help="Each tag is signed by a key that Git knows here.")
    ] = False,
    allow_partial: Annotated[
        bool, typer.Option("--allow-partial", help="Let versions pass of which only MD5s are known (tagged by GTO).")
    ] = False,
    weights_signature: Annotated[
        Path | None,
        typer.Option("--weights-signature", metavar="FILE", help="OpenSSF signature of the weights (modelver sign)."),
    ] = None,
    public_key: Annotated[
        Path | None, typer.Option("--public-key", metavar="FILE", help="The key that the weights are signed by, PEM.")
    ] = None,
    accept: Annotated[
        bool, typer.Option("--accept", help="First remember that what the tag REF names now is right.")
    ] = False,
    model: ModelOption = None,
    form: FormatOption = Format.table,
) -> None:
    """Is every version still what was published, and could it be restored? Ends with 1 if not.

    Looks at tags (moved, deleted, signed by whom), sidecars, manifests, lock files, and hashes the weights.

    Examples:

      modelver verify digits@v1.2.0

      modelver verify --remote --format json
    """
    from modelver.operations.verify import VerifyRequest

    if ref is not None and every:
        raise InvalidInput("either one version or all", hint=f"modelver verify {ref}")
    if accept and ref is None:
        raise InvalidInput("which tag shall be accepted?", hint="modelver verify NAME@v1.2.0 --accept")
    opened = repository()
    if accept and ref is not None:
        accepted = opened.accept_tag(ref)
        say(f"accepted: {ref} is {accepted or 'gone'}")
        if accepted is None:
            return
    report = opened.verify(
        VerifyRequest(
            ref=ref,
            model=model,
            remote=remote,
            full=full,
            dvc_remote=dvc_remote,
            plain_http=plain_http,
            signers=signers,
            require_signature=require_signature,
            allow_partial=allow_partial,
            weights_signature=weights_signature,
            public_key=public_key,
        ),
        bars=lambda what, total: Progress(what, total or None),
    )
    if form is Format.json:
        out_json(report.to_dict())
    else:
        out(_answer(report, form))
    bad = [verdict for verdict in (*report.versions, *report.decisions) if not verdict.ok]
    if all(map(_unchecked, bad)) and bad:
        raise CheckFailed(f"weights are not on this machine, so not checked: {_listed(bad)}", hint=_ELSEWHERE)
    if bad:
        raise CheckFailed(f"not as published, or not to be restored: {_listed([v for v in bad if not _unchecked(v)])}")


def _unchecked(verdict: "Verdict") -> bool:
    """Whether nothing is wrong but that the weights are elsewhere, as in a fresh clone."""
    return not verdict.ok and all(problem.kind == "unchecked" for problem in verdict.problems)


def _listed(verdicts: "Sequence[Verdict]") -> str:
    tags = [verdict.tag for verdict in verdicts]
    return ", ".join(tags[:4]) + (f" and {len(tags) - 4} more" if len(tags) > 4 else "")


def _verdict(verdict: "Verdict") -> str:
    return "ok" if verdict.ok else "not checked" if _unchecked(verdict) else "NO"


def _answer(report: "VerifyReport", form: Format) -> str:
    from modelver.core.printable import printable

    verdicts = [*report.versions, *report.decisions]
    rows = [(v.tag, _verdict(v), _signature(v), _checked(v)) for v in verdicts]
    lines = [table(rows, ("tag", "verdict", "signature", "objects checked"), form)]
    for verdict in verdicts:
        lines += [] if _unchecked(verdict) else _problems(verdict)
        lines += [f"note: {verdict.tag}: {printable(note)}" for note in verdict.notes]
    lines += [f"note: {printable(note)}" for note in report.notes]
    return "\n".join(lines)


def _problems(verdict: "Verdict") -> list[str]:
    from modelver.core.printable import printable

    groups: dict[tuple[str, str], list[Problem]] = {}
    for problem in verdict.problems:
        groups.setdefault((problem.kind, problem.hint), []).append(problem)
    lines = []
    for (kind, hint), problems in groups.items():
        lines.append("")
        for problem in problems[:_MOST]:
            lines.append(f"{verdict.tag}: {kind}: {printable(problem.what)}: {printable(problem.message)}")
        if len(problems) > _MOST:
            lines.append(f"{verdict.tag}: {kind}: and {len(problems) - _MOST} more such")
        lines += [f"    {printable(hint)}"] if hint else []
    return lines


def _signature(verdict: "Verdict") -> str:
    from modelver.core.printable import printable

    if verdict.signature is None:
        return "-"
    state, names = verdict.signature.state, verdict.signature.names
    people = [name for name in names if not name.startswith("SHA256:")] or list(names)
    who = f" ({printable(people[0])})" if people else ""
    return {"unsigned": "none", "unknown": "unknown key"}.get(state, state) + who


def _checked(verdict: "Verdict") -> str:
    return ", ".join(f"{count} {where}" for where, count in verdict.checked.items()) or "-"
