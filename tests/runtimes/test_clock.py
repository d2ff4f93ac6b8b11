"""Every runtime times its own runs: real models, real processes. No test asserts how long anything takes."""

import math
import os
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from modelver.errors import ExternalFailure, InvalidInput
from modelver.operations import target_latency
from modelver.runtimes import base
from modelver.runtimes.clock import Calls, clock

ALL = ("onnxruntime", "reference", "openvino", "onnxruntime-node", "onnxruntime-web")
NODE = ("onnxruntime-node", "onnxruntime-web")
pytestmark = [pytest.mark.usefixtures("node_packages"), pytest.mark.xdist_group("node")]
X = {"x": np.ones((4, 3), np.float32)}


def value(name: str, *shape: object):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))


@pytest.fixture
def model(tmp_path) -> Path:
    """y = 2 x, for rows of three."""
    nodes, weight = (
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        numpy_helper.from_array(2 * np.eye(3, dtype="f"), "w"),
    )
    graph = helper.make_graph(nodes, "g", [value("x", "N", 3)], [value("y", "N", 3)], [weight])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(proto, tmp_path / "m.onnx")
    return tmp_path / "m.onnx"


@pytest.mark.parametrize("name", ALL)
def test_each_run_is_timed_inside_of_the_runtime(name, model):
    with clock(base.find(name), model, X) as found:
        for runs in (1, 7, 200):
            start = time.perf_counter()
            times = found.times(runs)
            assert len(times) == runs
            assert all(one > 0 and math.isfinite(one) for one in times)
            assert sum(times) <= time.perf_counter() - start
        assert found.threads == 1


@pytest.mark.parametrize("name", ALL)
def test_inputs_of_the_wrong_shape_are_refused_in_words(name, model):
    with (
        pytest.raises(InvalidInput, match=r"m\.onnx"),
        clock(base.find(name), model, {"x": np.ones((2, 7), "f")}) as one,
    ):
        one.times(1)


@pytest.mark.parametrize("name", ALL)
def test_a_model_that_does_not_load_is_refused_in_words(name, tmp_path):
    (tmp_path / "m.onnx").write_bytes(b"\x08\x08no model")
    with pytest.raises(InvalidInput, match=r"m\.onnx does not load"), clock(base.find(name), tmp_path / "m.onnx", X):
        pass


@pytest.mark.parametrize("name", NODE)
def test_a_process_of_node_ends_with_the_block(name, model, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    with clock(base.find(name), model, X) as found:
        process = found._process.pid
        os.kill(process, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
    assert not list((tmp_path / "scratch").iterdir())


@pytest.mark.parametrize("name", NODE)
def test_a_process_of_node_that_dies_is_an_error_with_its_status(name, model):
    with clock(base.find(name), model, X) as found:
        found.times(3)
        found._process.kill()
        with pytest.raises(ExternalFailure, match="Node failed with status -9"):
            found.times(3)


def test_a_runtime_without_a_clock_is_timed_from_outside(model):
    class Plain:
        name, slept = "plain", 0

        def load(self, path):
            assert path == model
            return self

        def run(self, inputs):
            assert inputs is X
            Plain.slept += 1
            time.sleep(0.02)

    with clock(Plain(), model, X) as found:
        assert min(found.times(3)) >= 0.02
    assert Plain.slept == 3
    assert found.threads is None


def test_all_targets_are_timed_in_one_run_with_onnxruntime_as_the_measure(model):
    times = target_latency.measure(ALL, model, X)
    assert set(times.timed) == set(ALL)
    assert not times.failed
    assert (times.timed["onnxruntime"].ratio.p50, times.timed["onnxruntime"].ratio.p95) == (1, 1)
    for one in times.timed.values():
        assert one.ratio.runs >= 1
        assert all(0 < ratio < math.inf for ratio in (one.ratio.p50, one.ratio.p95))
        assert one.to_dict()["threads"] == 1


def test_a_target_that_fails_when_timed_is_named_and_the_others_are_timed(model, monkeypatch):

    real = base.find

    class Failing:
        name = "failing"

        def load(self, path):
            return self

        def run(self, inputs):
            raise InvalidInput("no memory left", hint="buy some")

    monkeypatch.setattr(base, "find", lambda name: Failing() if name == "failing" else real(name))
    times = target_latency.measure(["onnxruntime", "failing", "reference"], model, X)
    assert set(times.timed) == {"onnxruntime", "reference"}
    (check,) = target_latency.judge(times, {})
    assert (check.name, check.ok, check.hint) == ("latency:failing", False, "buy some")
    assert check.message == "failing was not timed: no memory left"


def test_onnxruntime_alone_is_timed_too(model):
    (one,) = target_latency.measure([], model, X).timed.values()
    assert (one.ratio.p50, one.ratio.p95) == (1, 1)
    assert one.ratio.runs >= 1


def test_limits_are_judged_by_the_ratio_of_medians(model):
    times = target_latency.measure(["reference"], model, X)
    low, high = (target_latency.judge(times, {"reference": limit})[0] for limit in (1e-5, 1e5))
    assert (low.ok, high.ok) == (False, True)
    assert low.value == high.value == times.timed["reference"].ratio.p50
    assert low.limit == 1e-5
    assert "params.yaml" in low.hint
    assert not target_latency.judge(times, {"openvino": 3})[0].ok  # a limit on what was not timed is a no


def test_what_fails_in_a_call_is_told_in_words():
    def call():
        raise KeyError("gone")

    with pytest.raises(InvalidInput, match="gone"):
        Calls(call, 1, (KeyError,), lambda error: InvalidInput(str(error))).times(1)
    with pytest.raises(KeyError):
        Calls(call).times(1)
