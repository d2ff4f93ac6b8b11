import pytest

from modelver.core.parity import (
    DISCONTINUOUS,
    Difference,
    Limits,
    is_discontinuous,
    judge_parity,
    parse_limits,
    tolerance,
)
from modelver.errors import InvalidInput


def off(rows: int, count: int = 200, labels: float | None = None) -> Difference:
    return Difference(max_abs=1.0, mean_abs=0.1, rows=count, rows_off=rows, label_agreement=labels)


@pytest.mark.parametrize(
    ("rows", "discontinuous", "limits", "ok"),
    [
        (0, False, Limits(), True),
        (1, False, Limits(), False),
        (2, True, Limits(), True),  # 1 % of 200
        (3, True, Limits(), False),
        (24, True, Limits(), False),  # 12 %: float32 in front of trees
        (24, True, Limits(share_rows_off=0.2), True),
        (1, True, Limits(share_rows_off=0.0), False),
    ],
)
def test_rows_off(rows, discontinuous, limits, ok):
    (check,) = judge_parity(off(rows), discontinuous, limits)
    assert check.name == "parity"
    assert check.ok is ok
    assert bool(check.hint) is not ok


@pytest.mark.parametrize(("agreement", "ok"), [(1.0, True), (0.99, True), (0.985, False), (0.0, False)])
def test_labels(agreement, ok):
    checks = judge_parity(off(0, labels=agreement), False)
    assert [(check.name, check.ok) for check in checks] == [("parity", True), ("parity:labels", ok)]


def test_labels_alone_are_judged_without_values():
    only = Difference(None, None, 10, 0, 1.0)
    assert [check.name for check in judge_parity(only, False)] == ["parity:labels"]


def test_an_output_that_vanished_is_off_though_nothing_could_be_subtracted():
    gone = Difference(None, None, 10, 10, None)
    assert [check.ok for check in judge_parity(gone, False)] == [False]


def test_no_rows_are_no_share():
    assert off(0, 0).share_rows_off == 0.0


def test_tolerances_name_their_source_and_loosen_with_coarser_types():
    names = ["float64", "float32", "float16", "bfloat16"]
    found = [tolerance(name) for name in names]
    assert all(item.source for item in found)
    assert [item.atol for item in found] == sorted(item.atol for item in found)
    mine = tolerance("float32", Limits(rtol=0.5))
    assert (mine.rtol, mine.atol) == (0.5, tolerance("float32").atol)
    assert "params.yaml" in mine.source


def test_discontinuous_operators():
    assert is_discontinuous(["ai.onnx/MatMul", "ai.onnx.ml/TreeEnsembleRegressor"])
    assert not is_discontinuous(["ai.onnx/MatMul", "com.microsoft/TopK"])
    assert "ai.onnx/TopK" in DISCONTINUOUS


@pytest.mark.parametrize("data", [[], {"x": 1}, {"rtol": -1}, {"rtol": "1"}, {"atol": True}, {"atol": float("inf")}])
def test_malformed_limits_are_refused(data):
    with pytest.raises(InvalidInput, match="parity"):
        parse_limits(data, "parity")


def test_limits():
    assert parse_limits(None, "parity") == Limits()
    assert parse_limits({"rtol": 0, "label_agreement": 1}, "parity") == Limits(rtol=0.0, label_agreement=1.0)
