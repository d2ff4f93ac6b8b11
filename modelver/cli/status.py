"""``modelver status``."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from modelver.cli.context import Format, FormatOption, complete_model, out, out_json, repository, say, table

if TYPE_CHECKING:
    from modelver.operations.status import ModelStatus


def status(
    name: Annotated[str | None, typer.Argument(help="Only this model.", autocompletion=complete_model)] = None,
    form: FormatOption = Format.table,
) -> None:
    """Say what changed since each model's last version, and what stands between it and a tag.

    Example:

      modelver status digits
    """
    from modelver.core.printable import printable

    found = repository().status(name)
    if form is Format.json:
        out_json([one.to_dict() for one in found])
        return
    if not found:
        say("this repository has no models yet; add one with: modelver add NAME PATH")
        return
    if form is Format.markdown:
        rows = [
            (s.model, s.last or "", s.next or "", s.level, "<br>".join(printable(o.what) for o in s.obstacles))
            for s in found
        ]
        out(table(rows, ("model", "last", "next", "bump", "in the way"), form))
        return
    for line in (line for one in found for line in _lines(one)):
        out(printable(line))


def _lines(one: "ModelStatus") -> Iterator[str]:
    yield f"{one.model} ({one.kind}): " + (f"last version {one.last}" if one.last else "no version yet")
    for environment, version in sorted(one.environments.items()):
        yield f"  runs in {environment}: {version}"
    for note in one.notes:
        yield f"  note: {note}"
    if one.last and not (one.changes or one.obstacles or one.notes):
        yield "  nothing changed since"
    for change in one.changes if one.last else ():
        yield f"  changed: {change}"
    for obstacle in one.obstacles:
        yield f"  in the way: {obstacle.what}"
        if obstacle.mend:
            yield f"    {obstacle.mend}"
    if one.next and not one.obstacles:
        yield f"  ready: modelver tag {one.model}   makes {one.next} ({one.level})"
