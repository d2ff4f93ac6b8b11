"""``modelver stage``: what the stages of ``dvc.yaml`` call."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from modelver.cli import portability
from modelver.cli.context import Progress, complete_model, out, say

if TYPE_CHECKING:
    from modelver.operations.project import Project

app = typer.Typer(help="What the stages of dvc.yaml call.", no_args_is_help=True, rich_markup_mode=None)

Name = Annotated[str, typer.Argument(help="The model.", autocompletion=complete_model)]


def _project(name: str) -> "Project":
    """The repository around; raises Refused where a stage's records would be written through a link."""
    from modelver.core.layout import Layout
    from modelver.operations.project import Project
    from modelver.operations.transaction import refuse_link

    project = Project.open(Path.cwd())
    refuse_link(project.root, Layout(name).folder)
    return project


@app.command("export")
def export(name: Name) -> None:
    """Turn a framework's own file into models/NAME/weights/, with the framework's answers on real rows.

    The framework's file is opened here, in a process of its own, and nowhere else: pickles run the code in them.
    """
    from modelver.operations.facts import model_settings
    from modelver.operations.stage_export import run

    project = _project(name)
    with Progress(f"exporting {name}") as progress:
        result = run(project.root, name, model_settings(project.worktree, name), progress, own_process=True)
    out(f"exported {name}: {result.tensors} tensors, {result.files} files, {result.rows} recorded rows")


@app.command("assess")
def assess(
    name: Name,
    brief: Annotated[
        bool, typer.Option("--brief", help="Only say where it runs and what is risky, in a line.")
    ] = False,
) -> None:
    """Say what a model needs, on which runtimes its operators are supported, what it costs, and what its export risks.

    Writes models/NAME/assessment.json. Nothing of the model is run.
    """
    from modelver.cli import render_assess
    from modelver.core.names import check_model_name
    from modelver.operations.facts import collect
    from modelver.operations.stage_assess import run

    check_model_name(name)
    project = _project(name)
    result = run(project.root, name, collect(project.worktree, name).path)
    if brief:
        out(render_assess.brief(name, result))
        return
    for line in render_assess.lines(result):
        out(line)


@app.command("optimize")
def optimize(name: Name) -> None:
    """Make the variants that `optimize:` in params.yaml asks for, in models/NAME/variants/, and judge each.

    A variant outside of its limits is recorded as such and ends with status 0, so that `dvc repro` records it;
    `modelver tag` refuses such a model.

    `method: pmml` starts sklearn2pmml, which is under the GNU AGPL-3.0 and needs Java, in a process of its own:
    pip install 'modelver[pmml]'.
    """
    from modelver.cli.render_optimize import lines
    from modelver.operations.facts import model_settings, settings_section
    from modelver.operations.stage_optimize import run

    project = _project(name)
    settings, section = model_settings(project.worktree, name), settings_section(project.worktree, name)
    with Progress(f"optimizing {name}") as progress:
        result = run(project.root, name, settings, progress, section)
    for line in lines(result):
        out(line)


@app.command("validate")
def validate(name: Name) -> None:
    """Check models/NAME/weights/: structure, digests, parity with the framework, targets, metrics, gates.

    A failed verdict is written to validation.json and ends with status 0, so that `dvc repro` records it;
    `modelver tag` refuses such a model.
    """
    from modelver.operations.facts import model_settings, settings_section
    from modelver.operations.gating import checks_against, model_gates
    from modelver.operations.record import base_of
    from modelver.operations.stage_validate import run

    project = _project(name)
    settings, section = model_settings(project.worktree, name), settings_section(project.worktree, name)
    result = run(project.root, name, settings, section=section)
    for check in result.checks:
        out(f"{'ok  ' if check.ok else 'FAIL'} {check.name}: {check.message}")
        if not check.ok and check.hint:
            say(f"hint: {check.hint}")
    gates = [gate for gate in model_gates(settings, name, section) if gate.is_relative]
    base = base_of(project, name) if gates else None
    for check in checks_against(project, name, gates, result.metrics, base.tag if base else None):
        # Told and not recorded: the baseline moves when a tag is made. `modelver tag` judges it again.
        out(f"{'ok  ' if check.ok else 'behind'} {check.name}: {check.message}")
    out(f"{name}: {'valid' if result.ok else 'NOT valid: modelver tag will refuse it'}")


app.command("runtimes")(portability.runtimes)
