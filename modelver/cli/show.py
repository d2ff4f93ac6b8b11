"""``modelver show``."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from modelver.cli.context import (
    Format,
    FormatOption,
    ModelOption,
    complete_ref,
    out,
    out_json,
    repository,
    size,
    table,
)


def show(
    ref: Annotated[
        str | None,
        typer.Argument(
            help="v1, NAME@v1.2, NAME@latest, NAME#ENV, a Git revision; nothing: the working tree.",
            autocompletion=complete_ref,
        ),
    ] = None,
    model: ModelOption = None,
    form: FormatOption = Format.table,
) -> None:
    """Show one version: what it is, where it comes from, how good it is.

    Examples:

      modelver show latest

      modelver show digits@v1 --format json
    """
    details = repository().show(ref, model=model)
    if form is Format.json:
        out_json(details.to_dict())
        return
    rows = [(name, value) for name, value in _facts(details.view.sidecar, details.tag) if value not in (None, "")]
    out(table(rows, ("field", "value") if form is Format.markdown else (), form))


def _facts(doc: Mapping[str, Any], tag: Mapping[str, Any] | None) -> list[tuple[str, Any]]:
    from modelver.core.printable import printable

    weights, source = doc["weights"], doc["source"] or {}
    facts: list[tuple[str, Any]] = [("model", doc["model"]), ("version", doc["version"])]
    if tag:
        facts += [
            ("tag", f"{tag['name']} ({tag['commit'][:10]})"),
            ("tagged", f"{tag['created']} by {tag['tagger']}"),
            ("message", " ".join(tag["note"].split())),
            ("signature", {"none": "not signed"}.get(tag["signature"], tag["signature"])),
            ("environments", ", ".join(tag["environments"])),
            ("yanked", "yes" if tag["yanked"] else None),
        ]
    facts += [("previous", doc["previous"])]
    facts += [
        (key.replace("_", " "), doc[key]) for key in ("description", "owner", "license", "intended_use", "limitations")
    ]
    facts += [
        ("weights", f"{weights['path']}: {weights['files']} files, {size(weights['bytes'])}"),
        ("sha256", weights["sha256"]),
        ("tensors", f"{weights['tensors']} ({weights['parameters']:,} parameters)" if weights["tensors"] else None),
        (
            "source",
            " ".join(
                str(x) for x in (source.get("framework"), source.get("framework_version"), source.get("path")) if x
            ),
        ),
    ]
    for side in ("inputs", "outputs"):
        for value in (doc["signature"] or {}).get(side) or []:
            dims = ", ".join("?" if d is None else str(d) for d in value.get("shape") or [])
            facts.append((side[:-1], f"{value['name']}: {value['dtype']} [{dims}]"))
    facts += [(f"metric {name}", f"{value:.6g}") for name, value in doc["metrics"].items()]
    if doc["validation"]:
        checks = doc["validation"]["checks"]
        passed = sum(1 for check in checks if check["ok"])
        facts.append(("validation", f"{passed} of {len(checks)} checks passed"))
    for name, variant in (doc.get("variants") or {}).items():
        facts.append(("variant", f"{name}: {variant.get('method')}, {size(variant.get('bytes') or 0)}"))
    facts += [("lineage", f"{stage['stage']}: {stage['cmd']}") for stage in doc["lineage"]]
    return [(name, printable(str(value)) if value not in (None, "") else value) for name, value in facts]
