"""scikit-learn models, through skl2onnx.

Opening a joblib or pickle file runs code that the file contains. This module is the only one that does it, and only
the export stage calls it, in the stage's own process.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelver.core.parity import is_discontinuous, judge_parity
from modelver.errors import InvalidInput, Refused
from modelver.exporters import sklearn_inspect as inspect
from modelver.exporters.apart import bounded
from modelver.exporters.base import Exported, ExportRequest, first_line
from modelver.exporters.plugins import install_hint
from modelver.exporters.sklearn_convert import Input, convert, correct_widths, dtypes
from modelver.formats import compare, dataset

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

ROWS = 32
"""Rows recorded for smooth models."""

ROWS_DISCONTINUOUS = 256
"""Rows recorded for trees and neighbours, which are judged by a share of rows: of 32 rows, one is 3 %."""

_PACKAGES = ("joblib", "numpy", "onnx", "pandas", "protobuf", "scikit-learn", "scipy", "skl2onnx")

_OTHERS = ("catboost", "lightgbm", "xgboost")


class SklearnExporter:
    """Exports fitted scikit-learn models and pipelines from joblib and pickle files."""

    suffixes: tuple[str, ...] = (".joblib", ".pkl", ".pickle")

    def export(self, source: Path, request: ExportRequest) -> Exported:
        """Write the ONNX model and record scikit-learn's own answers on real rows.

        Raises:
            Refused: scikit-learn or skl2onnx is missing, the model was saved by another scikit-learn, or is of a
                kind that cannot be exported.
            InvalidInput: the file cannot be read, the data does not fit, or skl2onnx cannot convert.
        """
        _require()
        model = inspect.prepare(load(source, request.model))
        _refuse_foreign(model, request.model)
        labels = inspect.labels(model, request.model)
        names, inputs = _inputs(model, request)
        best = _convert(model, request, names, inputs)
        if names is not None and [value.name for value in best.proto.graph.input] == [_MATRIX]:
            _note(best.proto, dataset.FEATURE_NAMES, names)
        request.output.write_bytes(best.proto.SerializeToString(deterministic=True))
        return Exported(
            inputs=best.inputs,
            outputs=best.outputs,
            labels=labels,
            format="pickle" if source.suffix != ".joblib" else "joblib",
            framework="scikit-learn",
            framework_version=version("scikit-learn"),
            packages=_packages(),
        )


@dataclass(frozen=True)
class _Candidate:
    """A converted model with recorded rows, and how many of them it gets wrong."""

    proto: Any
    inputs: "dict[str, Array]"
    outputs: "dict[str, Array]"
    agrees: bool
    rows_off: int


_MATRIX = "X"


def _require() -> None:
    try:
        import joblib  # noqa: F401
        import skl2onnx  # noqa: F401
        import sklearn  # noqa: F401
    except ModuleNotFoundError as error:
        raise Refused(
            f"exporting scikit-learn models needs the package {error.name}", hint=install_hint("sklearn")
        ) from None


def load(source: Path, name: str) -> Any:
    """The fitted estimator in a joblib or pickle file. This runs code that the file contains.

    Raises:
        Refused: another minor version of scikit-learn saved it.
        InvalidInput: it cannot be read, or holds something else, or nothing fitted.
    """
    import joblib
    from sklearn.exceptions import InconsistentVersionWarning

    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", InconsistentVersionWarning)
            with bounded(source):
                model = joblib.load(source)
    except KeyboardInterrupt:
        raise
    except ModuleNotFoundError as error:
        raise InvalidInput(
            f"model {name}: {source.name} needs the module {error.name!r}, which is not installed here",
            hint="install it, or run the stage where the module can be imported (PYTHONPATH)",
        ) from None
    except MemoryError:
        raise InvalidInput(
            f"model {name}: {source.name} takes more memory to open than a file of its size explains",
            hint="save the fitted model with joblib.dump(model, path), without compression",
        ) from None
    except BaseException as error:  # opening runs code of the file's own, which raises what it likes, SystemExit too
        words = first_line(error)
        raise InvalidInput(
            f"model {name}: {source.name} cannot be opened with joblib: {type(error).__name__}: {words}",
            hint="save the fitted model with joblib.dump(model, path)",
        ) from None
    for warning in caught:
        _check_version(warning.message, name)
    if isinstance(model, type) or not (
        hasattr(model, "get_params") and (hasattr(model, "predict") or hasattr(model, "transform"))
    ):
        raise InvalidInput(
            f"model {name}: {source.name} holds a {type(model).__name__}, no scikit-learn estimator",
            hint="save the fitted estimator or pipeline itself",
        )
    _check_fitted(model, name)
    return model


def _refuse_foreign(model: Any, name: str) -> None:
    """Refuse the scikit-learn wrappers of other frameworks, which skl2onnx has no converters for."""
    package = type(model).__module__.partition(".")[0]
    if package in _OTHERS:
        raise Refused(
            f"model {name} is a {type(model).__name__} of {package}, no model of scikit-learn's own",
            hint=f"framework: {package} in params.yaml",
        )


def _check_fitted(model: Any, name: str) -> None:
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    try:
        check_is_fitted(model)
    except NotFittedError:
        raise InvalidInput(
            f"model {name}: the {type(model).__name__} in the file is not fitted", hint="call fit before joblib.dump"
        ) from None


def _check_version(warning: Any, name: str) -> None:
    """Refuse what another minor version saved: its recorded outputs would not be the trained model's own."""
    saved, here = getattr(warning, "original_sklearn_version", None), version("scikit-learn")
    if saved is not None and saved.split(".")[:2] != here.split(".")[:2]:
        raise Refused(
            f"model {name}: it was saved by scikit-learn {saved}, here is {here}",
            hint=f"pip install 'scikit-learn=={saved}', or train again",
        )


def _inputs(model: Any, request: ExportRequest) -> tuple[list[str] | None, list[Input]]:
    """The columns that the model reads (None: an array without names), and the graph's inputs."""
    data, names, width = request.data, inspect.feature_names(model), inspect.width(model)
    if inspect.takes_text(model):
        return _text_input(request)
    if names is not None and data.frame is not None:
        columns = data.features(names, width)
        kinds = {name: dataset.kind(data.frame[name]) for name in columns}
        if "string" in kinds.values() or any(hasattr(part, "transformers_") for part in inspect.parts(model)):
            encoded = inspect.encoded_columns(model)
            return columns, [Input(name, kinds[name], 1, name in encoded) for name in columns]
    elif names is not None and any(hasattr(part, "transformers_") for part in inspect.parts(model)):
        raise InvalidInput(
            f"model {request.model} reads columns by name, and {data.path} has none",
            hint="point `data:` in params.yaml at a CSV or Parquet file",
        )
    matrix = data.matrix(names if data.frame is not None else None, width)
    if matrix.ndim != 2:
        raise InvalidInput(f"model {request.model} takes rows of features, {data.path} has shape {list(matrix.shape)}")
    kind = "string" if matrix.dtype.kind in "OUS" else "float"
    return names if data.frame is not None else None, [Input(_MATRIX, kind, matrix.shape[1])]


def _text_input(request: ExportRequest) -> tuple[list[str] | None, list[Input]]:
    data = request.data
    if data.frame is None:
        return None, [Input(_MATRIX, "string", 1)]
    target = data.target_name or ("y" if "y" in data.frame.columns else str(data.frame.columns[-1]))
    texts = [name for name in data.frame.columns if dataset.kind(data.frame[name]) == "string" and name != target]
    if not texts and dataset.kind(data.frame[target]) == "string":
        texts = [target]
    if len(texts) != 1:
        raise InvalidInput(
            f"model {request.model} takes one column of text, {data.path} has {len(texts)} besides the target",
            hint="keep one text column and the target in the data file, and name the target: `target:` in params.yaml",
        )
    return None, [Input(texts[0], "string", 1)]


def _convert(model: Any, request: ExportRequest, names: list[str] | None, inputs: Sequence[Input]) -> _Candidate:
    """The first input type whose graph runs and agrees with scikit-learn; if none agrees, the one nearest to it.

    Raises:
        InvalidInput: none converts and runs; the error of the likeliest one.
    """
    failures: list[InvalidInput] = []
    best: _Candidate | None = None
    for dtype in dtypes(model, request.options):
        try:
            found = _candidate(model, request, names, inputs, dtype)
        except InvalidInput as error:
            failures.append(error)
            continue
        if found.agrees:
            return found
        if best is None or found.rows_off < best.rows_off:
            best = found
    if best is None:
        raise failures[0]
    return best


def _candidate(
    model: Any, request: ExportRequest, names: list[str] | None, inputs: Sequence[Input], dtype: str
) -> _Candidate:
    from modelver.runtimes.onnxruntime import OnnxRuntime

    proto = convert(model, request.model, inputs, dtype, request.options)
    operators = {f"{node.domain or 'ai.onnx'}/{node.op_type}" for node in proto.graph.node}
    jumps = is_discontinuous(operators)
    data = request.data.spread(request.options.rows or (ROWS_DISCONTINUOUS if jumps else ROWS))
    noted = dataset.columns_noted({entry.key: entry.value for entry in proto.metadata_props})
    fed = dataset.feeds(data, [_signature(value) for value in proto.graph.input], noted or names)
    request.output.write_bytes(proto.SerializeToString(deterministic=True))
    computed = OnnxRuntime().run(request.output, fed)
    correct_widths(proto, computed)
    recorded = _references(model, proto, _source_rows(model, data, names, inputs), request.model)
    difference = compare.difference(recorded, computed, data.rows)
    agrees = all(check.ok for check in judge_parity(difference, jumps))
    return _Candidate(proto, fed, recorded, agrees, difference.rows_off)


def _source_rows(model: Any, data: dataset.Dataset, names: list[str] | None, inputs: Sequence[Input]) -> Any:
    """The rows as scikit-learn itself gets them: not rounded to the graph's types."""
    if inspect.takes_text(model):
        array = data.matrix() if data.frame is None else data.frame[inputs[0].name].astype(object).to_numpy()
        return array.ravel()
    if data.frame is not None and names is not None:
        return data.frame[names]
    return data.matrix(None, inspect.width(model))


def _references(model: Any, proto: Any, rows: Any, name: str) -> "dict[str, Array]":
    """scikit-learn's answers for each graph output; outputs that it has no answer for leave the graph.

    Raises:
        InvalidInput: the model fails on the rows, or no output is left.
    """
    try:
        answers = [method(rows) for method in _methods(model)]
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise InvalidInput(
            f"model {name}: scikit-learn fails on the data: {error}",
            hint="point `data:` in params.yaml at rows like those the model was trained on",
        ) from None
    result: dict[str, Array] = {}
    for position, value in enumerate(list(proto.graph.output)):
        fitted = _fit(answers[position], _signature(value)) if position < len(answers) else None
        if fitted is None:
            # For example a hard vote's "probabilities", which nobody could compare with anything.
            proto.graph.output.remove(value)
        else:
            result[value.name] = fitted
    if not result:
        raise InvalidInput(f"model {name}: no output of the ONNX model corresponds to one of scikit-learn's")
    return result


def _methods(model: Any) -> list[Any]:
    """What corresponds to skl2onnx's outputs, in their order: the label or value, then scores."""
    from sklearn.feature_selection import SelectorMixin

    if isinstance(model, SelectorMixin):
        return [model.transform]  # RFE also predicts, with what it keeps inside
    scores = ("predict_proba", "decision_function", "transform")
    found = [getattr(model, method) for method in ("predict",) if hasattr(model, method)]
    return found + [getattr(model, method) for method in scores if hasattr(model, method)][:1]


def _fit(answer: Any, value: Mapping[str, Any]) -> "Array | None":
    """scikit-learn's answer in the dtype and shape of a graph output; None where it does not fit."""
    import numpy as np

    array = answer.toarray() if hasattr(answer, "toarray") else np.asarray(answer)
    shape = value["shape"]
    if array.ndim == 1 and len(shape) == 2:
        # A binary decision function is one number a row; ONNX has a column for each class.
        array = np.column_stack([-array, array]) if shape[1] in (2, None) else array[:, None]
    elif array.ndim == 2 and len(shape) == 1 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != len(shape) or (array.ndim == 2 and shape[1] not in (None, array.shape[1])):
        return None
    if value["dtype"] == "string":
        text = np.empty(array.size, dtype=object)
        text[:] = [str(item) for item in array.ravel()]
        return text.reshape(array.shape)
    if array.dtype.kind not in "fiub":
        return None
    return np.ascontiguousarray(array.astype(value["dtype"]))


def _signature(value: Any) -> dict[str, Any]:
    from onnx import helper

    kind = value.type.tensor_type
    dims = [dim.dim_value if dim.HasField("dim_value") else None for dim in kind.shape.dim]
    dtype = helper.tensor_dtype_to_np_dtype(kind.elem_type)
    return {"name": value.name, "dtype": "string" if dtype.kind in "OUS" else dtype.name, "shape": dims}


def _note(proto: Any, key: str, names: Sequence[str]) -> None:
    import json

    entry = proto.metadata_props.add()
    entry.key, entry.value = key, json.dumps(list(names), ensure_ascii=False)


def _packages() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
