"""LightGBM: native files (``.txt``), and the scikit-learn wrappers in joblib and pickle files."""

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
    "binary": "logistic",
    "multiclass": "softmax",
    "multiclassova": "each",
    "cross_entropy": "sigmoid",
    **dict.fromkeys(("poisson", "gamma", "tweedie"), "exp"),
    **dict.fromkeys(
        ("regression", "regression_l1", "huber", "fair", "quantile", "mape", "lambdarank", "rank_xendcg"), "identity"
    ),
}
"""By objective; source: ``ConvertOutput`` in https://github.com/microsoft/LightGBM/tree/master/src/objective."""


class LightgbmExporter:
    """Exports LightGBM's trees. LightGBM compares in double precision, and so does the graph unless told otherwise."""

    suffixes: tuple[str, ...] = ()  # its files are called .txt

    def export(self, source: Path, request: ExportRequest) -> Exported:
        """Write the ONNX model and record LightGBM's own answers on real rows.

        Raises:
            Refused: LightGBM is missing, or the model is of a kind that cannot be exported.
            InvalidInput: the file cannot be read, or the data does not fit.
        """
        _require()
        import numpy as np

        booster, classes = _open(source, request.model)
        ensemble = _ensemble(booster.dump_model(), classes, request)
        matrix, columns = trees.rows(request, booster.feature_name(), ensemble.width)
        model = trees.build(ensemble, request.model, request.options, columns, f"lightgbm {version('lightgbm')}")
        trees.write(model, request.output)
        scores = np.asarray(booster.predict(matrix.astype(np.float64), num_threads=1))
        return Exported(
            inputs={trees.MATRIX: np.ascontiguousarray(matrix.astype(request.options.dtype or ensemble.dtype))},
            outputs=trees.recorded(model, scores, ensemble),
            labels=ensemble.labels,
            format=source.suffix.removeprefix("."),
            framework="lightgbm",
            framework_version=version("lightgbm"),
            packages={name: version(name) for name in ("lightgbm", "numpy", "onnx")},
        )


def _require() -> None:
    try:
        import lightgbm  # noqa: F401
    except ModuleNotFoundError as error:
        raise Refused(
            f"exporting LightGBM models needs the package {error.name}", hint=install_hint("lightgbm")
        ) from None


def _open(source: Path, name: str) -> tuple[Any, Any]:
    """The booster, and its wrapper's classes or None."""
    import lightgbm

    if source.suffix not in (".joblib", ".pkl", ".pickle"):
        try:
            with bounded(source):
                return lightgbm.Booster(model_str=source.read_text("utf-8")), None
        except (lightgbm.basic.LightGBMError, UnicodeDecodeError, ValueError, MemoryError) as error:
            raise InvalidInput(
                f"model {name}: {source.name} is no LightGBM model: {str(error)[:200]}",
                hint="save it with booster.save_model('model.txt')",
            ) from None
    model = load(source, name)
    if not isinstance(model, lightgbm.LGBMModel):
        raise Refused(
            f"model {name}: {source.name} holds a {type(model).__name__}, no LightGBM model",
            hint="save the LightGBM step alone, on data that the steps before it have prepared: "
            "step.booster_.save_model('model.txt')",
        )
    return model.booster_, getattr(model, "classes_", None)


def _ensemble(dump: Mapping[str, Any], classes: Any, request: ExportRequest) -> trees.Ensemble:
    name = request.model
    objective, *words = (dump.get("objective") or "regression").split()  # a custom objective's raw sums are the answer
    link = _LINKS.get(objective)
    if link is None or "sqrt" in words:
        raise Refused(
            f"model {name}: LightGBM's objective {dump['objective']!r} is not exported",
            hint=f"it may be {', '.join(_LINKS)}",
        )
    parameters = dict(word.split(":", 1) for word in words if ":" in word)
    groups = int(dump["num_tree_per_iteration"])
    rounds = max(len(dump["tree_info"]) // groups, 1)
    factor = 1.0 / rounds if dump.get("average_output") else 1.0  # a random forest's trees are averaged
    found = [
        _tree(tree["tree_structure"], number % groups, factor, name) for number, tree in enumerate(dump["tree_info"])
    ]
    if not found:
        raise Refused(f"model {name} has no trees", hint="train it before saving")
    labels = None
    if link in trees.CLASSIFIERS:
        labels = trees.choose_labels(2 if link == "logistic" else groups, classes, request)
    scale = float(parameters.get("sigmoid", 1.0)) if link in ("logistic", "each") else 1.0
    width = int(dump["max_feature_idx"]) + 1
    return trees.Ensemble(found, width, [0.0] * groups, link, "<=", "float64", labels, scale)


def _tree(root: Mapping[str, Any], group: int, factor: float, name: str) -> trees.Tree:
    """A tree of nested nodes as arrays, parents before children."""
    import numpy as np

    nodes: list[Mapping[str, Any]] = [root]
    left, right = [], []
    for node in nodes:  # grows while it is walked
        if "leaf_value" in node:
            if node.get("leaf_coeff"):
                raise Refused(
                    f"model {name} has linear models in its leaves, which is not exported",
                    hint="train with linear_tree=False",
                )
            left.append(-1)
            right.append(-1)
            continue
        _check(node, name)
        left.append(len(nodes))
        right.append(len(nodes) + 1)
        nodes += [node["left_child"], node["right_child"]]
    return trees.Tree(
        left=np.asarray(left),
        right=np.asarray(right),
        feature=np.asarray([node.get("split_feature", 0) for node in nodes]),
        threshold=np.asarray([float(node.get("threshold", 0.0)) for node in nodes]),
        default_left=np.asarray([_missing_left(node) for node in nodes]),
        value=np.asarray([float(node.get("leaf_value", 0.0)) * factor for node in nodes]),
        group=group,
    )


def _check(node: Mapping[str, Any], name: str) -> None:
    if node["decision_type"] != "<=":
        raise Refused(
            f"model {name} splits by categories, which is not exported",
            hint="encode categories before training (OneHotEncoder)",
        )
    if node["missing_type"] == "Zero":
        raise Refused(
            f"model {name} takes 0 for a missing value, which ONNX's trees cannot", hint="zero_as_missing=False"
        )


def _missing_left(node: Mapping[str, Any]) -> bool:
    """Where NaN goes: by the split's default, or where none was seen in training, as 0 would."""
    if "leaf_value" in node:
        return False
    return bool(node["default_left"]) if node["missing_type"] == "NaN" else float(node["threshold"]) >= 0.0
