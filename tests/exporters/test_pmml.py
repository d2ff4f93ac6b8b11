"""PMML of models that scikit-learn trained: scored back, the same bytes twice, and nobody's where nobody asks."""

import importlib.util
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import joblib
import numpy as np
import pytest
from sandbox import environment, start
from sklearn import datasets
from sklearn.compose import make_column_transformer
from sklearn.ensemble import GradientBoostingRegressor, RandomForestClassifier
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from modelver.errors import InvalidInput, NotFound, Refused
from modelver.operations import stage_export, stage_optimize
from modelver.optimizers import pmml, pmml_convert, pmml_process

MISSING = [name for name in ("sklearn2pmml", "pypmml") if importlib.util.find_spec(name) is None]
JAVA = shutil.which("java")
needs_tools = pytest.mark.skipif(
    bool(MISSING) or JAVA is None,
    reason=f"no {' and no '.join(MISSING) or 'Java'} here: pip install 'modelver[pmml]', and Java 11 or later",
)
needs_groups = pytest.mark.skipif(not Path("/proc/self").exists(), reason="processes are counted in Linux's /proc")

PMML = {"{http://www.dmg.org/PMML-4_4}": ""}
NAMES = ("setosa", "versicolor", "virginica")
ASKED = {"optimize": {"pmml": {"method": "pmml"}}}
FOREST = {"source": "m.joblib", "data": "data.npz"}
IRIS = {"source": "m.joblib", "data": "iris.csv", "target": "species"}


def iris():
    frame = datasets.load_iris(as_frame=True).frame
    frame["species"] = np.array(NAMES)[frame.pop("target")]
    return frame


def linear(frame):
    columns = [name for name in frame.columns if name != "species"]
    scale = make_column_transformer((StandardScaler(), columns[:2]), (MinMaxScaler(), columns[2:]))
    return make_pipeline(scale, LogisticRegression(max_iter=500)).fit(frame[columns], frame["species"])


def place_linear(root: Path) -> None:
    frame = iris()
    frame.to_csv(root / "iris.csv", index=False)
    joblib.dump(linear(frame), root / "m.joblib")


def place_forest(root: Path) -> None:
    """Trained on an array; iris has many values on a tree's thresholds (4.9 is at most 4.9)."""
    X, y = datasets.load_iris(return_X_y=True)
    joblib.dump(RandomForestClassifier(15, random_state=0).fit(X, y), root / "m.joblib")
    np.savez(root / "data.npz", X=X, y=y)


def place_regressor(root: Path) -> None:
    frame = datasets.load_diabetes(as_frame=True).frame
    model = GradientBoostingRegressor(n_estimators=10, random_state=0)
    joblib.dump(model.fit(frame.drop(columns="target"), frame["target"]), root / "m.joblib")
    frame.to_csv(root / "data.csv", index=False)


def exported(root: Path, place, settings: dict) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    place(root)
    stage_export.run(root, "m", settings)
    return root


def optimize(root: Path, settings: dict, **wanted) -> dict:
    asked = {"optimize": {"pmml": {"method": "pmml", **wanted}}}
    return stage_optimize.run(root, "m", {**settings, **asked}).document["variants"]["pmml"]


def failed(record: dict) -> set[str]:
    return {check["name"] for check in record["checks"] if not check["ok"]}


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def linear_root(tmp_path_factory) -> Path:
    """The linear model, exported and in PMML; only read."""
    root = exported(tmp_path_factory.mktemp("linear"), place_linear, IRIS)
    optimize(root, IRIS)
    return root


@pytest.fixture(scope="module")
def forest_root(tmp_path_factory) -> Path:
    """The forest, exported and in PMML; only read."""
    root = exported(tmp_path_factory.mktemp("forest"), place_forest, FOREST)
    optimize(root, FOREST)
    return root


@pytest.fixture
def copy(linear_root, tmp_path) -> Path:
    return Path(shutil.copytree(linear_root, tmp_path / "copy"))


def record_of(root: Path) -> dict:
    return json.loads((root / "models/m/variants.json").read_bytes())["variants"]["pmml"]


def stand_in(monkeypatch, folder: Path, *lines: str) -> None:
    """Another script in the converter's place; ``request`` is what it is asked for."""
    script = folder / "stand_in.py"
    text = "\n".join(("import json, os, re, subprocess, sys", "request = json.load(open(sys.argv[1]))", *lines))
    script.write_text(text + "\nprint(json.dumps({'told': None}), flush=True)\n")
    monkeypatch.setattr(pmml, "CONVERT", script)


@needs_tools
def test_a_linear_pipeline_is_what_scikit_learn_fitted_and_says_what_made_it(linear_root):
    record = record_of(linear_root)
    assert record["ok"], record["checks"]
    assert record["compared"] == ["label", "probabilities"]
    assert {"parity", "parity:labels", "recorded:parity", "recorded:parity:labels"} <= {
        check["name"] for check in record["checks"]
    }
    assert record["parity"]["rows"] == 150
    assert record["recorded"]["rows"] == 32
    assert record["metrics"]["agreement"] == {"before": 1.0, "after": 1.0, "drop": 0.0}
    frame = iris()
    want = linear(frame)
    accuracy = float((want.predict(frame.drop(columns="species")) == frame["species"]).mean())
    assert record["metrics"]["accuracy"]["after"] == pytest.approx(accuracy, abs=1e-6)

    root = ElementTree.parse(linear_root / "models/m/variants/pmml/model.pmml").getroot()
    (space,) = PMML
    tables = root.findall(f".//{space}RegressionTable")
    assert [table.get("targetCategory") for table in tables] == list(NAMES)
    coefficients = [[float(p.get("coefficient")) for p in table.iter(f"{space}NumericPredictor")] for table in tables]
    np.testing.assert_allclose(coefficients, want[-1].coef_, rtol=1e-12)
    targets = [f.get("name") for f in root.iter(f"{space}MiningField") if f.get("usageType") == "target"]
    assert targets == ["species"]

    from importlib.metadata import version

    tool = record["tool"]
    assert (tool["name"], tool["version"], tool["license"]) == ("sklearn2pmml", version("sklearn2pmml"), "AGPL-3.0")
    assert tool["scikit-learn"] == version("scikit-learn")
    assert tool["java"] in subprocess.run(["java", "-version"], capture_output=True, text=True, check=True).stderr
    jars = Path(str(importlib.util.find_spec("sklearn2pmml").origin)).parent / "resources"
    assert tool["jars"]["pmml-sklearn"]
    assert all((jars / f"{jar}-{number}.jar").is_file() for jar, number in tool["jars"].items())
    import hashlib

    source = hashlib.sha256((linear_root / "m.joblib").read_bytes()).hexdigest()
    assert record["source"] == {"path": "m.joblib", "sha256": source}
    assert record["evaluator"]["name"] == "pypmml"


@needs_tools
def test_nothing_of_it_is_in_this_process_and_nothing_is_left_behind(linear_root):
    loaded = {name.partition(".")[0] for name in sys.modules}  # dill, which they use, may be there by other tests
    assert not {"sklearn2pmml", "pypmml", "jpype", "py4j"} & loaded
    assert names(linear_root / "models/m") == [
        "files.jsonl", "source.json", "tensors.jsonl", "variants", "variants.json", "weights",
    ]  # fmt: skip
    assert names(linear_root / "models/m/variants") == ["pmml"]


@needs_tools
def test_a_forest_is_compared_row_by_row(forest_root):
    record = record_of(forest_root)
    assert record["ok"], record["checks"]
    assert record["parity"]["rows_off"] == 0
    assert record["recorded"]["rows_off"] == 0
    assert record["format"]["element"] == "MiningModel"
    files = contents(forest_root / "models/m")
    assert b"<Timestamp>" not in files["variants/pmml/model.pmml"]
    assert b"</Header>" in files["variants/pmml/model.pmml"]
    assert str(forest_root).encode() not in b"".join(files.values())


@needs_tools
def test_a_regressor(tmp_path):
    settings = {"source": "m.joblib", "data": "data.csv", "target": "target"}
    root = exported(tmp_path / "r", place_regressor, settings)
    record = optimize(root, settings, max_drop={"rmse": 0.01})
    assert record["ok"], record["checks"]
    assert [check["name"] for check in record["checks"]] == ["outputs", "drop:rmse"]
    frame = datasets.load_diabetes(as_frame=True).frame
    answers = joblib.load(root / "m.joblib").predict(frame.drop(columns="target"))
    rmse = float(np.sqrt(((answers - frame["target"]) ** 2).mean()))
    assert record["metrics"]["rmse"]["after"] == pytest.approx(rmse, rel=1e-5)


@needs_tools
@pytest.mark.parametrize(
    ("change", "allowed", "says"),
    [
        # two labels change places, everywhere but where they are declared
        ("text = text.replace('targetCategory=\"setosa\"', '@').replace('targetCategory=\"virginica\"', "
         "'targetCategory=\"setosa\"').replace('@', 'targetCategory=\"virginica\"')",
         {}, {"parity", "parity:labels", "recorded:parity", "recorded:parity:labels"}),
        ("text = re.sub('coefficient=\"[^\"]*\"', 'coefficient=\"0.5\"', text, count=1)",
         {}, {"parity", "parity:labels", "recorded:parity", "recorded:parity:labels"}),
        ("text = text.replace('targetCategory=\"setosa\"', '@').replace('targetCategory=\"virginica\"', "
         "'targetCategory=\"setosa\"').replace('@', 'targetCategory=\"virginica\"')",
         {"agreement": 0.01}, {"drop:agreement"}),
        ("text = text[:len(text) // 2]", {}, {"pmml4s"}),
    ],
    ids=["labels swapped", "a coefficient altered", "labels swapped, by agreement", "half of it"],
)  # fmt: skip
def test_a_wrong_file_is_caught_by_scoring_it(copy, tmp_path, monkeypatch, change, allowed, says):
    good = (copy / "models/m/variants/pmml/model.pmml").resolve()
    kept = tmp_path / "good.pmml"
    shutil.copy(good, kept)
    stand_in(
        monkeypatch, tmp_path, f"text = open({str(kept)!r}).read()", "before = text", change, "assert text != before",
        "open(request['output'], 'w').write(text)",
    )  # fmt: skip
    record = optimize(copy, IRIS, **({"max_drop": allowed} if allowed else {}))
    assert not record["ok"]
    assert failed(record) == says
    assert all(check["hint"] for check in record["checks"] if not check["ok"])
    assert json.loads((copy / "models/m/variants.json").read_bytes())["ok"] is False


@needs_tools
def test_a_model_that_it_cannot_convert_is_named_and_its_report_stays_here(tmp_path, monkeypatch):
    """The converter reports failures to its maker's server; the proxy that it is given is where that ends."""
    frame = iris()
    X, y = frame.drop(columns="species"), frame["species"]
    place_linear(tmp_path)
    joblib.dump(make_pipeline(SelectKBest(k=2), DecisionTreeClassifier(max_depth=2)).fit(X, y), tmp_path / "m.joblib")
    stage_export.run(tmp_path, "m", IRIS)
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as proxy:

        def listen() -> None:
            while True:
                try:
                    connection, _ = proxy.accept()
                except OSError:
                    return
                with connection:
                    heard.append(connection.recv(4096).split(b"\r\n")[0])

        threading.Thread(target=listen, daemon=True).start()
        monkeypatch.setattr(pmml_process, "NOBODY", proxy.getsockname()[1])
        with pytest.raises(InvalidInput) as raised:
            optimize(tmp_path, IRIS)
    assert "variant pmml" in raised.value.message
    assert "cannot convert the Pipeline of SelectKBest, DecisionTreeClassifier" in raised.value.message
    assert raised.value.hint
    assert heard, "it asked for no proxy: where did its report go?"
    assert {line.split()[1] for line in heard} == {b"telemetry.jpmml.org:443"}
    assert not (tmp_path / "models/m/.optimize").exists()
    assert not (tmp_path / "models/m/variants.json").exists()


@needs_tools
def test_what_is_no_model_of_scikit_learns_is_refused(copy):
    path = copy / "models/m/source.json"
    document = json.loads(path.read_bytes())
    document["source"]["framework"] = "lightgbm"
    path.write_text(json.dumps(document))
    with pytest.raises(Refused, match="scikit-learn models alone, this one is by lightgbm"):
        optimize(copy, IRIS)
    (copy / "m.joblib").unlink()
    document["source"]["framework"] = "scikit-learn"
    path.write_text(json.dumps(document))
    with pytest.raises(NotFound, match=r"its source m\.joblib does not exist"):
        optimize(copy, IRIS)
    joblib.dump(linear(iris()[:120]), copy / "m.joblib")
    with pytest.raises(InvalidInput, match="not the one that the weights were made of") as raised:
        optimize(copy, IRIS)
    assert raised.value.hint == "modelver stage export m"


@needs_tools
def test_a_converter_that_has_expired_says_how_to_go_on(copy, tmp_path, monkeypatch):
    said = "com.sklearn2pmml.SkLearn2PMMLException: The SkLearn2PMML package has expired"  # its own words
    stand_in(monkeypatch, tmp_path, f"sys.exit({said!r})")
    with pytest.raises(Refused, match="has expired: each release stops working twelve months") as raised:
        optimize(copy, IRIS)
    assert raised.value.hint == "pip install --upgrade sklearn2pmml"


@pytest.mark.parametrize(
    ("known", "here", "told"),
    [("1.9.0", "1.9.1", "1.9.0"), ("1.9.0", "1.10.0", None), ("1.9.0", "2.9.0", None)],
    ids=["patch", "minor", "major"],
)
def test_the_converter_is_told_another_patch_release_and_nothing_else(known, here, told):
    said = (  # what sklearn2pmml 0.133.1 says
        f"org.jpmml.sklearn.SkLearnException: Scikit-Learn version '{here}' is not supported\n"
        f"Solution:\n\tUpgrade the converter to the latest version, or downgrade Scikit-Learn to version '{known}'\n"
    )
    assert pmml_convert.patch_known(said, here) == told
    assert pmml_convert.patch_known("org.jpmml.sklearn.SkLearnException: something else", here) is None


@needs_tools
@needs_groups
def test_java_that_takes_too_long_is_ended_with_all_that_it_started(copy, tmp_path, monkeypatch):
    monkeypatch.setattr(pmml_process, "TIMEOUT", 2.0)
    stand_in(
        monkeypatch, tmp_path, "child = subprocess.Popen(['sleep', '600'])",
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(child.pid))", "child.wait()",
    )  # fmt: skip
    with pytest.raises(InvalidInput, match="Java took longer than 2 s"):
        optimize(copy, IRIS)
    assert ended(int((tmp_path / "pid").read_text()))
    assert names(copy / "models/m") == [
        "files.jsonl", "source.json", "tensors.jsonl", "variants", "weights",
    ]  # fmt: skip


def ended(pid: int) -> bool:
    for _ in range(100):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


def fake_java(home: Path, *lines: str) -> str:
    """A Java home whose ``bin/java`` is a shell script."""
    program = home / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text("\n".join(("#!/bin/sh", *lines)) + "\n")
    program.chmod(0o755)
    return str(home)


@needs_tools
@needs_groups
def test_a_stage_that_is_killed_takes_java_along(linear_root, copy, tmp_path, monkeypatch):
    home = fake_java(
        tmp_path / "slow",
        'for word in "$@"; do case "$word" in -version) exec java "$@";; esac; done',
        f"echo $$ > {tmp_path}/pid.tmp && mv {tmp_path}/pid.tmp {tmp_path}/pid && exec sleep 600",
    )
    real = subprocess.run([JAVA, "-XshowSettings:properties", "-version"], capture_output=True, text=True).stderr
    java_home = re.search(r"java\.home = (.+)", real)[1]
    # what says where Java is must say that it is the slow one
    script = tmp_path / "slow/bin/java"
    script.write_text(
        script.read_text().replace('exec java "$@"', f"{JAVA} \"$@\" 2>&1 | sed 's#{java_home}#{home}#' >&2; exit 0")
    )
    code = (
        "from pathlib import Path; from modelver.operations import stage_optimize; "
        f"stage_optimize.run(Path({str(copy)!r}), 'm', { ({**IRIS, **ASKED})!r})"
    )
    stage = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "JAVA_HOME": home})
    try:
        deadline = time.monotonic() + 60
        while not (tmp_path / "pid").exists():
            assert stage.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        stage.send_signal(signal.SIGKILL)
        stage.wait()
    assert ended(int((tmp_path / "pid").read_text()))
    assert not (copy / "models/m/variants.json").exists()
    kept = str(linear_root / "models/m/variants/pmml/model.pmml")
    stand_in(monkeypatch, tmp_path, "import shutil", f"shutil.copy({kept!r}, request['output'])")
    assert optimize(copy, IRIS)["ok"]  # and the next run clears up
    assert not (copy / "models/m/.optimize").exists()


@needs_tools
@pytest.mark.parametrize("kind", ["none", "old", "broken", "wrong home"])
def test_without_a_java_that_will_do_nothing_is_touched(copy, tmp_path, monkeypatch, kind):
    before = contents(copy)
    monkeypatch.delenv("JAVA_HOME", raising=False)
    if kind == "none":
        monkeypatch.setenv("PATH", str(tmp_path / "empty"))
        says = "there is no `java` on the PATH"
    elif kind == "old":
        lines = ["echo '    java.home = /opt/java8' >&2", "echo '    java.version = 1.8.0_392' >&2"]
        monkeypatch.setenv("JAVA_HOME", fake_java(tmp_path / "old", *lines))
        says = r"needs Java 11 or later, .*/old/bin/java is 1\.8\.0_392"
    elif kind == "broken":
        monkeypatch.setenv("JAVA_HOME", fake_java(tmp_path / "broken", "exit 3"))
        says = r"-version fails \(status 3\)"
    else:
        monkeypatch.setenv("JAVA_HOME", str(tmp_path / "nowhere"))
        says = "does not run"
    with pytest.raises(Refused, match=says) as raised:
        optimize(copy, IRIS)
    assert "install Java 11 or later" in raised.value.hint
    assert "AGPL-3.0" in raised.value.hint
    assert contents(copy) == before


@pytest.mark.parametrize("package", ["sklearn2pmml", "pypmml"])
def test_without_the_extra_it_is_refused_with_the_licence_said(tmp_path, monkeypatch, package):
    import importlib.metadata as metadata

    def version(name: str) -> str:
        if name == package:
            raise metadata.PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(pmml, "version", version)
    with pytest.raises(Refused, match=f"PMML needs the package {package}") as raised:
        stage_optimize.run(tmp_path, "m", {**IRIS, **ASKED})
    assert raised.value.hint.startswith("pip install 'modelver[pmml]'   (")
    assert "AGPL-3.0" in raised.value.hint
    assert names(tmp_path) == []


def test_it_is_never_looked_for_where_nobody_asks(tmp_path, monkeypatch):
    root = exported(tmp_path, place_linear, IRIS)
    monkeypatch.setattr(pmml, "require", lambda: pytest.fail("PMML was looked for"))
    assert stage_optimize.run(root, "m", {**IRIS, "optimize": {"lean": {"method": "graph"}}}).ok


@needs_tools
def test_from_params_to_a_tag_and_back_with_the_same_bytes_as_elsewhere(forest_root, tmp_path):
    box = start(tmp_path / "repo", environment(tmp_path / "home"))
    place_forest(box.root)
    box.mv("add", "m", "m.joblib", "--framework", "sklearn", "--data", "data.npz")
    params = box.root / "params.yaml"
    text = params.read_text()
    assert "optimize: {}" in text
    params.write_text(text.replace("optimize: {}", "optimize:\n        pmml: {method: pmml}"))
    box.dvc("repro", "-q")
    box.commit("a model and its PMML")
    # another time, folder and process, and other temporary files
    assert contents(box.root / "models/m/variants") == contents(forest_root / "models/m/variants")
    assert (box.root / "models/m/variants.json").read_bytes() == (forest_root / "models/m/variants.json").read_bytes()
    made = (box.root / "models/m/variants/pmml/model.pmml").read_bytes()
    box.mv("tag", "m")
    assert "license: AGPL-3.0" in box.git("show", "m@v1.0.0:models/m/metadata.yaml")
    assert box.git("status", "--porcelain") == ""

    box.mv("get", "m@v1.0.0", "--variant", "pmml", "-o", "../got")
    assert (tmp_path / "got/model.pmml").read_bytes() == made
    box.mv("get", "m@v1.0.0", "--variant", "pmml", "--single-file", "-o", "../one.pmml")
    assert (tmp_path / "one.pmml").read_bytes() == made
    code = "import modelver; modelver.load('m@v1.0.0', repo='.', variant='pmml')"
    said = box.run(sys.executable, "-c", code, status=1).err
    assert "m@v1.0.0, variant pmml is no ONNX model, and onnxruntime runs no other (model.pmml)" in said
    done = box.refused("stage", "optimize", "m", JAVA_HOME=str(tmp_path / "nowhere"))
    assert "AGPL-3.0" in box.hint(done)
    shutil.rmtree(box.root / "models/m/variants")
    box.dvc("checkout", "-q")
    assert (box.root / "models/m/variants/pmml/model.pmml").read_bytes() == made
    assert "ok" in box.mv("verify", "m@v1.0.0").out
