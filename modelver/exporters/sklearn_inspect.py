"""What a fitted scikit-learn model is made of, found without knowing every class."""

from collections.abc import Iterator
from typing import Any

from modelver.errors import Refused


def parts(model: Any) -> Iterator[Any]:
    """The estimators that a fitted model consists of, itself first: steps, members, splitters, trees."""
    from sklearn.base import BaseEstimator

    seen: set[int] = set()
    stack = [model]
    while stack:
        value = stack.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, BaseEstimator):
            yield value
        stack.extend(reversed(_inside(value)))


def has_trees(model: Any) -> bool:
    """Whether decision trees decide somewhere (``_predictors`` is where HistGradientBoosting keeps its own)."""
    return any(hasattr(part, "tree_") or hasattr(part, "_predictors") for part in parts(model))


def unwrap(model: Any) -> Any:
    """The fitted estimator in a search (GridSearchCV and its kind), else the model itself."""
    while hasattr(model, "best_estimator_"):
        model = model.best_estimator_
    return model


def final(model: Any) -> Any:
    """The last step of a pipeline (of pipelines), else the model itself."""
    model = unwrap(model)
    while hasattr(model, "steps"):
        model = unwrap(model.steps[-1][1])
    return model


def prepare(model: Any) -> Any:
    """The model, set (in memory only) so that it answers the same on each run and can be converted."""
    model = unwrap(model)
    for part in parts(model):
        if getattr(part, "n_jobs", None) is not None:
            part.n_jobs = 1  # threads add the trees' votes in the order in which they finish
        if getattr(part, "flatten_transform", False):
            part.flatten_transform = False  # VotingClassifier: skl2onnx takes no other; it concerns transform() only
    return model


def labels(model: Any, name: str) -> tuple[str | int | float | bool, ...] | None:
    """The classes, in the order of the probabilities' columns; None where there are none.

    Raises:
        Refused: there are several lists of classes, one for each of several targets.
    """
    from sklearn.base import is_classifier

    if not is_classifier(model):
        return None
    classes = model.classes_
    if isinstance(classes, list) or getattr(classes, "ndim", 1) != 1:
        raise Refused(
            f"model {name}: {type(final(model)).__name__} predicts several targets at once, which is not exported",
            hint="export one classifier for each target",
        )
    return tuple(item if isinstance(item, str) else item.item() for item in classes)


def feature_names(model: Any) -> list[str] | None:
    """The columns that the model was fitted on; None where it was fitted on an array."""
    names = getattr(model, "feature_names_in_", None)
    return None if names is None else [str(name) for name in names]


def width(model: Any) -> int | None:
    """The number of features; None where the model does not know (text)."""
    count = getattr(model, "n_features_in_", None)
    return None if count is None else int(count)


def takes_text(model: Any) -> bool:
    """Whether the first step turns text into features (CountVectorizer and its kind)."""
    model = unwrap(model)
    while hasattr(model, "steps"):
        model = unwrap(model.steps[0][1])
    return hasattr(model, "build_analyzer")


def encoded_columns(model: Any) -> set[str]:
    """Columns that only encoders of categories read, which want them in their own dtype."""
    encoded: set[str] = set()
    numeric: set[str] = set()
    for part in parts(model):
        for _, step, columns in getattr(part, "transformers_", ()):
            names = [columns] if isinstance(columns, str) else columns
            if not isinstance(names, slice) and all(isinstance(name, str) for name in names):
                while hasattr(step, "steps"):
                    step = step.steps[0][1]
                target = encoded if hasattr(step, "categories_") else numeric
                target.update(names if step != "drop" else ())
    return encoded - numeric


def _inside(value: Any) -> list[Any]:
    import numpy as np

    if isinstance(value, dict):
        return list(value.values())
    if isinstance(value, list | tuple):
        return list(value)
    if isinstance(value, np.ndarray):
        return list(value.ravel()) if value.dtype == object else []
    # Some members are no estimators themselves: CalibratedClassifierCV keeps _CalibratedClassifier objects.
    if type(value).__module__.startswith("sklearn.") and hasattr(value, "__dict__"):
        return list(vars(value).values())
    return list(vars(value).values()) if hasattr(value, "get_params") and not isinstance(value, type) else []
