"""XGBoost: native files (``.json``, ``.ubj``), and the scikit-learn wrappers in joblib and pickle files."""

import json
import math
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelver.errors import InvalidInput, Refused
from modelver.exporters import trees
from modelver.exporters.apart import bounded
from modelver.exporters.base import Exported, ExportRequest
from modelver.exporters.plugins import install_hint
from modelver.exporters.sklearn import load

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_LINKS: Mapping[str, trees.Link] = {
    "binary:logistic": "logistic",
    "binary:logitraw": "identity",
    "binary:hinge": "step",
    "reg:logistic": "sigmoid",
    "multi:softprob": "softmax",
    "multi:softmax": "softmax",
    "count:poisson": "exp",
    "reg:gamma": "exp",
    "reg:tweedie": "exp",
    "survival:cox": "exp",
    "survival:aft": "exp",
    **dict.fromkeys(
        (
            "reg:squarederror",
            "reg:linear",
            "reg:squaredlogerror",
            "reg:pseudohubererror",
            "reg:absoluteerror",
            "reg:quantileerror",
            "rank:pairwise",
            "rank:ndcg",
            "rank:map",
        ),
        "identity",
    ),
}
"""By objective; source: ``PredTransform`` in https://github.com/dmlc/xgboost/tree/master/src/objective."""

_PLAIN = (".json", ".ubj")


class XgboostExporter:
    """Exports XGBoost's trees. Features and thresholds are float32 in XGBoost itself, and so in the graph."""

    suffixes: tuple[str, ...] = (".ubj",)  # too many other things are called .json

    def export(self, source: Path, request: ExportRequest) -> Exported:
        """Write the ONNX model and record XGBoost's own answers on real rows.

        Raises:
            Refused: XGBoost is missing, or the model is of a kind that cannot be exported.
            InvalidInput: the file cannot be read, or the data does not fit.
        """
        _require()
        import numpy as np
        import xgboost

        booster, classes, best = _open(source, request.model)
        learner = json.loads(bytes(booster.save_raw("json")))["learner"]
        ensemble = _ensemble(learner, classes, best, request)
        matrix, columns = trees.rows(request, booster.feature_names, ensemble.width)
        model = trees.build(ensemble, request.model, request.options, columns, f"xgboost {version('xgboost')}")
        if learner["objective"]["name"] == "multi:softmax":
            booster.set_param({"objective": "multi:softprob"})  # the same model, answering with its probabilities
        booster.set_param({"nthread": 1})
        rounds = (0, 0) if best is None else (0, best + 1)
        fed = matrix.astype(np.float32)
        scores = booster.predict(
            xgboost.DMatrix(fed, feature_names=booster.feature_names, feature_types=booster.feature_types),
            iteration_range=rounds,
        )
        trees.write(model, request.output)
        return Exported(
            inputs={trees.MATRIX: np.ascontiguousarray(matrix.astype(request.options.dtype or "float32"))},
            outputs=trees.recorded(model, scores, ensemble),
            labels=ensemble.labels,
            format=source.suffix.removeprefix("."),
            framework="xgboost",
            framework_version=version("xgboost"),
            packages={name: version(name) for name in ("numpy", "onnx", "xgboost")},
        )


def _require() -> None:
    try:
        import xgboost  # noqa: F401
    except ModuleNotFoundError as error:
        raise Refused(
            f"exporting XGBoost models needs the package {error.name}", hint=install_hint("xgboost")
        ) from None


def _open(source: Path, name: str) -> tuple[Any, Any, int | None]:
    """The booster, its wrapper's classes, and the last round to use; None for what there is not."""
    import xgboost

    if source.suffix in _PLAIN:
        booster = xgboost.Booster({"nthread": 1})
        try:
            with bounded(source):
                booster.load_model(source)
            booster.save_raw("json")  # what is wrong with numbers of features and classes is found only here
        except (xgboost.core.XGBoostError, ValueError, OSError, MemoryError) as error:
            text = str(error).strip().splitlines()
            raise InvalidInput(
                f"model {name}: {source.name} is no XGBoost model: {text[0][:200] if text else 'it is empty'}",
                hint="save it with model.save_model('model.ubj')",
            ) from None
        # XGBoost's own Booster.predict takes all rounds; its scikit-learn wrappers stop at the best one.
        wrapped = booster.attr("scikit_learn") is not None
        return booster, None, _best(booster) if wrapped else None
    model = load(source, name)
    if not isinstance(model, xgboost.XGBModel):
        raise Refused(
            f"model {name}: {source.name} holds a {type(model).__name__}, no XGBoost model",
            hint="save the XGBoost step alone, on data that the steps before it have prepared: "
            "step.save_model('model.ubj')",
        )
    if model.missing is not None and not math.isnan(model.missing):
        raise Refused(
            f"model {name} takes {model.missing} for a missing value, which ONNX's trees cannot",
            hint="train with missing=nan",
        )
    booster = model.get_booster()
    return booster, getattr(model, "classes_", None), _best(booster)


def _best(booster: Any) -> int | None:
    text = booster.attr("best_iteration")
    return None if text is None else int(text)


def _ensemble(learner: Mapping[str, Any], classes: Any, best: int | None, request: ExportRequest) -> trees.Ensemble:
    name = request.model
    objective = learner["objective"]["name"]
    link = _LINKS.get(objective)
    if link is None:
        raise Refused(
            f"model {name}: XGBoost's objective {objective!r} is not exported", hint=f"it may be {', '.join(_LINKS)}"
        )
    booster = learner["gradient_booster"]
    if booster["name"] not in ("gbtree", "dart"):
        raise Refused(f"model {name}: XGBoost's booster {booster['name']!r} is not exported", hint="train trees")
    model = (booster["gbtree"] if booster["name"] == "dart" else booster)["model"]
    weights = booster.get("weight_drop") or [1.0] * len(model["trees"])
    count = len(model["trees"]) if best is None else model["iteration_indptr"][best + 1]
    found = [
        _tree(tree, group, weight, name)
        for tree, group, weight in zip(model["trees"][:count], model["tree_info"], weights, strict=False)
    ]
    if not found:
        raise Refused(f"model {name} has no trees", hint="train it before saving")
    params = learner["learner_model_param"]
    groups = max(int(params["num_class"]), int(params.get("num_target", 1)), 1)
    labels = None
    if link in trees.CLASSIFIERS:
        labels = trees.choose_labels(2 if link == "logistic" else groups, classes, request)
    base = _base(params["base_score"], link, groups)
    return trees.Ensemble(found, int(params["num_feature"]), base, link, "<", "float32", labels)


def _base(text: str, link: trees.Link, groups: int) -> list[float]:
    """``base_score`` as a sum to start from: XGBoost saves it as an answer, a number or (since 3) a list of them."""
    raw = json.loads(text)
    scores = [float(score) for score in (raw if isinstance(raw, list) else [raw])]
    if link in ("logistic", "sigmoid"):
        scores = [math.log(score / (1.0 - score)) for score in scores]
    elif link == "exp":
        scores = [math.log(score) for score in scores]
    return scores * groups if len(scores) == 1 else scores


def _tree(tree: Mapping[str, Any], group: int, weight: float, name: str) -> trees.Tree:
    import numpy as np

    if any(tree.get("split_type", ())):
        raise Refused(
            f"model {name} splits by categories, which is not exported",
            hint="encode categories before training (OneHotEncoder)",
        )
    if int(tree["tree_param"].get("size_leaf_vector", 1)) > 1:
        raise Refused(
            f"model {name} has leaves of several values (multi_strategy='multi_output_tree'), which is not exported",
            hint="train with multi_strategy='one_output_per_tree'",
        )
    left = np.asarray(tree["left_children"], np.int64)
    conditions = np.asarray(tree["split_conditions"], np.float32)
    return trees.Tree(
        left=left,
        right=np.asarray(tree["right_children"], np.int64),
        feature=np.asarray(tree["split_indices"], np.int64),
        threshold=conditions,
        default_left=np.asarray(tree["default_left"], np.int64),
        value=np.where(left < 0, conditions * np.float32(weight), np.float32(0)),
        group=int(group),
    )
