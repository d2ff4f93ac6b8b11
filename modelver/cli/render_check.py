"""The verdict of `modelver check` for people: plain text, and Markdown for one comment on a pull request."""

from collections.abc import Iterator

from modelver.cli import render_diff
from modelver.cli.render_diff import COMMENT_CHARS, code, prose
from modelver.core.printable import printable
from modelver.operations.check import CheckReport, ModelCheck

MARKER = "<!-- modelver:check -->"
"""First line of a comment, which no reader sees: CI finds the comment by it and updates it."""

EMPTY_MARKER = "<!-- modelver:check none -->"
"""The same where no model changed: CI then makes no comment where there is none yet."""

_DIFF_CHARS = 40_000


def table(report: CheckReport) -> str:
    """The verdict as plain text; ends with a newline."""
    lines = [f"{report.base} ({report.base_commit[:10]}) -> HEAD ({report.commit[:10]})"]
    lines += [f"note: {printable(note)}" for note in report.notes]
    if not report.models:
        lines.append("no model changed")
    for model in report.models:
        lines += ["", f"{_title(model)}: {'ok' if model.ok else 'NO'}"]
        width = max((len(finding.name) for finding in model.findings), default=0)
        for finding in model.findings:
            lines.append(f"  {'ok' if finding.ok else 'NO'}  {finding.name:{width}}  {printable(finding.message)}")
            if finding.hint:
                lines.append(f"      {'':{width}}  {printable(finding.hint)}")
        lines += [f"  note: {printable(note)}" for note in model.notes]
    return "\n".join([*lines, ""])


def markdown(report: CheckReport, max_chars: int = COMMENT_CHARS) -> str:
    """The verdict as GitHub-flavoured Markdown: a table for each model, then what changed, as `modelver diff` has it.

    Args:
        report: what to show.
        max_chars: the whole is no longer than this; what does not fit is counted. GitHub refuses 65,536 and more.
    """
    if not report.models:
        lines = [EMPTY_MARKER, "### modelver: no model changed", "", *_notes(report.notes)]
        return "\n".join([*lines, ""])[:max_chars]
    lines = [MARKER, f"### modelver: {'ok' if report.ok else 'not ready to merge'}", ""]
    lines += [f"{code(report.commit[:10])} against {code(report.base)} ({code(report.base_commit[:10])})", ""]
    text = "\n".join([*lines, *_notes(report.notes), ""])
    ordered = sorted(report.models, key=lambda model: (model.ok, model.model))
    room = max_chars - 200
    for count, model in enumerate(ordered):
        block = "\n".join([*_verdict(model), ""])
        if len(text) + len(block) > room:
            return text + f"\n… and {len(ordered) - count} more models: `modelver check` lists them all\n"
        text += block
    for model in ordered:
        changes = _changes(model, min(_DIFF_CHARS, room - len(text)))
        text += changes if len(text) + len(changes) <= room else ""
    return text


def _title(model: ModelCheck) -> str:
    if model.version is None:
        return f"{model.model} ({model.change})"
    if model.previous is None:
        return f"{model.model} {model.version} (first version)"
    if model.previous == model.version:
        return f"{model.model} (no new version since {model.previous})"
    return f"{model.model} {model.version} ({model.level} since {model.previous})"


def _notes(notes: tuple[str, ...]) -> list[str]:
    return [f"- {prose(note)}" for note in notes]


def _verdict(model: ModelCheck) -> Iterator[str]:
    yield f"\n#### {code(_title(model))}: {'ok' if model.ok else '**no**'}\n"
    yield "| check | | why | what to do |"
    yield "|---|---|---|---|"
    for finding in model.findings:
        hint = code(finding.hint, 200) if finding.hint else ""
        yield f"| {finding.name} | {'ok' if finding.ok else '**no**'} | {code(finding.message, 300)} | {hint} |"
    if model.notes:
        yield ""
        yield from _notes(model.notes)


def _changes(model: ModelCheck, room: int) -> str:
    """The diff, folded; a pointer to it where there is no room."""
    if model.diff is None or (model.diff.empty and model.previous is not None):
        return ""
    head, tail = f"\n<details><summary>What changed: {code(model.model)}</summary>\n\n", "\n</details>\n"
    body = render_diff.markdown(model.diff, max_chars=max(room - len(head) - len(tail), 0))
    if len(head) + len(body) + len(tail) > room:
        return f"\nWhat changed in {code(model.model)} is too long for a comment: see `modelver diff`.\n"
    return head + body + tail
