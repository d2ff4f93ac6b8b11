"""``modelver status``."""

from typing import Annotated

import typer

from modelver.cli.context import Format, FormatOption, complete_model, out, out_json, repository, say, table


def status(
    name: Annotated[str | None, typer.Argument(help="Only this model.", autocompletion=complete_model)] = None,
    form: FormatOption = Format.table,
) -> None:
    """Say what changed since each model's last version, and what stands between it and a tag.

    Example:

      modelver status digits
    """
    found = repository().status(name)
    if form is Format.json:
        out_json([one.to_dict() for one in found])
        return
    if not found:
        say("this repository has no models yet; add one with: modelver add NAME PATH")
        return
    if form is Format.markdown:
        rows = [(s.model, s.last or "", s.next or "", s.level, "<br>".join(o.what for o in s.obstacles)) for s in found]
        out(table(rows, ("model", "last", "next", "bump", "in the way"), form))
        return
    for one in found:
        out(f"{one.model} ({one.kind}): " + (f"last version {one.last}" if one.last else "no version yet"))
        for environment, version in sorted(one.environments.items()):
            out(f"  runs in {environment}: {version}")
        for note in one.notes:
            out(f"  note: {note}")
        if one.last and not (one.changes or one.obstacles or one.notes):
            out("  nothing changed since")
        for change in one.changes if one.last else ():
            out(f"  changed: {change}")
        for obstacle in one.obstacles:
            out(f"  in the way: {obstacle.what}")
            if obstacle.mend:
                out(f"    {obstacle.mend}")
        if one.next and not one.obstacles:
            out(f"  ready: modelver tag {one.model}   makes {one.next} ({one.level})")
