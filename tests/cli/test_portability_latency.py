"""Latency in the portability table: recorded by validation, or measured now; in real repositories, on real runtimes.

No test asserts how long a runtime takes, but one: a runtime that sleeps 20 ms a run is far slower than onnxruntime on
a model of one small matrix.
"""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from sandbox import Sandbox, environment, start

from modelver.errors import InvalidInput
from modelver.operations.portability import portability
from modelver.operations.project import Project

PARAMS = """\
modelver:
  scheme: semver
  models:
    m:
      data: rows.npz
      targets: [{targets}]
      validate: {{{validate}}}
"""
LATENCY = "latency: {rounds: 3, runs: 5}"
POINTS = "sleeper = sleeper:Sleeper\nbroken = sleeper:Broken\n"
SLEEPER = """\
import time
from modelver.runtimes.onnxruntime import OnnxRuntime


class Sleeper:
    name = "sleeper"

    def version(self):
        return "1.0"

    def load(self, model):
        return Session(OnnxRuntime().load(model))

    def run(self, model, inputs):
        return self.load(model).run(inputs)


class Broken(Sleeper):
    name = "broken"

    def run(self, model, inputs):
        return {name: value * float("nan") for name, value in super().run(model, inputs).items()}


class Session:
    def __init__(self, session):
        self.session = session

    def run(self, inputs):
        time.sleep(0.02)
        return self.session.run(inputs)
"""


def declare(box: Sandbox, targets: str, validate: str = "") -> None:
    box.write("params.yaml", PARAMS.format(targets=targets, validate=validate))


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``new``: a model of one product with a matrix of 8 × 8, with 10 rows of data; ``tagged``: validated, m@v1.0.0."""
    top = tmp_path_factory.mktemp("portability")
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], "g", [value("x", TensorProto.FLOAT, ["N", 8])],
        [value("y", TensorProto.FLOAT, ["N", 8])], [numpy_helper.from_array(np.eye(8, dtype=np.float32) * 0.5, "w")],
    )  # fmt: skip
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), top / "incoming.onnx"
    )
    new = start(top / "new", environment(top / "home"))
    np.savez(new.root / "rows.npz", X=np.ones((10, 8), np.float32))
    new.mv("add", "m", str(top / "incoming.onnx"))
    declare(new, "openvino, reference")
    new.commit("a model")
    shutil.copytree(top / "new", top / "tagged", symlinks=True)
    tagged = Sandbox(top / "tagged", new.env)
    tagged.mv("stage", "validate", "m")
    tagged.commit("validated")
    tagged.mv("tag", "m")
    return top


def copied(template: Path, place: Path) -> Sandbox:
    shutil.copytree(template, place / "repo", symlinks=True)
    found = Sandbox(place / "repo", environment(place / "home"))
    found.git("status")  # refreshes the index: the copied files have other inodes
    return found


@pytest.fixture
def box(templates: Path, tmp_path: Path) -> Sandbox:
    """A model that was not validated."""
    return copied(templates / "new", tmp_path)


@pytest.fixture
def tagged(templates: Path, tmp_path: Path) -> Sandbox:
    """The same, validated without times, and tagged m@v1.0.0."""
    return copied(templates / "tagged", tmp_path)


@pytest.fixture
def sleeping(box: Sandbox) -> Sandbox:
    """The same, with a runtime of another package that sleeps 20 ms in each run."""
    place = box.root.parent / "packages"
    (place / "sleeper-1.0.dist-info").mkdir(parents=True)
    (place / "sleeper-1.0.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: sleeper\nVersion: 1.0\n")
    (place / "sleeper-1.0.dist-info/entry_points.txt").write_text("[modelver.runtimes]\n" + POINTS)
    (place / "sleeper.py").write_text(SLEEPER)
    box.env["PYTHONPATH"] += f":{place}"
    return box


def validation(box: Sandbox) -> bytes:
    return (box.root / "models/m/validation.json").read_bytes()


def sound(latency: dict, rows: int) -> None:
    assert set(latency) == {"p50_ratio", "p95_ratio", "runs", "threads", "rows", "processor"}
    assert all(0 < latency[name] < math.inf for name in ("p50_ratio", "p95_ratio"))
    assert latency["runs"] >= 1
    assert latency["rows"] == rows
    assert latency["processor"]


# Recorded


def test_without_latency_in_params_two_runs_write_the_same_bytes_and_the_column_is_empty(tagged):
    first = validation(tagged)
    tagged.mv("stage", "validate", "m")
    assert validation(tagged) == first
    assert b"latency" not in first
    done = tagged.mv("portability", "--format", "json")
    assert [row["latency"] for row in done.json()] == [None, None, None]
    assert "--measure" in done.err
    assert "`latency:`" in done.err
    done = tagged.mv("portability", "--format", "markdown")
    lines = done.out.splitlines()
    assert len(lines) == 5  # heading, rule, three targets, and nothing below
    assert all([cell.strip() for cell in line.split("|")][8:11] == ["-"] * 3 for line in lines[2:])


def test_recorded_latency_is_read_from_git_alone(box):
    declare(box, "openvino, reference", LATENCY)
    box.mv("stage", "validate", "m")
    box.commit("validated")
    box.mv("tag", "m")
    for path in ("models/m/weights", ".dvc/cache", "rows.npz", "models/m/validation.json"):
        shutil.rmtree(box.root / path) if (box.root / path).is_dir() else (box.root / path).unlink()
    done = box.mv("portability", "m@v1.0.0", "--format", "json")
    rows = {row["name"]: row for row in done.json()}
    assert list(rows) == ["onnxruntime", "openvino", "reference"]
    for row in rows.values():
        sound(row["latency"], rows=10)
    assert rows["onnxruntime"]["latency"]["p50_ratio"] == rows["onnxruntime"]["latency"]["p95_ratio"] == 1
    assert rows["openvino"]["latency"]["threads"] == 1
    assert not done.err
    marked = box.mv("portability", "m@v1.0.0", "--format", "markdown").out
    table, _, below = marked.partition("\n\n")
    assert table.splitlines()[0].count("|") == table.splitlines()[-1].count("|") == 12
    for name, row in rows.items():
        cells = next(line for line in table.splitlines() if line.startswith(f"| {name} "))
        assert f"{row['latency']['p50_ratio']:g}x" in cells
        assert f" {row['latency']['runs']} " in cells
    assert "10 rows" in below
    assert rows["onnxruntime"]["latency"]["processor"] in below
    assert "openvino 1" in below


def test_dvc_shows_the_ratios_as_metrics(box):
    declare(box, "reference", LATENCY)
    box.mv("stage", "validate", "m")
    recorded = json.loads(validation(box))["portability"]["reference"]
    shown = json.loads(box.dvc("metrics", "show", "models/m/validation.json", "--json").out)
    metrics = shown[""]["data"]["models/m/validation.json"]["data"]["portability"]["reference"]
    latency = {name: value for name, value in recorded["latency"].items() if value is not None}
    assert metrics["latency"] == latency
    assert metrics["max_abs"] == recorded["max_abs"] == 0


def test_a_target_slower_than_its_limit_makes_the_version_untaggable(sleeping):
    declare(sleeping, "sleeper", "latency: {rounds: 3, runs: 5, max_target_ratio: {sleeper: 3}}")
    done = sleeping.mv("stage", "validate", "m")
    assert "FAIL latency:sleeper: sleeper takes " in done.out
    assert "NOT valid" in done.out
    record = json.loads(validation(sleeping))
    assert record["ok"] is False
    assert record["portability"]["sleeper"]["latency"]["p50_ratio"] > 10
    assert record["portability"]["sleeper"]["latency"]["threads"] is None
    sleeping.commit("slow there")
    assert "times as long as onnxruntime (p50), allowed: 3" in sleeping.refused("tag", "m").err


DAMAGED_LATENCY = (
    {"p50_ratio": "fast", "p95_ratio": 1.0, "runs": 3}, {"p50_ratio": math.nan, "p95_ratio": 1.0, "runs": 3},
    {"p50_ratio": 1.0, "p95_ratio": 10**400, "runs": 3}, {"p50_ratio": 1.0, "p95_ratio": 1.0, "runs": -1},
    {"p50_ratio": 1.0, "p95_ratio": 1.0, "runs": 3, "threads": "1"}, {"p95_ratio": 1.0, "runs": 3}, [], "x", 3,
)  # fmt: skip


def test_figures_of_a_record_that_are_none_are_refused_in_words(box):
    declare(box, "reference", LATENCY)
    box.mv("stage", "validate", "m")
    project = Project.open(box.root)
    good = json.loads(validation(box))
    assert portability(project, None)[1].latency is not None
    damages = [("latency", value) for value in DAMAGED_LATENCY]
    damages += [("max_abs", value) for value in ("1e-3", math.inf, True, [1])]
    for key, value in damages:
        record = json.loads(json.dumps(good))
        record["portability"]["reference"][key] = value
        box.write("models/m/validation.json", json.dumps(record))
        with pytest.raises(InvalidInput, match=r"validation\.json is malformed"):
            portability(project, None)
    assert "validation.json is malformed" in box.refused("portability").err


def test_onnxruntime_differs_where_the_answers_of_the_source_framework_do(tagged):
    record = json.loads(validation(tagged))
    wrong = {"name": "parity", "ok": False, "value": 1.0, "limit": 0, "message": "10 rows differ", "hint": ""}
    record["checks"].append(wrong)
    tagged.write("models/m/validation.json", json.dumps(record))
    own, *others = tagged.mv("portability", "--format", "json").json()
    assert (own["name"], own["ran"], own["ok"], own["reason"]) == ("onnxruntime", True, False, "10 rows differ")
    assert all(row["ok"] for row in others)


# Measured


def test_measured_now_in_the_working_tree_without_a_validation(sleeping):
    declare(sleeping, "openvino, sleeper, tensorrt")
    before = sleeping.fingerprint()
    done = sleeping.mv("portability", "--measure", "--format", "json")
    assert sleeping.fingerprint() == before
    rows = {row["name"]: row for row in done.json()}
    assert list(rows) == ["onnxruntime", "openvino", "sleeper", "tensorrt"]
    missing = rows.pop("tensorrt")
    assert (missing["ran"], missing["ok"], missing["latency"], missing["version"]) == (False, False, None, None)
    assert missing["reason"].startswith("not run: ")
    for row in rows.values():
        sound(row["latency"], rows=10)
        assert row["ran"]
        assert row["ok"]
        assert row["operators"] == "1/1"
        assert row["max_abs"] in (0.0, None)
    assert rows["onnxruntime"]["latency"]["p50_ratio"] == rows["onnxruntime"]["latency"]["p95_ratio"] == 1
    assert rows["sleeper"]["latency"]["p50_ratio"] > 10
    assert rows["sleeper"]["latency"]["threads"] is None
    below = sleeping.mv("portability", "--measure", "--format", "markdown").out.partition("\n\n")[2]
    assert "sleeper its own choice" in below
    assert "tensorrt" not in below


def test_a_version_is_measured_from_the_cache_whatever_the_working_tree_holds(tagged):
    declare(tagged, "openvino")
    tagged.commit("fewer targets")
    shutil.rmtree(tagged.root / "models/m/weights")
    before = tagged.fingerprint()
    done = tagged.mv("portability", "m@v1.0.0", "--measure", "--format", "json")
    assert tagged.fingerprint() == before
    assert [row["name"] for row in done.json()] == ["onnxruntime", "openvino", "reference"]  # as v1.0.0 declared them
    assert all(row["latency"]["runs"] for row in done.json())


def test_weights_that_are_gone_or_damaged_are_not_run(tagged):
    objects = [path for path in (tagged.root / ".dvc/cache/files/md5").rglob("*") if path.is_file()]
    graph = next(path for path in objects if b"MatMul" in path.read_bytes())
    content = graph.read_bytes()
    graph.chmod(0o644)
    graph.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert "is damaged" in tagged.refused("portability", "m@v1.0.0", "--measure", status=1).err
    graph.unlink()
    done = tagged.refused("portability", "m@v1.0.0", "--measure")
    assert "the weights of m@v1.0.0 are not here" in done.err
    assert tagged.hint(done) == "dvc fetch --all-tags models/m/weights"
    own = tagged.root / "models/m/weights/model.onnx"
    own.unlink()  # it may be a link into the cache
    own.write_bytes(content[:-1])
    assert "model.onnx has" in tagged.refused("portability", "--measure", status=1).err


def test_without_rows_nothing_is_run_and_that_is_said(box):
    box.write("params.yaml", "modelver: {scheme: semver, models: {m: {targets: [reference]}}}\n")
    rows = box.mv("portability", "--measure", "--format", "json").json()
    assert [(row["ran"], row["ok"], row["latency"]) for row in rows] == [(False, False, None)] * 2
    assert all("there are no rows" in row["reason"] for row in rows)


def test_answers_that_are_no_numbers_are_json_all_the_same(sleeping):
    declare(sleeping, "broken")
    wrong = sleeping.mv("portability", "--measure", "--format", "json").json()[1]
    assert (wrong["name"], wrong["ran"], wrong["ok"], wrong["max_abs"]) == ("broken", True, False, None)
    assert "disagrees" in wrong["reason"]
    sound(wrong["latency"], rows=10)
    assert sleeping.mv("portability", "--measure").out.splitlines()[2].split()[2] == "differs"


def test_a_source_that_speaks_of_another_model_is_not_believed(box):
    source = json.loads((box.root / "models/m/source.json").read_bytes())
    for graph in ({**source["graph"], "operators": {"ai.onnx/Add": 1}}, [], {"operators": 3}):
        box.write("models/m/source.json", json.dumps({**source, "graph": graph}))
        assert "disagree about: graph" in box.refused("portability", "--measure", status=1).err


def test_a_plain_model_is_not_run(empty_repo):
    empty_repo.write("blob.bin", b"\0" * 64)
    empty_repo.mv("add", "blob", "blob.bin", "--plain")
    assert "no ONNX model" in empty_repo.refused("portability", "--measure").err
