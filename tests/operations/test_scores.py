"""Metrics in NumPy against scikit-learn's own."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as theirs

from modelver.errors import InvalidInput
from modelver.formats import compare
from modelver.operations import scores

NAMES = {2: ["no", "yes"], 3: ["a", "b", "c"], 4: [3, 5, 7, 9]}


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([2, 3, 4]), st.sampled_from(["float32", "float64"]))
def test_classification_metrics_are_scikit_learns(seed, classes, dtype):
    random = np.random.default_rng(seed)
    raw = random.integers(1, 6, (40, classes)).astype(dtype)  # few values: ties
    probabilities = raw / raw.sum(axis=1, keepdims=True)
    names = np.array(NAMES[classes])
    truth = names[np.concatenate([np.arange(classes), random.integers(0, classes, 40 - classes)])]
    predicted = names[probabilities.argmax(axis=1)]
    outputs = {"label": predicted.astype(object) if classes < 4 else predicted, "probabilities": probabilities}
    ours = scores.compute("classification", scores.answers(outputs, NAMES[classes], 40), truth, "data")
    positive = probabilities[:, 1] if classes == 2 else probabilities
    assert ours == pytest.approx(
        {
            "accuracy": theirs.accuracy_score(truth, predicted),
            "f1_macro": theirs.f1_score(truth, predicted, average="macro"),
            "log_loss": theirs.log_loss(truth, probabilities, labels=names),
            "roc_auc": theirs.roc_auc_score(truth, positive, multi_class="ovr", labels=names),
        },
        rel=1e-5,
    )


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 3]))
def test_regression_metrics_are_scikit_learns(seed, columns):
    random = np.random.default_rng(seed)
    truth = random.normal(5, 3, (30, columns))
    got = truth + random.normal(0, 1, (30, columns))
    target = truth[:, 0] if columns == 1 else truth
    ours = scores.compute("regression", scores.answers({"variable": got}, None, 30), target, "data")
    assert ours == pytest.approx(
        {
            "mae": theirs.mean_absolute_error(truth, got),
            "rmse": theirs.root_mean_squared_error(truth, got),
            "r2": theirs.r2_score(truth, got),
        }
    )


def test_booleans_and_whole_floats_are_the_integers_that_converters_make_of_them():
    given_ = scores.Answers(np.array([0, 1, 1]), None, (False, True))
    assert scores.compute("classification", given_, np.array([False, True, False]), "d")["accuracy"] == 2 / 3
    assert scores.compute("classification", given_, np.array([0.0, 1.0, 1.0]), "d")["accuracy"] == 1.0


def test_one_class_in_the_data_has_no_roc_auc():
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8]], dtype=np.float32)
    got = scores.compute("classification", scores.Answers(None, probabilities, (0, 1)), np.array([1, 1]), "d")
    assert set(got) == {"accuracy", "f1_macro", "log_loss"}


@pytest.mark.parametrize("target", [np.array([1.0, np.nan]), np.array(["a", None], dtype=object)])
def test_missing_targets_are_refused(target):
    answers = scores.Answers(np.array(["a", "b"], dtype=object), None, ("a", "b"))
    with pytest.raises(InvalidInput):
        scores.compute("classification", answers, target, "d")


@pytest.mark.parametrize(
    ("outputs", "classes", "target", "task"),
    [
        ({"label": np.array([0, 1])}, (0, 1), np.array([0, 1]), "classification"),
        ({"logits": np.zeros((2, 3), np.float32)}, None, np.array([0, 1]), "classification"),
        ({"variable": np.zeros((2, 1), np.float32)}, None, np.array([0.5, 1]), "regression"),
        ({"variable": np.zeros((2, 1), np.float32)}, None, np.array(["a", "b"]), "none"),
        ({"label": np.array([[1], [-1]]), "scores": np.zeros((2, 1))}, None, np.array([1, -1]), "outlier"),
        ({"label": np.array([0, 2])}, None, np.array([1, 0]), "none"),
        ({"pixels": np.zeros((2, 3, 4, 4))}, None, np.array([1, 0]), "none"),
    ],
)
def test_the_task_follows_from_outputs_and_targets(outputs, classes, target, task):
    assert scores.default_task(scores.answers(outputs, classes, 2), target) == task


def test_differences_by_row():
    expected = {"label": np.array([1, 2, 3, 4]), "p": np.array([[0.5], [np.nan], [np.inf], [1.0]], np.float32)}
    actual = {"label": np.array([1, 2, 3, 5]), "p": np.array([[0.5], [np.nan], [np.inf], [1.25]], np.float32)}
    found = compare.difference(expected, actual, 4)
    assert (found.rows_off, found.label_agreement, found.max_abs, found.mean_abs) == (1, 0.75, 0.25, 0.0625)


def test_labels_may_differ_where_scores_tie_and_nowhere_else():
    expected = {"label": np.array([0, 0, 0]), "p": np.array([[0.5, 0.5], [0.51, 0.49], [0.2, 0.2]], np.float32)}
    actual = {**expected, "label": np.array([1, 1, 0])}
    assert compare.difference(expected, actual, 3).label_agreement == pytest.approx(2 / 3)


def test_probabilities_a_rounding_below_zero_are_probabilities():
    answers = scores.Answers(None, np.array([[1.0, -1e-7], [0.25, 0.75]], np.float32), (0, 1))
    assert scores.compute("classification", answers, np.array([0, 1]), "d")["log_loss"] == pytest.approx(
        0.1438, abs=1e-4
    )


def test_a_nan_or_another_shape_is_off():
    zeros = np.zeros((2, 2), np.float32)
    assert compare.difference({"p": zeros}, {"p": np.array([[0, np.nan], [0, 0]], np.float32)}, 2).rows_off == 1
    assert compare.difference({"p": zeros}, {"p": np.zeros((2, 3), np.float32)}, 2).rows_off == 2
    assert compare.difference({"p": zeros}, {}, 2).rows_off == 2


def test_what_is_no_tensor_is_named():
    with pytest.raises(InvalidInput, match="'p' is a list"):
        compare.difference({"p": np.zeros(2, np.float32)}, {"p": [{0: 1.0}, {0: 1.0}]}, 2)


def test_the_distribution_of_errors_over_all_outputs():
    # absolute errors 0, 1, 2, 3 and 4; relative 0.5, 0.5, 0.3 and 0.1 of 2, 4, 10 and 40, and none of the 0
    expected = {"a": np.array([0.0, 2.0, 4.0]), "b": np.array([10.0, 40.0, 7.0])}
    actual = {"a": np.array([0.0, 3.0, 6.0]), "b": np.array([13.0, 44.0, 7.0])}
    found = compare.difference(expected, actual, 3)
    assert (found.max_abs, found.mean_abs, found.median_abs) == (4.0, 10 / 6, 1.5)
    assert found.p99_abs == pytest.approx(3 + 0.95)  # position 0.99 * 5 = 4.95 among the sorted 0 0 1 2 3 4
    assert (found.max_rel, found.median_rel) == (0.5, 0.3)
    assert found.mean_rel == pytest.approx((0.5 + 0.5 + 0.3 + 0.1 + 0) / 5)
    assert found.p99_rel == pytest.approx(0.5)
    assert {"median_abs", "p99_abs", "max_rel", "mean_rel", "median_rel", "p99_rel"} <= set(found.to_dict())
