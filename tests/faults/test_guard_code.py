"""Guarantee 13: no code of a model, and no pickle, runs but in the stages that a user starts.

An audit hook in every Python process that a command starts tells what was unpickled, executed, loaded and started.
"""

import json
import os
import pickle
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from sandbox import Sandbox, environment

import models

GUARANTEE = 13

HOOK = """
import os, sys
_log = os.open(os.environ["AUDIT_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
_root = os.environ["AUDIT_ROOT"] + os.sep
def _program(words, executable):
    first = executable or (words if isinstance(words, (str, bytes)) else list(words)[0])
    return os.path.basename(os.fsdecode(first))
def _hook(event, args):
    line = None
    if event == "pickle.find_class":
        line = f"pickle {args[0]}.{args[1]}"
    elif event == "exec":
        name = getattr(args[0], "co_filename", "")
        if isinstance(name, str) and (name.startswith(_root) or not name.startswith(("/", "<"))):
            line = f"exec {name}"
    elif event == "compile":
        name = os.fsdecode(args[1]) if isinstance(args[1], (str, bytes)) else ""
        if name.startswith(_root):
            line = f"compile {name}"
    if event in ("exec", "compile") and name.startswith("<") and not name.startswith("<frozen "):
        by = sys._getframe().f_back
        line = f"text {name} of {by.f_code.co_filename if by else 'the command line'}"
    elif event in ("ctypes.dlopen", "import"):
        name = args[0] if event == "ctypes.dlopen" else args[1]
        if isinstance(name, str) and name.startswith(_root):
            line = f"load {name}"
    elif event == "subprocess.Popen":
        line = f"start {_program(args[1], args[0])}"
    elif event in ("os.exec", "os.posix_spawn"):
        line = f"start {_program(args[0], None)}"
    elif event in ("os.system", "os.startfile", "pty.spawn"):
        line = f"start {args[0]}"
    if line:
        os.write(_log, (line.replace("\\n", " ") + "\\n").encode("utf-8", "replace"))
sys.addaudithook(_hook)
os.write(_log, b"watched\\n")
"""

STARTED = {"git", "ldconfig"}
"""Programs that a command may start: Git, and what Python's own `ctypes.util` asks for the C library."""

TEXTS = ("/typing.py", "/annotationlib.py", "/dataclasses.py", "/collections/__init__.py", "/attr/_make.py",
         "/typing_inspection/typing_objects.py", "/networkx/utils/decorators.py",
         "text <internal> of <frozen importlib._bootstrap>", " of the command line")  # fmt: skip
"""Who may run code that lies in no file: the makers of classes, which write it from the names of a class's fields;
protobuf's library as it is loaded; and whoever starts Python with ``-c``.
"""

COMMANDS: tuple[tuple[str, ...], ...] = (
    ("list",),
    ("show", "m@v1.0.0"),
    ("show", "--model", "m"),
    ("diff", "m@v1.0.0", "m@v1.1.0"),
    ("log", "m"),
    ("status",),
    ("tag", "m"),
    ("check", "m@v1.0.0"),
    ("portability", "m"),
    ("git", "checkout", "-q", "m@v1.0.0"),
    ("git", "checkout", "-q", "main"),
    ("push",),
    ("git", "push", "-q", "second", "main", "m@v1.0.0", "plain@v1.0.0"),
    ("get", "m@v1.0.0", "-o", "got"),
    ("get", "plain@v1.0.0", "-o", "got-plain"),
    ("get", "m@v1.1.0", "--repo", "../remote.git", "-o", "got-there"),
    ("get", "plain@v1.0.0", "--repo", "../remote.git", "-o", "got-plain-there"),
    ("verify", "--all"),
    ("verify", "--all", "--full"),
    ("verify", "--all", "--remote"),
    ("promote", "plain@v1.0.0", "prod"),
    ("rollback", "m", "m@v1.0.0", "--commit", "--reason", "x"),
    ("add", "jar", "new.joblib", "--plain"),
    ("add", "lib", "other.joblib", "--framework", "sklearn", "--data", "rows.npz"),
    ("add", "net", "new.pt", "--plain"),
    ("add", "guess", "guess.pt", "--dry-run"),
    ("add", "folder", "new-traps", "--plain"),
    ("add", "ops", "custom.onnx"),
    ("restore", "--force"),
    ("gc", "--yes", "--no-fetch", "--grace", "0d"),
    ("gc", "--remote", "--yes", "--grace", "0d"),
    ("hook", "install"),
    ("doctor",),
    ("backup", "../backup"),
    ("restore", "../backup", "--into", "../again"),
    ("client", "m@v1.0.0"),
    ("init", "--remote", "../storage"),
)
"""One line a command: run in a repository full of traps, from its top, one after the other; each does its work.

Those of Git run modelver's hooks.
"""

SHADOWS = ("numpy", "yaml", "onnx", "modelver", "dvc", "git", "typer", "json", "tempfile", "logging", "sitecustomize",
           "usercustomize", "conftest", "setup", "fsspec", "dvc_s3", "pickle", "torch", "gto", "site")  # fmt: skip
"""Modules that lie at the top of the repository, as `NAME.py`, where a careless program would import them."""


def cases() -> int:
    """Commands, each with every trap set."""
    return len(COMMANDS)


class _Trap:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (f"echo pickle >> {self.mark}",)


@pytest.fixture(scope="module")
def trapped(tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    """A repository in which everything that could be run leaves a mark when it is."""
    top = tmp_path_factory.mktemp("traps")
    mark = top / "ran"
    box = Sandbox(top / "repo", environment(top / "home"))
    box.root.mkdir()
    box.git("init", "-q", "--bare", "../remote.git")
    (top / "storage").mkdir()
    box.git("init", "-q", "--bare", "../second.git")
    box.mv("init")
    box.write(".dvc/config", f"[core]\n    remote = storage\n['remote \"storage\"']\n    url = {top / 'storage'}\n")
    trap = pickle.dumps(_Trap(mark))
    for path in ("trap.joblib", "trap.pkl", "traps/a.pkl", "traps/b/model.joblib"):
        box.write(path, trap)
    with zipfile.ZipFile(box.root / "trap.pt", "w") as archive:
        archive.writestr("archive/data.pkl", trap)
        archive.writestr("archive/version", "3\n")
    shutil.copy(box.root / "trap.pt", box.root / "traps" / "net.pt")
    _custom_operators(box.root / "custom.onnx")
    box.git("add", ".dvc", ".gitignore", ".gitattributes", "dvc.yaml", "params.yaml", status=None)
    box.git("commit", "-qm", "start")
    box.git("remote", "add", "origin", "../remote.git")
    box.git("remote", "add", "second", "../second.git")
    source = models.onnx(top / "incoming" / "m.onnx", 1)
    box.mv("add", "m", str(source))
    box.mv("add", "plain", "traps", "--plain")
    box.commit("models")
    box.mv("tag", "m")
    models.onnx(source, 2)
    box.mv("add", "m", str(source))
    box.commit("next")
    box.mv("tag", "plain")
    box.mv("tag", "m", "--version", "v1.1.0")
    models.onnx(source, 3)
    box.mv("add", "m", str(source))
    box.mv("stage", "validate", "m")
    for name in SHADOWS:
        box.write(f"{name}.py", f"import os\nos.system('echo import {name} >> {mark}')\n")
    (box.root / "entry.dist-info").mkdir()
    box.write("entry.dist-info/METADATA", "Metadata-Version: 2.1\nName: entry\nVersion: 1\n")
    box.write(
        "entry.dist-info/entry_points.txt", "[modelver.runtimes]\nonnxruntime = setup:x\n[fsspec.specs]\nx = setup:x\n"
    )
    text = (box.root / "dvc.yaml").read_text()
    stage = f"  evil:\n    cmd: echo stage >> {mark}\n    outs:\n    - new-out\n"
    box.write("dvc.yaml", text.replace("stages:\n", f"stages:\n{stage}", 1))
    box.commit("traps")
    for path in ("new.joblib", "other.joblib", "new-traps/a.pkl", "new-traps/b/model.joblib"):
        box.write(path, trap)
    for path in ("new.pt", "guess.pt", "new-traps/net.pt"):
        shutil.copy(box.root / "trap.pt", box.root / path)
    np.savez(box.root / "rows.npz", x=np.eye(3, dtype=np.float32), y=np.array([0, 1, 0]))
    (top / "hook").mkdir()
    (top / "hook" / "sitecustomize.py").write_text(HOOK)
    return box


def _custom_operators(path: Path) -> None:
    """A model whose operators are somebody's own, and that names a library for them; its texts are programs."""
    import onnx
    from onnx import helper

    library = path.parent / "evil.so"
    library.write_bytes(b"\x7fELF")
    program = f"__import__('os').system('echo text >> {path.parent.parent / 'ran'}')"
    graph = helper.make_graph(
        [helper.make_node("Evil", ["x"], ["y"], domain="com.evil", library=str(library), doc_string=program)],
        "g",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["N", 3])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["N", 3])],
    )
    model = helper.make_model(
        graph,
        ir_version=10,
        producer_name=program,
        doc_string=program,
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("com.evil", 1)],
    )
    helper.set_model_props(model, {"custom_ops_library": str(library), "ep_context": str(library), "names": program})
    onnx.save(model, str(path))


def _watched(box: Sandbox, command: list[str], log: Path) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    log.unlink(missing_ok=True)
    hook = box.root.parent / "hook"
    env = {**box.env, "AUDIT_LOG": str(log), "AUDIT_ROOT": str(box.root),
           "PYTHONPATH": f"{hook}{os.pathsep}{box.env['PYTHONPATH']}"}  # fmt: skip
    done = subprocess.run(command, cwd=box.root, env=env, capture_output=True, text=True, errors="replace", check=False)
    return done, log.read_text().splitlines()


def test_nothing_of_the_repository_runs(trapped: Sandbox, tmp_path: Path) -> None:
    for number, line in enumerate(COMMANDS):
        print(*line)
        _check(trapped, tmp_path / f"log{number}", line)


def _check(trapped: Sandbox, log: Path, line: tuple[str, ...]) -> None:
    program = () if line[0] == "git" else (str(Path(sys.executable).parent / "modelver"),)
    done, seen = _watched(trapped, [*program, *line], log)
    assert done.returncode == 0, done.stderr
    assert "watched" in seen
    assert "Traceback" not in done.stderr, done.stderr
    assert not (trapped.root.parent / "ran").exists(), (trapped.root.parent / "ran").read_text()
    pickles = [s for s in seen if s.startswith("pickle ")]
    assert pickles == []
    assert [s for s in seen if s.startswith(("exec ", "compile ", "load "))] == []
    assert {s for s in seen if s.startswith("text ") and not s.endswith(TEXTS)} == set()
    started = {s.removeprefix("start ") for s in seen if s.startswith("start ")}
    if line[0] == "init":  # DVC's own command line, which alone writes its configuration
        started = {name for name in started if not name.startswith("python")}
    assert started <= STARTED


def test_the_traps_work(trapped: Sandbox, tmp_path: Path) -> None:
    """Each trap goes off where somebody steps into it, and the audit hook sees it."""
    mark = trapped.root.parent / "ran"
    for program, word in {
        "import pickle; pickle.load(open('trap.pkl', 'rb'))": "pickle posix.system",
        "import sys; sys.path.insert(0, ''); import yaml": f"exec {trapped.root}/yaml.py",
        "import subprocess; subprocess.run(['true'])": "start true",
        "compile('1', __import__('os').getcwd() + '/x.py', 'eval')": f"compile {trapped.root}/x.py",
        "eval('1')": "text <string> of <string>",
    }.items():
        done, seen = _watched(trapped, [sys.executable, "-P", "-c", program], tmp_path / "log")
        assert word in seen, (seen, done.stderr)
    assert mark.read_text().split() == ["pickle", "import", "yaml"]
    mark.unlink()


def _known() -> set[str]:
    from modelver.cli.main import _COMMANDS

    return {name for name, _ in _COMMANDS} | {"stage", "hook"}


def test_every_command_is_looked_at() -> None:
    """A new command that reads models joins the list, or is named here with the reason why it need not."""
    elsewhere = {
        "record": "as tag",
        "yank": "as promote",
        "sign": "reads Git's manifest alone",
        "demo": "a repository of its own",
        "stage": "the explicit stages",
    }
    looked = {line[0] for line in COMMANDS}
    assert _known() - looked - set(elsewhere) == set(), json.dumps(sorted(_known()))
