"""Try every estimator of scikit-learn: does it convert, and does the result agree? Writes docs/sklearn-estimators.md.

Each estimator is fitted with its defaults on data that scikit-learn ships, exported by `modelver stage export` and
judged by `modelver stage validate`, each in a process of its own with a time limit.

    python scripts/sklearn_table.py                 # all, some minutes
    python scripts/sklearn_table.py Ridge SVC       # these, printed only
"""

import inspect
import multiprocessing
import os
import re
import sys
import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path

LIMIT = 120
"""Seconds for one estimator."""

TARGET = Path(__file__).resolve().parents[1] / "docs" / "sklearn-estimators.md"

OUTCOMES = {
    "agrees": "converts, and agrees",
    "differs": "converts, and does not agree: validation refuses it",
    "refused": "does not convert",
    "unusable": "is no model of rows",
}
"""What can come of an estimator, best first."""


def data_for(name, estimator):
    """Rows and target that this estimator can be fitted on."""
    import numpy as np
    from sklearn import datasets
    from sklearn.base import is_classifier, is_regressor

    X, y = datasets.load_iris(return_X_y=True)
    if name in ("CountVectorizer", "TfidfVectorizer", "HashingVectorizer"):
        texts = [line for line in datasets.load_iris().DESCR.splitlines() if len(line.split()) > 3]
        return np.array(texts), np.arange(len(texts)) % 2
    if name in ("CategoricalNB", "OrdinalEncoder", "OneHotEncoder", "TargetEncoder"):
        return np.floor(X), y
    if name == "IsotonicRegression":
        X, y = datasets.load_diabetes(return_X_y=True)
        return X[:, 2:3], y
    if is_regressor(estimator) or name == "PLSSVD":
        X, y = datasets.load_diabetes(return_X_y=True)
        several = name.startswith(("MultiTask", "CCA", "PLS", "MultiOutput", "RegressorChain"))
        if name in ("PoissonRegressor", "GammaRegressor", "TweedieRegressor"):
            y = y / y.mean()
        return X, np.column_stack([y, np.sqrt(y)]) if several else y
    if "Threshold" in name and is_classifier(estimator):
        return X, (y > 0).astype(int)
    if name in ("MultiOutputClassifier", "ClassifierChain"):
        return X, np.column_stack([y > 0, y > 1]).astype(int)
    if name.startswith("BernoulliRBM"):
        return X / X.max(), y
    return X, y if is_classifier(estimator) or "y" in inspect.signature(type(estimator).fit).parameters else None


def build(cls):
    """An instance with defaults, and small inner models where some are required."""
    from sklearn.base import ClassifierMixin
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.preprocessing import StandardScaler

    classifier = issubclass(cls, ClassifierMixin) or cls.__name__ in ("RFE", "RFECV", "SelectFromModel")
    inner = LogisticRegression(max_iter=300) if classifier or "Threshold" in cls.__name__ else Ridge()
    if cls.__name__.endswith("SearchCV"):
        inner = LogisticRegression(max_iter=300)
    given = {
        "estimator": inner,
        "base_estimator": inner,
        "estimators": [("a", inner), ("b", type(inner)())],
        "steps": [("scale", StandardScaler()), ("model", inner)],
        "transformers": [("a", StandardScaler(), [0, 1]), ("b", "passthrough", [2, 3])],
        "transformer_list": [("a", StandardScaler()), ("b", PCA(2))],
        "param_grid": {"C": [0.1, 1.0]},
        "param_distributions": {"C": [0.1, 1.0, 10.0]},
        "dictionary": __import__("numpy").eye(4),
    }
    parameters = inspect.signature(cls).parameters
    required = {name: given[name] for name, p in parameters.items() if p.default is p.empty and name in given}
    if cls.__name__ == "ColumnTransformer":
        required["transformers"] = given["transformers"]
    if cls.__name__ == "SelfTrainingClassifier":
        required["estimator"] = inner
    more = {"random_state": 0} if "random_state" in parameters else {}
    if cls.__name__ in ("GaussianRandomProjection", "SparseRandomProjection"):
        more["n_components"] = 2
    if cls.__name__ == "RandomizedSearchCV":
        more["n_iter"] = 2
    return cls(**required, **more)


def try_one(name):
    """``[outcome, why]`` for one estimator."""
    import joblib
    import numpy as np
    from sklearn.utils import all_estimators

    from modelver.errors import ModelverError
    from modelver.operations import stage_export, stage_validate

    cls = dict(all_estimators())[name]
    if not any(hasattr(cls, method) for method in ("predict", "transform")):
        return ["unusable", "has neither predict nor transform for new rows"]
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        try:
            model = build(cls)
            X, y = data_for(name, model)
            model = model.fit(X) if y is None else model.fit(X, y)
        except (TypeError, ValueError, AttributeError) as error:
            return ["unusable", f"cannot be fitted on rows: {first_line(error)}"]
        root = Path(folder)
        joblib.dump(model, root / "m.joblib")
        np.savez(root / "data.npz", X=X, **({} if y is None else {"y": y}))
        settings = {"source": "m.joblib", "framework": "sklearn", "data": "data.npz", "task": "none"}
        try:
            stage_export.run(root, "m", settings)
            result = stage_validate.run(root, "m", settings)
        except ModelverError as error:
            return ["refused", first_line(error).removeprefix("model m: ")]
        if result.ok:
            return ["agrees", ""]
        return ["differs", next(check.message for check in result.checks if not check.ok)]


def first_line(error):
    """An error's text on one short line."""
    lines = str(error).strip().splitlines()
    return " ".join(lines[0].split())[:160] if lines else type(error).__name__


def in_process(name):
    """`try_one` in a process of its own, forked from this one, which has everything imported already."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_child, args=(name, theirs))
    child.start()
    theirs.close()
    try:
        answer = ours.recv() if ours.poll(LIMIT) else ["refused", f"takes longer than {LIMIT} s"]
    except EOFError:
        child.join()
        answer = ["refused", f"the process ends with status {child.exitcode}"]
    child.kill()
    child.join()
    return answer


def _child(name, pipe):
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # onnxruntime's own log
    pipe.send(try_one(name))


def kind(cls):
    """What an estimator is, in a word."""
    from sklearn import base

    for mixin, word in (
        (base.ClassifierMixin, "classifier"),
        (base.RegressorMixin, "regressor"),
        (base.OutlierMixin, "outlier detector"),
        (base.ClusterMixin, "clusterer"),
        (base.TransformerMixin, "transformer"),
    ):
        if issubclass(cls, mixin):
            return word
    return "other"


def short(why):
    """A reason without what the page says already."""
    if "Unable to find a shape calculator" in why:
        return "skl2onnx has no converter for it"
    return re.sub(r"^skl2onnx cannot convert this \w+ with \w+ inputs: ", "skl2onnx: ", why)


def page(rows):
    """The Markdown page; ``rows``: name, kind, outcome, why."""
    counts = {key: sum(row[2] == key for row in rows) for key in OUTCOMES}
    lines = [
        "# scikit-learn's estimators",
        "",
        "<!-- Written by scripts/sklearn_table.py: change that, not this. -->",
        "",
        f"Every estimator of scikit-learn {version('scikit-learn')}, with its defaults, fitted on data that "
        f"scikit-learn ships, exported by skl2onnx {version('skl2onnx')} through `modelver stage export`, and "
        f"judged by `modelver stage validate` with onnxruntime {version('onnxruntime')} against scikit-learn's own "
        "answers.",
        "",
        "| | estimators |",
        "|---|---|",
        *(f"| {text} | {counts[key]} |" for key, text in OUTCOMES.items()),
        "",
        "One that does not convert can be versioned as it is (`modelver add --plain`). One that does not agree is "
        "exported, and validation says so: `modelver tag` then refuses it.",
        "",
        "| estimator | kind | converts | agrees | why not |",
        "|---|---|---|---|---|",
    ]
    marks = {"agrees": ("yes", "yes"), "differs": ("yes", "no"), "refused": ("no", ""), "unusable": ("", "")}
    for name, word, outcome, why in rows:
        text = short(why).replace("|", "\\|").replace("<", "&lt;")
        lines.append(f"| {name} | {word} | {marks[outcome][0]} | {marks[outcome][1]} | {text} |")
    return "\n".join(lines) + "\n"


def main(arguments):
    """Run; see the module."""
    import onnxruntime
    import skl2onnx  # noqa: F401
    from sklearn.utils import all_estimators

    from modelver.operations import stage_export, stage_validate  # noqa: F401

    onnxruntime.disable_telemetry_events()

    found = dict(all_estimators())
    chosen = arguments or sorted(found)
    rows = []
    for name in chosen:
        outcome, why = in_process(name)
        rows.append((name, kind(found[name]), outcome, why))
        print(f"{name}: {OUTCOMES[outcome]} {why}", file=sys.stderr, flush=True)
    if arguments:
        return
    TARGET.write_text(page(rows), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
