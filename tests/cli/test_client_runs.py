"""Clients of real models: written, type-checked, run; in Python, and in TypeScript under Node."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from sandbox import Sandbox

from modelver.errors import ModelverError
from modelver.runtimes import node

NASTY = {
    'x"); import os; os.system("touch PWNED"); ("': TensorProto.FLOAT,
    "*/ process.exit(9); /*": TensorProto.INT64,
    "`${process.exit(9)}`": TensorProto.STRING,
    "__proto__": TensorProto.BOOL,
    "class": TensorProto.DOUBLE,
    "naïve ✓": TensorProto.UINT8,
}
COLUMNS = {
    TensorProto.FLOAT: [0.5, -1.25], TensorProto.INT64: [2**60, -3], TensorProto.STRING: ["ö", ""],
    TensorProto.BOOL: [True, False], TensorProto.DOUBLE: [1e300, 0.1], TensorProto.UINT8: [255, 0],
}  # fmt: skip
LABELS = ['a"); throw 1; ("', "b'''"]
NODE_RUN = """\
import * as ort from 'RUNTIME';
import { LABELS, load } from './m_client.js';
const model = await load(ort, process.argv[2]!);
const dims = [2, 1];
const answers = await model.run({
  x_import_os_os_system_touch_pwned: { data: [0.5, -1.25], dims },
  process_exit_9: { data: [2n ** 60n, -3], dims },
  process_exit_9_2: { data: ['ö', ''], dims },
  proto_: { data: [true, false], dims },
  class_: { data: [1e300, 0.1], dims },
  na_ve: { data: [255, 0], dims },
});
const plain = (data: ArrayLike<unknown>) => Array.from(data, (item) => (typeof item === 'bigint' ? `${item}` : item));
console.log(JSON.stringify({ labels: LABELS, out: Object.values(answers).map((v) => [plain(v.data), v.dims]) }));
for (const wrong of [{ data: [1, 2, 3], dims }, { data: [1, 2], dims: [1, 2] }]) {
  try {
    await model.run({ ...({} as any), x_import_os_os_system_touch_pwned: wrong });
    console.log('accepted');
  } catch (error) { console.log(`${error}`.slice(0, 10)); }
}
"""


def nasty_model(path: Path) -> Path:
    """Six columns of six types in, the same out, under names that try to become code; and two labels."""
    names = list(NASTY)
    nodes = [helper.make_node("Identity", [name], [f"out {number}"]) for number, name in enumerate(names)]
    encoder = helper.make_node(
        "LabelEncoder", [names[1]], ["label"], domain="ai.onnx.ml", keys_int64s=[0, 1], values_strings=LABELS,
        default_string="?",
    )  # fmt: skip
    classifier = helper.make_node(
        "LinearClassifier", [names[0]], ["chosen", "scores"], domain="ai.onnx.ml", coefficients=[1.0, -1.0],
        intercepts=[0.0, 0.0], classlabels_strings=LABELS,
    )  # fmt: skip
    value = helper.make_tensor_value_info
    inputs = [value(name, kind, ["N", 1]) for name, kind in NASTY.items()]
    outputs = [value(f"out {number}", kind, ["N", 1]) for number, kind in enumerate(NASTY.values())]
    outputs += [value("label", TensorProto.STRING, ["N", 1]), value("scores", TensorProto.FLOAT, ["N", 2])]
    graph = helper.make_graph([*nodes, encoder, classifier], "g", inputs, outputs)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 2)]
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


@pytest.fixture(scope="module")
def nasty(tmp_path_factory) -> Sandbox:
    """A repository whose model ``m`` has hostile names, tagged v1.0.0."""
    from sandbox import environment, start

    tmp = tmp_path_factory.mktemp("client")
    box = start(tmp / "repo", environment(tmp / "home"))
    box.mv("add", "m", str(nasty_model(tmp / "incoming/m.onnx")))
    box.commit("add m")
    box.mv("tag", "m")
    (tmp / "py").mkdir()
    box.mv("client", "m@v1.0.0", "-o", str(tmp / "py"))
    return box


def test_the_python_module_is_strictly_typed_and_its_model_answers(nasty):
    folder = nasty.root.parent / "py"
    script = folder / "use.py"
    script.write_text(f"""\
import json
import numpy as np
import m_client as c
model = c.load({str(nasty.root / "models/m/weights")!r})
columns = json.loads({json.dumps(json.dumps(list(COLUMNS.values())))})
columns = [[[item] for item in column] for column in columns]
given = c.convert(x_import_os_os_system_touch_pwned=columns[0], process_exit_9=columns[1],
                  process_exit_9_2=np.array(columns[2], dtype=object),
                  proto_=columns[3], class_=columns[4], na_ve=columns[5])
out = model(given)
print(json.dumps([getattr(out, name).tolist() for name in ("out_0", "out_1", "out_2", "out_3", "out_4", "out_5")]))
print(json.dumps(c.LABELS), out.scores.dtype)
for wrong in ({{"process_exit_9": [[0.5], [1.0]]}}, {{"na_ve": [[256], [1]]}}, {{"na_ve": [1, 2]}},
              {{"class_": [["a"]]}}, {{"process_exit_9_2": [[1], [2]]}}):
    try:
        c.convert(**{{**dict(x_import_os_os_system_touch_pwned=columns[0], process_exit_9=columns[1],
                  process_exit_9_2=columns[2], proto_=columns[3], class_=columns[4], na_ve=columns[5]), **wrong}})
    except ValueError as error:
        print("refused")
""")
    done = subprocess.run([sys.executable, str(script)], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert json.loads(lines[0]) == [[[item] for item in column] for column in COLUMNS.values()]
    assert lines[1] == f"{json.dumps(LABELS)} float32"
    assert lines[2:] == ["refused"] * 5
    assert not list(nasty.root.parent.rglob("PWNED"))
    typed = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "m_client.py"],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert typed.returncode == 0, typed.stdout


def test_another_models_file_is_refused_by_the_client(nasty, tmp_path):
    import models

    models.onnx(tmp_path / "other.onnx")
    code = f"import m_client; m_client.load({str(tmp_path / 'other.onnx')!r})"
    folder = nasty.root.parent / "py"
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert "ValueError" in done.stderr
    assert "m_client.py" in done.stderr
    assert "v1.0.0 has" in done.stderr


@pytest.fixture(scope="session")
def javascript() -> Path:
    """A folder of npm's packages: onnxruntime twice, and TypeScript."""
    try:
        for name in node.PACKAGES:
            if not (node.folder() / "node_modules" / name / "package.json").is_file():
                node.install(name)
        if not (node.folder() / "node_modules/typescript/package.json").is_file():
            npm = shutil.which("npm") or "npm"
            subprocess.run(
                [npm, "install", "--prefix", str(node.folder()), "--ignore-scripts", "--no-audit", "--no-fund",
                 "typescript@^5", "@types/node@^20"],
                check=True, capture_output=True, cwd=node.folder(),
            )  # fmt: skip
    except (ModelverError, OSError, subprocess.CalledProcessError) as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"npm's packages can't be had: {error}")
    return node.folder() / "node_modules"


@pytest.mark.xdist_group("node")
def test_the_typescript_module_compiles_strictly_and_runs_under_node(nasty, javascript, tmp_path):
    nasty.mv("client", "m@v1.0.0", "--lang", "typescript", "-o", str(tmp_path))
    (tmp_path / "node_modules").symlink_to(javascript)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    for runtime in node.PACKAGES:
        (tmp_path / f"use_{runtime}.ts").write_text(NODE_RUN.replace("RUNTIME", runtime))
    tsc = [
        str(javascript / ".bin/tsc"), "--strict", "--noUncheckedIndexedAccess", "--target", "es2022", "--module",
        "nodenext", "--skipLibCheck", *(f"use_{runtime}.ts" for runtime in node.PACKAGES),
    ]  # fmt: skip
    done = subprocess.run(tsc, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    expected = [
        [str(item) if kind == TensorProto.INT64 else item for item in column] for kind, column in COLUMNS.items()
    ]
    expected[3] = [1, 0]
    for runtime in node.PACKAGES:
        model = nasty.root / "models/m/weights/model.onnx"
        done = subprocess.run(
            ["node", f"use_{runtime}.js", str(model)], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        lines = done.stdout.splitlines()
        answer = json.loads(lines[0])
        assert answer["labels"] == LABELS
        assert answer["out"][:6] == [[column, [2, 1]] for column in expected]
        assert lines[1:] == ["RangeError", "RangeError"]


def test_the_module_is_printed_or_written_and_another_file_is_left_alone(nasty, tmp_path):
    printed = nasty.mv("client", "v1").out
    assert printed == (nasty.root.parent / "py/m_client.py").read_text()
    assert nasty.mv("client", "v1", "--format", "json").json()["text"] == printed
    (tmp_path / "m_client.py").write_text("mine\n")
    assert "did not write it" in nasty.refused("client", "v1", "-o", str(tmp_path)).err
    assert (tmp_path / "m_client.py").read_text() == "mine\n"
    nasty.mv("client", "v1", "-o", str(tmp_path), "--force")
    nasty.mv("client", "v1", "-o", str(tmp_path))  # its own file is replaced
    assert (tmp_path / "m_client.py").read_text() == printed
    assert "there is no folder" in nasty.refused("client", "v1", "-o", str(tmp_path / "gone")).err


def test_a_model_without_a_signature_is_refused(tagged_repo):
    assert "no signature" in tagged_repo.refused("client", "m@v1.0.0").err


def test_floats_beyond_float32_are_what_numpy_makes_of_them(nasty):
    sys.path.insert(0, str(nasty.root.parent / "py"))
    try:
        import m_client  # type: ignore[import-not-found]
    finally:
        sys.path.pop(0)
    assert m_client._array([[1.5]], "x", "float32", (None, 1)).dtype == np.float32
    with pytest.raises(ValueError, match="takes numbers"):
        m_client._array([["1.5"]], "x", "float32", None)
