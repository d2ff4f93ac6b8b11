"""Which way a metric is better, and how two versions' metrics compare."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from modelver.errors import InvalidInput

Direction = Literal["max", "min"]


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_HIGHER = _set("""
    accuracy acc f1 f2 fbeta auc auroc auprc roc r2 precision recall map ap bleu rouge chrf meteor ndcg mrr hit hits
    iou miou dice jaccard kappa mcc matthews silhouette sensitivity specificity tpr tnr throughput psnr ssim agreement
    correlation pearson spearman explained em likelihood wins
""")
_LOWER = _set("""
    loss rmse mae mse mape smape rmsle msle medae mdae error errors err wer cer eer fpr fnr perplexity ppl bpc bpb brier
    latency time duration seconds ms size bytes memory hinge divergence kld distance fid regret drift deviance
    crossentropy nll failures hallucination toxicity
""")
_WEAK_HIGHER = _set("score")  # says nothing beside another word: of a brier_score or fid_score, less is better
_FLIPPING = _set("neg negative")  # scikit-learn's neg_* scorers are higher-is-better
_FALSE = ("false positive", "false negative", "false discovery", "false omission", "false alarm")


@dataclass(frozen=True, slots=True)
class MetricChange:
    """A metric that two versions both have, with different values.

    Attributes:
        name: the metric's flat name.
        a, b: the older and the newer value.
        delta: ``b - a`` in decimal arithmetic, so that 0.97 against 0.95 is 0.02; None where no float can hold it.
        direction: ``max`` where higher is better, ``min`` where lower is, None where nobody knows.
        better: whether ``b`` is better; None where the direction is.
    """

    name: str
    a: float
    b: float
    delta: float | None
    direction: Direction | None
    better: bool | None


def direction(name: str, overrides: Mapping[str, str] | None = None) -> Direction | None:
    """Which way the metric is better, by an override or by the words of its name.

    Args:
        name: the metric's name, nested names joined with ``.``.
        overrides: metric → ``max`` or ``min``; looked up by the whole name, then by its last part.

    Raises:
        InvalidInput: an override is neither ``max`` nor ``min``.
    """
    for key in (name, name.rpartition(".")[2]):
        if overrides and key in overrides:
            return _checked(key, overrides[key])
    words = _words(name)
    if any(odd in " ".join(words) for odd in _FALSE):
        return "min"
    # The last word that says something decides: accuracy_loss is a loss.
    found = next((word for word in reversed(words) if _known(word)), None)
    if found is None:
        return "max" if _WEAK_HIGHER & set(words) else None
    higher = _bare(found) in _HIGHER
    flipped = _words(name.rpartition(".")[2])[:1]
    if flipped and flipped[0] in _FLIPPING:
        higher = not higher
    return "max" if higher else "min"


def compare(
    a: Mapping[str, float], b: Mapping[str, float], overrides: Mapping[str, str] | None = None
) -> list[MetricChange]:
    """The metrics that both have and that differ, by name.

    Raises:
        InvalidInput: an override is neither ``max`` nor ``min``.
    """
    return [
        _change(name, a[name], b[name], direction(name, overrides))
        for name in sorted(a.keys() & b.keys())
        if a[name] != b[name]
    ]


def _change(name: str, a: float, b: float, way: Direction | None) -> MetricChange:
    better = None if way is None else (b > a) == (way == "max")
    return MetricChange(name, a, b, _delta(a, b), way, better)


def _delta(a: float, b: float) -> float | None:
    difference = Decimal(repr(b)) - Decimal(repr(a))
    if isinstance(a, int) and isinstance(b, int):
        return b - a
    delta = float(difference)
    return delta if abs(delta) != float("inf") else None


def _checked(name: str, value: object) -> Direction:
    if value == "max":
        return "max"
    if value == "min":
        return "min"
    raise InvalidInput(
        f"direction of metric {name!r} is {value!r}", "write max where higher is better, min where lower is"
    )


def _words(name: str) -> list[str]:
    # rocAuc → roc auc, but mAP stays one word; rougeL → rouge l
    split = re.sub(r"(?<=[a-z]{2})(?=[A-Z])", " ", name)
    return re.findall(r"[a-z]+[0-9]*|[0-9]+", split.lower())


def _bare(word: str) -> str:
    """``word``, or without its digits where only that is known: top-k, map50, rouge1."""
    return word if word in _HIGHER or word in _LOWER else word.rstrip("0123456789")


def _known(word: str) -> bool:
    return _bare(word) in _HIGHER or _bare(word) in _LOWER
