"""Metrics of a model on data with targets, in NumPy alone, so that a validation needs no framework.

Definitions are scikit-learn's, and the tests compare with it: ``accuracy_score``, ``f1_score(average="macro")``,
``log_loss``, ``roc_auc_score(multi_class="ovr")``, ``mean_absolute_error``, ``r2_score``, ``root_mean_squared_error``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from modelver.errors import InvalidInput

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Answers:
    """A model's outputs by what they mean, first dimension rows.

    Attributes:
        labels: one label a row, integers or text; None where the model gives none.
        scores: floating-point, ``[rows]`` or ``[rows, k]``; None where it gives none.
        classes: the labels that the scores' columns stand for; None where nobody says.
    """

    labels: "Array | None"
    scores: "Array | None"
    classes: Sequence[Any] | None


def answers(outputs: "Mapping[str, Array]", classes: Sequence[Any] | None, rows: int) -> Answers:
    """Sort a model's outputs: the first of integers or text with one value a row, the first of numbers."""
    import numpy as np

    labels = scores = None
    for value in outputs.values():
        if not isinstance(value, np.ndarray) or not value.ndim or value.shape[0] != rows:
            continue
        if value.dtype.kind in "iubOUS" and value.size == rows and labels is None:
            labels = value.reshape(rows)
        elif value.dtype.kind == "f" and value.ndim <= 2 and scores is None:
            scores = value
    return Answers(labels, scores, classes)


def default_task(given: Answers, target: "Array") -> str:
    """What these outputs and targets can be measured as: one of `core.model_settings.TASKS`."""
    if given.classes is not None:
        return "classification"
    if given.labels is not None:
        signs = {-1, 1}
        both = (given.labels, target)
        return "outlier" if all(a.dtype.kind in "if" and set(a.ravel().tolist()) <= signs for a in both) else "none"
    if given.scores is None:
        return "none"
    columns = given.scores.shape[1] if given.scores.ndim == 2 else 1
    if columns > 1 and target.ndim == 1:
        return "classification" if target.dtype.kind in "iubOUS" else "none"
    return "regression" if target.dtype.kind in "iuf" else "none"


def compute(task: str, given: Answers, target: "Array", where: str) -> dict[str, float]:
    """The metrics of ``task``, by name; those that the outputs or targets do not allow are left out.

    Args:
        task: ``classification`` (accuracy, f1_macro, log_loss, roc_auc), ``outlier`` (accuracy, roc_auc; 1 is an
            inlier), ``regression`` (mae, r2, rmse; mae and rmse in the target's unit) or ``none``.
        given: the model's outputs.
        target: true values, first dimension rows.
        where: the data file, for messages.

    Raises:
        InvalidInput: outputs, targets and task do not fit together.
    """
    if task == "none":
        return {}
    if task == "regression":
        return _regression(given, target, where)
    return _classification(given, target, where, outlier=task == "outlier")


def _regression(given: Answers, target: "Array", where: str) -> dict[str, float]:
    import numpy as np

    if given.scores is None or target.dtype.kind not in "iufb":
        raise InvalidInput(f"{where}: a regression needs numbers, as outputs and as targets", hint=_HINT)
    got = given.scores.astype(np.float64).reshape(len(given.scores), -1)
    want = target.astype(np.float64).reshape(len(target), -1)
    if got.shape != want.shape:
        raise InvalidInput(f"{where}: the targets' shape is {list(target.shape)}, the outputs' {list(got.shape)}")
    if not np.isfinite(want).all():
        raise InvalidInput(f"{where}: some targets are missing or infinite", hint="drop these rows from the data file")
    error = got - want
    metrics = {"mae": float(np.abs(error).mean()), "rmse": float(np.sqrt((error**2).mean(axis=0)).mean())}
    spread = ((want - want.mean(axis=0)) ** 2).sum(axis=0)
    if len(want) > 1 and (spread > 0).all():
        metrics["r2"] = float((1.0 - (error**2).sum(axis=0) / spread).mean())
    return metrics


def _classification(given: Answers, target: "Array", where: str, outlier: bool) -> dict[str, float]:
    import numpy as np

    if target.ndim == 2 and target.shape[1] == 1:
        target = target[:, 0]
    if target.ndim != 1:
        raise InvalidInput(f"{where}: targets of shape {list(target.shape)} are no labels", hint=_HINT)
    classes = _classes(given, target, outlier)
    predicted = given.labels
    if predicted is None:
        if given.scores is None or given.scores.ndim != 2:
            raise InvalidInput(f"{where}: the model gives neither labels nor a score for each class", hint=_HINT)
        predicted = np.asarray(classes, dtype=object)[given.scores.argmax(axis=1)]
    want, got = _alike(target, where), _alike(predicted, where)
    if _is_text(want) != _is_text(got):
        kinds = ("text", "numbers") if _is_text(want) else ("numbers", "text")
        raise InvalidInput(f"{where}: the targets are {kinds[0]}, the model's labels are {kinds[1]}", hint=_HINT)
    metrics = {"accuracy": float((want == got).mean()), "f1_macro": _f1_macro(want, got)}
    if outlier:
        del metrics["f1_macro"]
    known = _alike(np.asarray(classes, dtype=object), where)
    if given.scores is not None and set(want.tolist()) <= set(known.tolist()):
        position = {label: number for number, label in enumerate(known.tolist())}
        metrics |= _by_scores(given.scores, np.array([position[label] for label in want.tolist()]), len(known))
    return metrics


def _classes(given: Answers, target: "Array", outlier: bool) -> Sequence[Any]:
    if given.classes is not None:
        return given.classes
    if outlier:
        return (-1, 1)
    if given.scores is not None and given.scores.ndim == 2:
        return range(given.scores.shape[1])
    return sorted(set(target.tolist()))


def _by_scores(scores: "Array", truth: "Array", classes: int) -> dict[str, float]:
    """Metrics over scores; ``truth`` holds the class's column for each row."""
    import numpy as np

    metrics: dict[str, float] = {}
    eps = float(np.finfo(scores.dtype).eps)
    values = scores.astype(np.float64).reshape(len(scores), -1)
    if not np.isfinite(values).all():
        return metrics
    probable = values.shape[1] == classes > 1 and values.min() > -1e-6 and np.allclose(values.sum(axis=1), 1, atol=1e-4)
    if probable:
        chosen = values[np.arange(len(truth)), truth]
        metrics["log_loss"] = float(-np.log(np.clip(chosen, eps, 1 - eps)).mean())
    present = np.bincount(truth, minlength=classes)
    if classes == 2 and values.shape[1] <= 2 and (present > 0).all():
        metrics["roc_auc"] = _auc(values[:, -1], truth == 1)
    elif probable and classes > 2 and (present > 0).all():
        metrics["roc_auc"] = float(np.mean([_auc(values[:, k], truth == k) for k in range(classes)]))
    return metrics


def _auc(score: "Array", positive: "Array") -> float:
    """Share of (positive, negative) pairs in the right order, ties half: Mann and Whitney's U over ranks."""
    import numpy as np

    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2.0)[inverse]
    count = int(positive.sum())
    u = ranks[positive].sum() - count * (count + 1) / 2.0
    return float(u / (count * (len(score) - count)))


def _f1_macro(want: "Array", got: "Array") -> float:
    scores = []
    for label in sorted(set(want.tolist()) | set(got.tolist())):
        hits = int(((want == label) & (got == label)).sum())
        scores.append(2 * hits / (int((want == label).sum()) + int((got == label).sum())))
    return sum(scores) / len(scores)


def _alike(labels: "Array", where: str) -> "Array":
    """Labels as text or as numbers that compare equal: True and 1.0 are 1, as scikit-learn's converters have it."""
    import numpy as np

    values = labels.tolist()
    result = np.empty(len(values), dtype=object)
    for number, value in enumerate(values):
        if value is None or value != value:
            raise InvalidInput(f"{where}: some targets are missing", hint="drop these rows from the data file")
        result[number] = int(value) if isinstance(value, bool | float) and value == int(value) else value
    return result


def _is_text(labels: "Array") -> bool:
    return any(isinstance(label, str) for label in labels)


_HINT = "correct `target:` or `task:` in params.yaml"
