"""Licences in their classes, metrics in their directions."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelver.core import licences, metrics
from modelver.core.licences import Strictness, strictness, tightens
from modelver.core.metrics import MetricChange
from modelver.errors import InvalidInput

# One id of each class, from the freest to the strictest; SPDX and Hugging Face spellings mixed.
ORDER = ["CC0-1.0", "apache-2.0", "LGPL-3.0-or-later", "gpl-3.0", "AGPL-3.0-only", "cc-by-nc-4.0", "proprietary"]


@pytest.mark.parametrize(("old", "new"), list(itertools.product(range(len(ORDER)), repeat=2)))
def test_classes_are_in_order(old, new):
    assert tightens(ORDER[old], ORDER[new]) == (new > old)


@pytest.mark.parametrize(
    ("expected", "ids"),
    [
        (Strictness.PUBLIC_DOMAIN, "unlicense wtfpl pddl 0BSD MIT-0"),
        (
            Strictness.PERMISSIVE,
            "mit MIT bsd bsd-2-clause bsd-3-clause-clear isc zlib cc-by-4.0 CC-BY-3.0-US bsl-1.0 ms-pl ofl-1.1",
        ),
        (Strictness.PERMISSIVE, "afl-3.0 ecl-2.0 cdla-permissive-2.0 odc-by etalab-2.0 ncsa postgresql artistic-2.0"),
        (Strictness.WEAK_COPYLEFT, "lgpl lgpl-2.1 mpl-2.0 epl-2.0"),
        (Strictness.STRONG_COPYLEFT, "gpl GPL-2.0+ gpl-3.0-only cc-by-sa-4.0 odbl cdla-sharing-1.0 gfdl"),
        (Strictness.NETWORK_COPYLEFT, "agpl-3.0 osl-3.0 eupl-1.2"),
        (
            Strictness.RESTRICTED,
            "openrail openrail++ creativeml-openrail-m bigscience-bloom-rail-1.0 bigcode-openrail-m",
        ),
        (
            Strictness.RESTRICTED,
            "llama2 llama3.3 gemma cc-by-nc-sa-4.0 cc-by-nd-4.0 cc-by-nc-nd-3.0 deepfloyd-if-license",
        ),
        (Strictness.RESTRICTED, "fair-noncommercial-research-license intel-research apple-amlr BUSL-1.1"),
        (Strictness.UNKNOWN, "other unknown my-own cc"),
    ],
)
def test_ids(expected, ids):
    assert {name: strictness(name) for name in ids.split()} == dict.fromkeys(ids.split(), expected)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("MIT OR GPL-3.0-only", Strictness.PERMISSIVE),
        ("MIT AND GPL-3.0-only", Strictness.STRONG_COPYLEFT),
        ("CC0-1.0 OR MIT AND AGPL-3.0-only", Strictness.PUBLIC_DOMAIN),
        ("(CC0-1.0 OR MIT) AND AGPL-3.0-only", Strictness.NETWORK_COPYLEFT),
        ("AGPL-3.0-only AND (CC0-1.0 OR MIT)", Strictness.NETWORK_COPYLEFT),
        ("GPL-2.0-only WITH Classpath-exception-2.0", Strictness.STRONG_COPYLEFT),
        ("(MIT OR GPL-3.0-only", Strictness.UNKNOWN),
        ("AND", Strictness.UNKNOWN),
    ],
)
def test_expressions(expression, expected):
    assert strictness(expression) == expected


def test_no_licence_grants_nothing():
    assert strictness(None) == strictness("  ") == Strictness.UNKNOWN
    assert tightens("mit", None)
    assert not tightens(None, "cc-by-nc-4.0")
    assert not tightens(None, None)


@given(st.text() | st.text(alphabet="()ANDOR -mit", max_size=40))
def test_any_text_has_a_class(text):
    assert strictness(text) in Strictness
    assert not tightens(text, text)


def test_long_texts_are_judged_in_time():
    for text in ("(" * 100_000 + "MIT AND", "cc-by" + "-a" * 100_000, "a OR " * 100_000, "rail" * 100):
        strictness(text)
    assert licences.strictness("cc-by" + "-a" * 240) == Strictness.UNKNOWN


@pytest.mark.parametrize(
    ("way", "names"),
    [
        (
            "max",
            "accuracy top1_accuracy f1 val.f1_macro F1 auc rocAuc roc_auc r2 r2_score precision@10 recall mAP map50",
        ),
        ("max", "eval/bleu rougeL explained_variance neg_log_loss neg_mean_squared_error log_likelihood score tpr"),
        (
            "min",
            "loss val_loss valLoss log_loss rmse RMSE mae mse error_rate word_error_rate wer latency_p99_ms size_mb",
        ),
        (
            "min",
            "perplexity brier_score false_positive_rate negative_log_likelihood accuracy_loss train.time fid_score",
        ),
        (None, "foo epochs max_abs rows x 1"),
    ],
)
def test_directions(way, names):
    assert {name: metrics.direction(name) for name in names.split()} == dict.fromkeys(names.split(), way)


def test_overrides():
    assert metrics.direction("foo", {"foo": "min"}) == "min"
    assert metrics.direction("val.accuracy", {"accuracy": "min"}) == "min"
    assert metrics.direction("val.accuracy", {"accuracy": "min", "val.accuracy": "max"}) == "max"
    with pytest.raises(InvalidInput, match="'up'"):
        metrics.direction("foo", {"foo": "up"})


def test_compare():
    a = {"accuracy": 0.95, "loss": 0.3, "foo": 1, "same": 1.0, "gone": 1.0}
    b = {"accuracy": 0.97, "loss": 0.4, "foo": 3, "same": 1, "new": 1.0}
    assert metrics.compare(a, b) == [
        MetricChange("accuracy", 0.95, 0.97, 0.02, "max", True),
        MetricChange("foo", 1, 3, 2, None, None),
        MetricChange("loss", 0.3, 0.4, 0.1, "min", False),
    ]
    assert metrics.compare({"loss": -1.7e308}, {"loss": 1.7e308})[0].delta is None


finite = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**30), 10**30)


@given(
    st.dictionaries(st.sampled_from(["loss", "f1", "x"]), finite),
    st.dictionaries(st.sampled_from(["loss", "f1", "x"]), finite),
)
def test_compare_swapped(a, b):
    there, back = metrics.compare(a, b), metrics.compare(b, a)
    for one, other in zip(there, back, strict=True):
        assert (one.name, one.a, one.b, one.direction) == (other.name, other.b, other.a, other.direction)
        assert one.delta is None or one.delta == -other.delta
        assert one.better is None or one.better is not other.better
