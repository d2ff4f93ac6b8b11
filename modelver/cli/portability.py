"""``modelver portability`` and ``modelver stage runtimes``."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from modelver.cli.context import Format, FormatOption, ModelOption, complete_ref, out, out_json, say, table
from modelver.core.printable import printable, shorten

if TYPE_CHECKING:
    from modelver.operations.portability import Target


def portability(
    ref: Annotated[
        str | None, typer.Argument(help="The version, a ref; nothing: the working tree.", autocompletion=complete_ref)
    ] = None,
    model: ModelOption = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Run every declared target now and here, and time it; writes nothing.")
    ] = False,
    form: FormatOption = Format.table,
) -> None:
    """Show where a version runs: each declared target, its operators, how its answers agree, and how long it takes.

    Only what validation recorded in Git is read, unless --measure is given: then the weights must be here, in the
    working tree or in DVC's cache. Which targets are tried, `targets:` in params.yaml says. A target that is not
    installed is shown as not run.

    Times are ratios to onnxruntime in Python, measured in turns in the same run. Validation records them where
    params.yaml has `latency:`.

    Examples:

      modelver portability digits@latest --format markdown

      modelver portability digits@v1.2.0 --measure
    """
    from modelver.operations.project import Project

    project = Project.open(Path.cwd())
    if measure:
        from modelver.operations import portability_measure

        found = portability_measure.measure(project, ref, model, say)
    else:
        from modelver.operations.portability import portability as recorded

        found = recorded(project, ref, model)
        if not any(target.latency for target in found):
            say("no latency is recorded: --measure measures it here and now; `latency:` in params.yaml records it")
    if form is Format.json:
        out_json([target.to_dict() for target in found])
        return
    out("\n".join([table([_row(target) for target in found], _HEADERS, form), *_machine(found)]))


_HEADERS = (
    "target", "version", "runs", "operators", "max abs", "max rel", "labels", "latency p50", "p95", "timed runs", "",
)  # fmt: skip


def _row(target: "Target") -> tuple[str, ...]:
    times = target.latency
    return (
        target.name, target.version or "-", "yes" if target.ok else ("differs" if target.ran else "no"),
        target.operators or "-", _figure(target.max_abs), _figure(target.max_rel),
        "-" if target.label_agreement is None else f"{target.label_agreement:.2%}",
        *(("-",) * 3 if times is None else (f"{times.p50_ratio:g}x", f"{times.p95_ratio:g}x", str(times.runs))),
        shorten(printable(target.reason).replace("|", "/"), 100),
    )  # fmt: skip


def _machine(found: "Sequence[Target]") -> list[str]:
    """What the latencies are of, and what they were measured on; nothing where there are none."""
    timed = {target.name: target.latency for target in found if target.latency is not None}
    if not timed:
        return []
    first = next(iter(timed.values()))
    threads = ", ".join(
        f"{printable(name)} {'its own choice' if times.threads is None else times.threads}"
        for name, times in timed.items()
    )
    return [
        "",
        f"Latency: time for the same {first.rows} rows over that of onnxruntime in the same run, in turns, loading and "
        f"warm-up left out. Processor: {shorten(printable(first.processor), 80)}. Threads: {threads}.",
    ]


def runtimes(
    install: Annotated[
        str | None, typer.Option("--install", metavar="NAME", help="Bring this one from npm first.")
    ] = None,
) -> None:
    """Show the runtimes that a model can be tried on, and which of them are here.

    Those of JavaScript come from npm into modelver's cache folder (MODELVER_NODE_DIR, or ~/.cache/modelver/node);
    others are Python packages.
    """
    from modelver.errors import Refused
    from modelver.exporters import plugins
    from modelver.runtimes import base, node

    if install is not None:
        node.install(install)
    rows = []
    for name in plugins.names(base.GROUP):
        try:
            rows.append((name, base.find(name).version(), ""))
        except Refused as error:
            rows.append((name, "not installed", error.hint))
    out(table(rows, ("runtime", "version", "")))


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.2g}"
