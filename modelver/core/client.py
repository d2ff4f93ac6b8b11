"""What a caller of a model has to know, out of its sidecar; the modules beside this one write it as code."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelver.core.client_names import identifiers
from modelver.errors import InvalidInput

NUMBERS = frozenset(
    {f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)} | {"float16", "float32", "float64"}
)
"""Element types of numbers that NumPy has."""

_INSIDE: Mapping[str, str] = {
    "Scaler": "scaling",
    "Normalizer": "normalising",
    "Imputer": "filling of missing values",
    "OneHotEncoder": "encoding of categories",
    "LabelEncoder": "mapping of labels",
    "StringNormalizer": "normalising of text",
    "Tokenizer": "splitting of text",
    "TfIdfVectorizer": "counting of words",
    "ArgMax": "choosing of the best class",
    "Softmax": "turning of scores into probabilities",
}
"""Operators that are pre- or post-processing, and what they do."""

MAX_VALUES = 1000
MAX_LABELS = 10_000


@dataclass(frozen=True, slots=True)
class Value:
    """One input or output.

    Attributes:
        name: the model's own.
        field: an identifier, unique among the inputs or outputs.
        dtype: as in the signature; None where the value is no tensor.
        shape: int, symbolic name or None a dimension; None where the rank is not known.
    """

    name: str
    field: str
    dtype: str | None
    shape: tuple[int | str | None, ...] | None

    @property
    def is_tensor(self) -> bool:
        """Whether NumPy has its element type, so that it can be converted."""
        return self.dtype in NUMBERS or self.dtype in ("bool", "string")


@dataclass(frozen=True, slots=True)
class Interface:
    """What calling one version means.

    Attributes:
        model, version: names.
        sha256: digest of the weights.
        description: the card's; None where it has none.
        inputs, outputs: in the model's order.
        labels: the classes, in the order of the scores' columns; empty where there are none.
        notes: sentences about what the graph does before and after, and what the card warns of.
    """

    model: str
    version: str
    sha256: str
    description: str | None
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    labels: tuple[str | int | float, ...]
    notes: tuple[str, ...]


def interface(sidecar: Mapping[str, Any]) -> Interface:
    """The interface that a valid sidecar describes.

    Raises:
        InvalidInput: the model has no signature (safetensors, plain files), or one too large for a client.
    """
    signature = sidecar.get("signature")
    if not signature:
        kind = (sidecar.get("format") or {}).get("name") or sidecar.get("kind")
        raise InvalidInput(
            f"{sidecar.get('model')} {sidecar.get('version')} is {kind} and has no signature to write a client from",
            hint="clients are written for ONNX models",
        )
    labels = tuple(signature.get("labels") or ())
    if max(len(signature["inputs"]), len(signature["outputs"])) > MAX_VALUES or len(labels) > MAX_LABELS:
        raise InvalidInput(f"the signature has more than {MAX_VALUES} inputs or outputs, or {MAX_LABELS} labels")
    return Interface(
        model=str(sidecar["model"]),
        version=str(sidecar["version"]),
        sha256=str((sidecar.get("weights") or {}).get("sha256") or ""),
        description=sidecar.get("description"),
        inputs=_values(signature["inputs"]),
        outputs=_values(signature["outputs"]),
        labels=tuple(int(label) if isinstance(label, bool) else label for label in labels),
        notes=_notes(sidecar),
    )


def shape_words(value: Value) -> str:
    """``float32 [N, 64]``, for comments."""
    shape = "any shape" if value.shape is None else f"[{', '.join('?' if d is None else str(d) for d in value.shape)}]"
    return f"{value.dtype or 'no tensor'} {shape}"


def _values(values: Sequence[Mapping[str, Any]]) -> tuple[Value, ...]:
    fields = identifiers(value["name"] for value in values)
    return tuple(
        Value(
            value["name"],
            fields[value["name"]],
            value.get("dtype"),
            None if value.get("shape") is None else tuple(value["shape"]),
        )
        for value in values
    )


def _notes(sidecar: Mapping[str, Any]) -> tuple[str, ...]:
    notes: list[str] = []
    operators = [name.rpartition("/")[2] for name in (sidecar.get("graph") or {}).get("operators") or {}]
    inside = list(dict.fromkeys(_INSIDE[name] for name in operators if name in _INSIDE))
    framework = (sidecar.get("source") or {}).get("framework")
    if framework == "scikit-learn":
        notes.append("Exported from scikit-learn with its whole pipeline: give values as the pipeline takes them.")
    else:
        origin = f"Exported from {framework}. " if framework else ""
        notes.append(f"{origin}How values are prepared before the model is not recorded; its card may say.")
    if inside:
        notes.append(f"The graph itself does the {', the '.join(inside)}.")
    notes += _columns(sidecar)
    if sidecar.get("limitations"):
        notes.append(f"Limitations: {sidecar['limitations']}")
    return tuple(notes)


def _columns(sidecar: Mapping[str, Any]) -> list[str]:
    """Which column of the training data each input is, where the exporter had to call it otherwise."""
    noted = ((sidecar.get("format") or {}).get("metadata") or {}).get("modelver.columns")
    try:
        columns = json.loads(noted) if isinstance(noted, str) else {}
    except (ValueError, RecursionError):
        return []
    pairs = columns.items() if isinstance(columns, Mapping) else ()
    return [f"Input {name} is the column '{column}'." for name, column in pairs if name != column]
