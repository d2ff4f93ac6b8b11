"""What the tests of the exporters of boosted trees share: data that scikit-learn ships, and the way through."""

import json

import numpy as np
from sklearn import datasets

from modelver.operations import stage_export, stage_validate


def with_gaps(X):
    """One value of seven is missing."""
    X = np.array(X, dtype=np.float64)
    X.ravel()[::7] = np.nan
    return X


def load(name):
    if name == "wine-gaps":
        X, y = datasets.load_wine(return_X_y=True)
        return with_gaps(X), y
    if name == "diabetes-gaps":
        X, y = datasets.load_diabetes(return_X_y=True)
        return with_gaps(X), y
    if name == "two-targets":
        X, y = datasets.load_diabetes(return_X_y=True)
        return X, np.column_stack([y, np.sqrt(y)])
    return getattr(datasets, f"load_{name}")(return_X_y=True)


def settings(framework, source, data="data.npz", **export):
    return {"source": source, "framework": framework, "data": data, "export": export}


def round_trip(root, entry) -> stage_validate.ValidationResult:
    stage_export.run(root, "m", entry)
    result = stage_validate.run(root, "m", entry)
    assert result.ok, [check for check in result.checks if not check.ok]
    return result


def source_of(root) -> dict:
    return json.loads((root / "models/m/source.json").read_text())


def content(root) -> dict:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in sorted((root / "models").rglob("*")) if p.is_file()}
