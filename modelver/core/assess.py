"""Rules of an assessment: is an operator supported, what to do where it is not, and what an export risks. Pure."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from modelver.core.parity import DISCONTINUOUS

SCHEMA = "modelver/assessment/1"

STANDARD = frozenset({"ai.onnx", "ai.onnx.ml"})
"""Domains that the ONNX standard defines for inference; operators of others are somebody's own."""

OPEN = (1 << 31) - 1
"""End of a kernel's range of versions that says: from its start on."""

RUN_IT = "declare the runtime under `targets:` in params.yaml: the validate stage then runs it"
"""What to do where nobody but the runtime knows."""

Verdict = Literal["yes", "no", "unknown"]
Level = Literal["high", "medium", "low"]
Range = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator as a model uses it.

    Attributes:
        domain: ``ai.onnx`` for the default one.
        name: its type (``MatMul``).
        count: nodes, those of subgraphs included.
        since: the version of its definition that the model's opset calls for; None where ONNX has no definition.
        body: the standard, or the model, defines it by simpler operators, so that a runtime may expand it.
    """

    domain: str
    name: str
    count: int
    since: int | None
    body: bool = False

    @property
    def label(self) -> str:
        """``domain/Name``."""
        return f"{self.domain}/{self.name}"

    @property
    def custom(self) -> bool:
        """Whether the standard does not define it."""
        return self.domain not in STANDARD or self.since is None


@dataclass(frozen=True, slots=True)
class Support:
    """Whether a runtime runs an operator at its version, why, and what to do where it does not."""

    verdict: Verdict
    why: str = ""
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """What is known of a model on one runtime.

    Attributes:
        runtime: its name.
        version: of the runtime, or of the table that was read.
        source: where the verdicts come from, with a date where it is a table.
        loads: the runtime built a session for the model; None where it was not tried.
        error: what the runtime said where it did not.
        operators: label → verdict.
    """

    runtime: str
    version: str | None
    source: str
    loads: bool | None
    error: str
    operators: Mapping[str, Support]

    @property
    def ok(self) -> bool | None:
        """True: every operator is supported. False: one is not, or it does not load. None: nobody knows."""
        verdicts = {support.verdict for support in self.operators.values()}
        if self.loads is False or "no" in verdicts:
            return False
        return None if "unknown" in verdicts or not verdicts else True

    def to_dict(self) -> dict[str, Any]:
        """The record in ``assessment.json``: the good ones counted, the others one by one."""
        return {
            "ok": self.ok,
            "version": self.version,
            "source": self.source,
            "loads": self.loads,
            "error": self.error,
            "supported": sum(support.verdict == "yes" for support in self.operators.values()),
            "operators": [
                {"operator": label, **asdict(support)}
                for label, support in sorted(self.operators.items())
                if support.verdict != "yes"
            ],
        }


@dataclass(frozen=True, slots=True)
class Risk:
    """What may go wrong with an export, and what to do about it."""

    level: Level
    name: str
    message: str
    advice: str


_CONVERT = "`export: {{opset: {}}}` in params.yaml, or onnx.version_converter for a model that nobody exports"


def judge_kernels(operator: Operator, ranges: Sequence[Range] | None, runtime: str) -> Support:
    """Whether one of a runtime's kernels takes the operator's version.

    Rule: that of onnxruntime's kernel registry. A kernel without an end is for the definition it starts with alone,
    for nobody knew the next one when it was written; one with an end takes all definitions in its range.

    Args:
        operator: what the model uses.
        ranges: first and last opset of each kernel, `OPEN` for no end; None or empty where there is none.
        runtime: its name, for the words.
    """
    if operator.since is None:
        return Support("no", f"{operator.label} is no operator of the installed ONNX", _custom_advice(operator))
    since = operator.since
    if not ranges:
        if operator.body:
            return Support(
                "unknown",
                f"{runtime} has no kernel; it may expand the operator's definition",
                RUN_IT,
            )
        return Support("no", f"{runtime} has no kernel for it", _custom_advice(operator))
    if any(low == since or (low < since <= high < OPEN) for low, high in ranges):
        return Support("yes")
    newest = max(low if high == OPEN else high for low, high in ranges)
    if since > newest:
        opset = since - 1  # the last one that calls for an older definition
        return Support(
            "no",
            f"it is version {since}; {runtime} knows it up to version {newest}",
            f"lower the opset to {opset} or less: {_CONVERT.format(opset)}",
        )
    above = min((low for low, _ in ranges if low > since), default=newest)
    return Support(
        "no",
        f"it is version {since}; {runtime} knows it from opset {above} on",
        f"raise the opset to {above} or more: {_CONVERT.format(above)}",
    )


def judge_listed(operator: Operator, versions: Sequence[int] | None, limitation: str, runtime: str) -> Support:
    """Whether a published table lists the operator at its version; a version that is not listed is not guessed at.

    Args:
        operator: what the model uses.
        versions: definitions that the table says are supported; None where the operator is not listed.
        limitation: the table's remark; empty where there is none.
        runtime: its name, for the words.
    """
    if not versions:
        if operator.body and not operator.custom:
            return Support("unknown", f"{runtime}'s table does not list it; its definition may be expanded", RUN_IT)
        return Support("no", f"{runtime}'s table does not list it", _custom_advice(operator))
    if operator.since not in versions:
        return Support("unknown", f"{runtime}'s table has it, but vouches for other versions than the model's", RUN_IT)
    return Support("unknown", f"{runtime}'s table says: {limitation}", RUN_IT) if limitation else Support("yes")


def _custom_advice(operator: Operator) -> str:
    if operator.domain == "com.microsoft":
        return "it is onnxruntime's own: export without fusions (the graph as the framework's exporter writes it)"
    if operator.custom:
        return "replace it by standard operators in the model, or export it as a function (custom opset) of these"
    return "replace it in the model, or choose another export option that avoids it"


def risks(
    *,
    source: Mapping[str, Any],
    kind: str,
    signature: Mapping[str, Any] | None,
    operators: Sequence[Operator],
    dtypes: Iterable[str],
    nonfinite: Sequence[str],
    recorded_rows: int | None,
) -> list[Risk]:
    """What may go wrong, worst first.

    Args:
        source: ``source.json``'s ``source``.
        kind: ``pipeline``, ``ingested`` or ``plain``.
        signature: inputs and outputs; None where the format has none.
        operators: of the graph; empty where it has none.
        dtypes: element types of weights and values.
        nonfinite: names of tensors with NaN or infinite elements.
        recorded_rows: rows of recorded answers; None where there are none.
    """
    found = [
        *_source_risks(source, kind),
        *_operator_risks(operators, signature or {}),
        *_shape_risks(signature or {}),
        *_value_risks(set(dtypes), nonfinite),
    ]
    if operators and not recorded_rows:
        found.append(
            Risk(
                "medium",
                "no-recorded-answers",
                "no test data lies beside the model, so nothing can prove that it still says what its source said",
                "put a folder test_data_set_0 with input_0.pb and output_0.pb beside the .onnx file and add it again",
            )
        )
    return sorted(found, key=lambda risk: (_LEVELS.index(risk.level), risk.name))


_LEVELS = ("high", "medium", "low")
_PICKLES = frozenset({"joblib", "pickle", "pytorch", "checkpoint"})
_KERAS = frozenset({"keras", "hdf5"})
_RANDOM = frozenset(
    {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"}
)
_TEXT = frozenset({"StringNormalizer", "TfIdfVectorizer", "Tokenizer", "StringSplit", "RegexFullMatch"})
_SCALING = frozenset({"Scaler", "Sub", "Div", "Mul", "Normalizer", "Imputer", "MatMul", "Gemm"})


def _source_risks(source: Mapping[str, Any], kind: str) -> Iterable[Risk]:
    form = source.get("format")
    if form in _PICKLES:
        yield Risk(
            "high" if kind == "plain" else "medium",
            "pickled-code",
            f"{source.get('path')} is {form}: opening it runs the code that it contains",
            "distribute the exported model instead"
            if kind != "plain"
            else "save the weights as safetensors, or export the model to ONNX (modelver add NAME PATH --framework …)",
        )
    if form in _KERAS:
        yield Risk(
            "medium",
            "pickled-code",
            f"{source.get('path')} is {form}: Lambda layers in it are code",
            "load it with safe_mode=True, or export it to ONNX",
        )


def _operator_risks(operators: Sequence[Operator], signature: Mapping[str, Any]) -> Iterable[Risk]:
    names = {operator.name for operator in operators}
    custom = [operator.label for operator in operators if operator.custom and not operator.body]
    if custom:
        yield Risk(
            "high",
            "custom-operators",
            f"{', '.join(custom[:5])}: defined by no standard, runs only where its library is loaded",
            "replace them by standard operators, or export them as functions of these",
        )
    jumps = sorted(operator.label for operator in operators if operator.label in DISCONTINUOUS)
    singles = [v["name"] for v in signature.get("inputs") or () if v.get("dtype") in ("float32", "float16")]
    if jumps and singles:
        scaled = bool(names & _SCALING)
        yield Risk(
            "high" if scaled else "medium",
            "float32-trees",
            f"{jumps[0]} decides by thresholds and reads {singles[0]!r} as float32"
            + (" after it was scaled" if scaled else "")
            + ": a rounding at a threshold gives another answer",
            "export with `export: {dtype: float64}` in params.yaml; the validate stage counts the rows that are off",
        )
    if names & _RANDOM:
        yield Risk(
            "medium",
            "random",
            f"{', '.join(sorted(names & _RANDOM))}: two runs on the same input differ",
            "make the noise an input of the model, or export in inference mode",
        )
    if names & _TEXT:
        yield Risk(
            "low",
            "text",
            f"{', '.join(sorted(names & _TEXT))}: words are split by the runtime's rules, not by the framework's",
            "record rows with accents, emoji, empty and mixed-case text, so that parity sees them",
        )


def _shape_risks(signature: Mapping[str, Any]) -> Iterable[Risk]:
    for side in ("inputs", "outputs"):
        for value in signature.get(side) or ():
            name, dtype, shape = value.get("name"), str(value.get("dtype")), value.get("shape")
            if "(" in dtype or dtype == "None":
                yield Risk(
                    "medium",
                    "no-tensor",
                    f"{name!r} of the {side} is {dtype}: several runtimes and most clients take tensors only",
                    "export without ZipMap (skl2onnx: zipmap=False), or select a tensor inside of the model",
                )
            elif shape is None:
                yield Risk(
                    "medium",
                    "unknown-rank",
                    f"{name!r} of the {side} declares no shape",
                    "declare it in the export: callers and optimisers rely on it",
                )
            elif side == "inputs" and any(not isinstance(dim, int) for dim in shape[1:]):
                yield Risk(
                    "low",
                    "dynamic-shapes",
                    f"{name!r} has shape {_shown(shape)}: beside the batch, more than one dimension is left open",
                    "validate with the smallest and the largest size that callers send",
                )
            elif side == "inputs" and shape and isinstance(shape[0], int):
                yield Risk(
                    "low",
                    "fixed-batch",
                    f"{name!r} has shape {_shown(shape)}: the batch is fixed",
                    "export with an open first dimension where callers send several rows",
                )


def _shown(shape: Sequence[Any]) -> str:
    return "[" + ", ".join("?" if dim is None else str(dim) for dim in shape) + "]"


def _value_risks(dtypes: set[str], nonfinite: Sequence[str]) -> Iterable[Risk]:
    if nonfinite:
        yield Risk(
            "medium",
            "nonfinite-weights",
            f"{len(nonfinite)} tensors hold NaN or infinite elements, the first is {nonfinite[0]!r}",
            "look at the training run; masks with -inf are harmless, anything else is not",
        )
    if dtypes & {"float16", "bfloat16"}:
        yield Risk(
            "low",
            "half-precision",
            "some values are of half precision: processors without it compute in float32, and round differently",
            "validate on the hardware that serves the model",
        )


_BELOW_8_BITS = re.compile(r"u?int[24]$|float[46]_")


def hardware(cost_bytes: int | None, weight_bytes: int, dtypes: Iterable[str], flops: int | None) -> dict[str, Any]:
    """What a machine needs to serve one request at a time.

    Args:
        cost_bytes: peak of the activations; None where it is not known.
        weight_bytes: the weights in memory.
        dtypes: element types of weights and values.
        flops: operations of one request; None where not known.
    """
    kinds = set(dtypes)
    needs = []
    if kinds & {"float16", "bfloat16"}:
        needs.append("half precision in hardware, to gain from it")
    if any(_BELOW_8_BITS.match(kind) for kind in kinds):
        needs.append("kernels for element types below 8 bits, or the runtime expands them")
    if kinds & {"int8", "uint8"} and "float32" in kinds:
        needs.append("8-bit dot products (AVX-VNNI, AVX512-VNNI, Arm dotprod), to gain from int8")
    if any(kind.startswith("float8") for kind in kinds):
        needs.append("float8 in hardware (recent accelerators), or the runtime expands it")
    return {
        "memory_bytes": weight_bytes + (cost_bytes or 0),
        "accelerator_required": False if flops is not None else None,
        "needs": needs,
    }
