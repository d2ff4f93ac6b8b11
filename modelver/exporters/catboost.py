"""CatBoost's native files (``.cbm``, ``.json``), through CatBoost's own ONNX export."""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

from modelver.core.export_options import DEFAULT_OPSET, ExportOptions
from modelver.errors import InvalidInput, Refused
from modelver.exporters import trees
from modelver.exporters.apart import bounded
from modelver.exporters.base import Exported, ExportRequest
from modelver.exporters.plugins import install_hint
from modelver.formats import dataset

_CLASSIFIERS = ("Logloss", "CrossEntropy", "MultiClass")
"""Losses whose probabilities CatBoost exports rightly. Measured with 1.2.10: for MultiClassOneVsAll it exports a
softmax where CatBoost itself takes sigmoids (0.17 off), for MultiRMSE a graph that does not load."""

_EXPONENTS = ("Poisson", "Tweedie")
"""Losses whose answer is the exponent of what CatBoost exports."""

_REGRESSORS = ("RMSE", "MAE", "Quantile", "LogCosh", "Huber", "MAPE", "Lq", "Expectile", *_EXPONENTS)

_FORMATS = {".cbm": "cbm", ".json": "json"}

_PREDICTIONS = "predictions"


class CatboostExporter:
    """Exports CatBoost models of numeric features and symmetric trees, which is what CatBoost's own export takes."""

    suffixes: tuple[str, ...] = (".cbm",)

    def export(self, source: Path, request: ExportRequest) -> Exported:
        """Write the ONNX model and record CatBoost's own answers on real rows.

        Raises:
            Refused: CatBoost is missing, or the model is of a kind that it does not export, or exports wrongly.
            InvalidInput: the file cannot be read, or the data does not fit.
        """
        _require()
        import numpy as np

        booster = _open(source, request.model)
        loss = str(booster.get_all_params().get("loss_function", "")).partition(":")[0]
        if loss not in (*_CLASSIFIERS, *_REGRESSORS):
            raise Refused(
                f"model {request.model}: CatBoost's loss function {loss!r} is not exported",
                hint=f"it may be {', '.join((*_CLASSIFIERS, *_REGRESSORS))}",
            )
        width = len(booster.feature_names_)
        matrix, columns = trees.rows(request, booster.feature_names_, width)
        proto = _exported(booster, request)
        labels = trees.choose_labels(2 if loss != "MultiClass" else len(booster.classes_), booster.classes_, request)
        kind = "Probability" if loss in _CLASSIFIERS else "Exponent" if loss in _EXPONENTS else "RawFormulaVal"
        fed = matrix.astype(np.float32)
        scores = np.asarray(booster.predict(fed, prediction_type=kind, thread_count=1))
        _rewrite(proto, request, loss, scores.reshape(len(scores), -1).shape[1])
        if columns is not None:
            entry = proto.metadata_props.add()
            entry.key, entry.value = dataset.FEATURE_NAMES, json.dumps(columns, ensure_ascii=False)
        trees.write(proto, request.output)
        names = [value.name for value in proto.graph.output]
        outputs = {names[-1]: np.ascontiguousarray(scores.reshape(len(scores), -1).astype(np.float32))}
        if loss in _CLASSIFIERS:
            outputs[names[0]] = trees.label_array(labels)[outputs[names[-1]].argmax(axis=1)]
        return Exported(
            inputs={proto.graph.input[0].name: fed},
            outputs=outputs,
            labels=labels if loss in _CLASSIFIERS else None,
            format=source.suffix.removeprefix("."),
            framework="catboost",
            framework_version=version("catboost"),
            packages={name: version(name) for name in ("catboost", "numpy", "onnx")},
        )


def _require() -> None:
    try:
        import catboost  # noqa: F401
    except ModuleNotFoundError as error:
        raise Refused(
            f"exporting CatBoost models needs the package {error.name}", hint=install_hint("catboost")
        ) from None


def _open(source: Path, name: str) -> Any:
    import catboost

    if source.suffix not in _FORMATS:
        raise Refused(
            f"model {name}: {source.name} is no native CatBoost file", hint="save it with model.save_model('model.cbm')"
        )
    try:
        with bounded(source):
            booster = catboost.CatBoost().load_model(str(source), format=_FORMATS[source.suffix])
        booster.get_all_params()  # is read now: parts of a broken file are found broken only here
        return booster
    except (catboost.CatBoostError, ValueError, OSError, MemoryError) as error:
        raise InvalidInput(
            f"model {name}: {source.name} is no CatBoost model: {_line(error)}",
            hint="save it with model.save_model('model.cbm')",
        ) from None


def _exported(booster: Any, request: ExportRequest) -> Any:
    import catboost
    import onnx

    if request.options.labels is not None:
        raise InvalidInput(
            f"model {request.model}: CatBoost's files hold their labels", hint="remove `labels:` from `export:`"
        )
    target = request.output.with_suffix(".catboost.onnx")
    try:
        booster.save_model(
            str(target), format="onnx", export_parameters={"onnx_domain": "ai.catboost", "onnx_graph_name": "model"}
        )
        return onnx.load(target)
    except catboost.CatBoostError as error:
        raise Refused(
            f"model {request.model}: CatBoost does not export it: {_line(error)}",
            hint="it exports numeric features, symmetric trees, and labels that are text or whole numbers",
        ) from None
    finally:
        target.unlink(missing_ok=True)


def _rewrite(proto: Any, request: ExportRequest, loss: str, columns: int) -> None:
    """Plain tensors as outputs, declared as they are; our names; nothing of how and when the training ran."""
    from onnx import TensorProto, helper

    options: ExportOptions = request.options
    graph = proto.graph
    graph.name = request.model
    del proto.metadata_props[:]
    proto.domain, proto.ir_version = "", options.ir_version
    proto.producer_name, proto.producer_version = "catboost", version("catboost")
    del proto.opset_import[:]
    proto.opset_import.extend(
        [helper.make_opsetid("", options.opset or DEFAULT_OPSET), helper.make_opsetid("ai.onnx.ml", trees.ML_OPSET)]
    )
    classifier = loss in _CLASSIFIERS
    default = ["label", "probabilities"] if classifier else [_PREDICTIONS]
    if options.outputs and len(options.outputs) != len(default):
        raise InvalidInput(
            f"model {request.model}: params.yaml names {len(options.outputs)} outputs, there are {len(default)}",
            hint="correct `export: {outputs: …}`",
        )
    names = list(options.outputs) or default
    ensemble = graph.node[0]
    del graph.node[1:]  # ZipMap: a list of dicts, where others want a matrix
    ensemble.input[0] = graph.input[0].name = trees.MATRIX
    graph.input[0].doc_string = ""
    label_type = graph.output[0].type.tensor_type.elem_type
    ensemble.output[:] = names
    if loss in _EXPONENTS:
        ensemble.output[:] = ["sums"]
        graph.node.append(helper.make_node("Exp", ["sums"], names))
    del graph.output[:]
    if classifier:
        graph.output.append(helper.make_tensor_value_info(names[0], label_type, ["N"]))
    graph.output.append(helper.make_tensor_value_info(names[-1], TensorProto.FLOAT, ["N", columns]))


def _line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rpartition(": ")[2][:200] if lines else type(error).__name__
