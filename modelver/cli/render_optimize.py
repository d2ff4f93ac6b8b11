"""The variants of a model as text: size, metrics and latency against the model, and the verdict."""

from collections.abc import Iterator

from modelver.cli.context import size, table
from modelver.core.printable import printable
from modelver.operations.stage_optimize import OptimizeResult


def lines(result: OptimizeResult) -> Iterator[str]:
    """The lines, without newlines."""
    variants = result.document["variants"]
    if not variants:
        yield f"{result.model}: params.yaml asks for no variants"
        return
    rows = []
    for name, record in variants.items():
        changes = [
            f"{metric} {m['before']:.4g} -> {m['after']:.4g}"
            for metric, m in record["metrics"].items()
            if m["after"] is not None
        ]
        ratio = result.ratios.get(name, {}).get("p50")
        rows.append(
            (
                "ok" if record["ok"] else "NO",
                name,
                record["method"],
                f"{size(record['bytes'])} ({record['size_ratio']:.2f} x)",
                "-" if ratio is None else f"{ratio:.2f} x",
                ", ".join(changes) or "-",
            )
        )
    yield table(rows, ("", "variant", "method", "size", "latency", "metrics"))
    for name, record in variants.items():
        for check in record["checks"]:
            if not check["ok"]:
                yield f"NO     {name}: {check['name']}: {printable(check['message'])}"
                yield f"       do: {printable(check['hint'])}"
    if not result.ok:
        yield f"{result.model}: NOT within the limits: modelver tag will refuse it"
