"""`modelver diff`: two refs of one model, compared by what Git holds."""

from collections.abc import Mapping
from typing import Any

from modelver.core.diff import Diff
from modelver.core.diff import diff as compare
from modelver.errors import InvalidInput
from modelver.operations.facts import model_settings
from modelver.operations.project import Project
from modelver.operations.views import View, view


def diff(project: Project, a: str, b: str | None = None, model: str | None = None) -> Diff:
    """Compare two refs; ``b`` None is the working tree.

    Raises:
        InvalidInput: a ref is malformed, or the two sides are different models.
        NotFound: a ref names nothing.
    """
    first = project.resolve(a, model)
    second = project.resolve(b, model or first.model)
    if first.model != second.model:
        raise InvalidInput(f"{first.label} and {second.label} are different models")
    return diff_views(project, view(project, first), view(project, second))


def diff_views(project: Project, a: View | None, b: View) -> Diff:
    """Compare two views; ``a`` None is a model that did not exist."""
    return compare(
        a.sidecar if a else None,
        b.sidecar,
        tensors_a=a.tensors if a else None,
        tensors_b=b.tensors,
        files_a=a.files if a else None,
        files_b=b.files,
        ref_a=a.ref_facts() if a else None,
        ref_b=b.ref_facts(),
        directions=_directions(model_settings(project.worktree, b.resolved.model)),
    )


def _directions(settings: Mapping[str, Any]) -> dict[str, str]:
    """Which way a metric is better, where its gate says so: only a floor means higher, only a ceiling lower."""
    gates = settings.get("gates")
    directions = {}
    for metric, bounds in gates.items() if isinstance(gates, Mapping) else ():
        if isinstance(bounds, Mapping) and ("min" in bounds) != ("max" in bounds):
            directions[str(metric)] = "max" if "min" in bounds else "min"
    return directions
