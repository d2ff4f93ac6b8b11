"""Time beside a baseline whose weights come from DVC's cache, in a whole repository; portability of a version."""

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from sandbox import Sandbox

PARAMS = """\
modelver:
  scheme: semver
  models:
    m:
      data: rows.npz
      targets: [reference]
      validate:
        latency: {rounds: 3, runs: 10, max_ratio: {p50: 3.0}}
"""


def chain(box: Sandbox, count: int) -> str:
    """A model of so many matrix products."""
    nodes = [helper.make_node("MatMul", [f"v{n}" if n else "x", "w"], [f"v{n + 1}"]) for n in range(count)]
    nodes.append(helper.make_node("Identity", [f"v{count}"], ["y"]))
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "g", [value("x", TensorProto.FLOAT, ["N", 256])], [value("y", TensorProto.FLOAT, ["N", 256])],
        [numpy_helper.from_array(np.eye(256, dtype=np.float32) * 0.5, "w")],
    )  # fmt: skip
    path = box.root.parent / "incoming/m.onnx"
    path.parent.mkdir(exist_ok=True)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return str(path)


@pytest.fixture
def timed(empty_repo: Sandbox) -> Sandbox:
    """m@v1.0.0, whose validation measures time."""
    np.savez(empty_repo.root / "rows.npz", X=np.ones((64, 256), np.float32))
    empty_repo.mv("add", "m", chain(empty_repo, 2))
    empty_repo.write("params.yaml", PARAMS)
    done = empty_repo.mv("stage", "validate", "m")
    assert "no latest version yet" in done.out
    empty_repo.commit("a fast model")
    empty_repo.mv("tag", "m")
    return empty_repo


def test_a_version_that_became_slow_is_refused_with_the_ratio_and_where_it_was_measured(timed):
    timed.mv("add", "m", chain(timed, 40))
    done = timed.mv("stage", "validate", "m")
    assert "FAIL latency:p50" in done.out
    record = json.loads((timed.root / "models/m/validation.json").read_bytes())
    assert record["ok"] is False
    assert record["latency"]["p50_ratio"] > 3
    assert record["latency"]["baseline"] == "m@v1.0.0"
    assert record["latency"]["threads"] == 1
    assert record["latency"]["processor"]
    assert set(record["latency"]) >= {f"{name}_ratio" for name in ("p50", "p95", "p99", "load", "memory")}
    timed.commit("a slow model")
    assert "times that of m@v1.0.0, allowed: 3" in timed.refused("tag", "m").err


def test_portability_is_read_from_git(timed):
    rows = timed.mv("portability", "m@v1.0.0", "--format", "json").json()
    assert [(row["name"], row["ok"], row["operators"]) for row in rows] == [
        ("onnxruntime", True, "2/2"), ("reference", True, "2/2"),
    ]  # fmt: skip
    assert rows[1]["max_abs"] == 0.0
    assert timed.mv("portability", "v1", "--format", "markdown").out.startswith("| target")


def test_a_version_that_was_not_validated_has_no_portability(tagged_repo):
    assert "not validated" in tagged_repo.refused("portability", "m@v1.0.0").err


def test_the_runtimes_that_are_here_are_listed(empty_repo):
    listed = empty_repo.mv("stage", "runtimes", MODELVER_NODE_DIR=str(empty_repo.root / "nowhere")).out
    assert "modelver stage runtimes --install onnxruntime-node" in listed
    assert next(line for line in listed.splitlines() if line.startswith("reference")).split()[1][0].isdigit()
