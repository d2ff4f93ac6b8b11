"""``modelver doctor``."""

from typing import TYPE_CHECKING, Annotated

import typer

from modelver.cli.context import Format, FormatOption, PlainHttpOption, Progress, out, out_json, repository, table
from modelver.errors import CheckFailed

if TYPE_CHECKING:
    from modelver.operations.doctor import Diagnosis


def doctor(
    fix: Annotated[bool, typer.Option("--fix", help="Mend what can be mended safely; the rest is only told.")] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Ask neither the DVC remote nor the Git remote.")] = False,
    plain_http: PlainHttpOption = False,
    form: FormatOption = Format.table,
) -> None:
    """Find what goes wrong in repositories with models, say why it matters, and mend it. Ends with 1 if any is left.

    Without --fix nothing is written. Nothing that a living process may hold is ever removed.

    Examples:

      modelver doctor

      modelver doctor --fix

      modelver doctor --offline --format json
    """
    with Progress("hashing") as progress:
        diagnosis = repository().doctor(fix=fix, offline=offline, plain_http=plain_http, progress=progress)
    if form is Format.json:
        out_json(diagnosis.to_dict())
    else:
        out(_answer(diagnosis, form))
    left = [finding for finding in diagnosis.findings if not finding.fixed]
    if left:
        mendable = sum(finding.fixable for finding in left) if not fix else 0
        problems = "1 problem" if len(left) == 1 else f"{len(left)} problems"
        hint = f"modelver doctor --fix   (mends {mendable} of them)" if mendable else ""
        raise CheckFailed(f"{problems} found", hint=hint)


def _answer(diagnosis: "Diagnosis", form: Format) -> str:
    from modelver.core.printable import printable

    if not diagnosis.findings:
        return "nothing to mend"
    if form is Format.markdown:
        rows = [
            ("mended" if f.fixed else f.level, f.id, printable(f.message), printable(f.why), printable(f.hint))
            for f in diagnosis.findings
        ]
        return table(rows, ("", "id", "what", "why it matters", "what mends it"), form)
    lines = []
    for finding in diagnosis.findings:
        lines.append(f"{'mended' if finding.fixed else finding.level}: {finding.id}: {printable(finding.message)}")
        lines.append(f"    why: {printable(finding.why)}")
        if not finding.fixed and finding.hint:
            by_itself = "   (or: modelver doctor --fix)" if finding.fixable else ""
            lines.append(f"    mend: {printable(finding.hint)}{by_itself}")
    return "\n".join(lines)
