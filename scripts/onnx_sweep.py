"""Take in every model that the onnx package ships, validate it, join it again. Writes docs/onnx-sweep.md.

The models are ONNX's own backend tests: a graph, inputs, and the outputs that are right. Each comes into a fresh
repository by `modelver add`'s code, is validated by that of `modelver stage validate` against these outputs, and is
joined into one file, whose graph and tensors must be those of the original.

    python scripts/onnx_sweep.py                         # all, two minutes
    python scripts/onnx_sweep.py simple/test_shrink      # these, printed only
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

FOLDERS = ("simple", "pytorch-converted", "pytorch-operator", "light")
TARGET = Path(__file__).resolve().parents[1] / "docs" / "onnx-sweep.md"
OPSET = 17
"""What models of an opset before onnxruntime's first are converted to."""

MODEL = "m"
_ROW = re.compile(r"^\| `(?P<case>[^`]+)` \| (?P<step>\w+) \| (?P<reason>.+) \|$", re.MULTILINE)


@dataclass(frozen=True)
class Outcome:
    """What came of a case; ``step`` is what refused it, or nothing."""

    step: str = ""
    reason: str = ""
    converted: bool = False


def data():
    """Where the installed onnx keeps its tests."""
    import onnx

    return Path(onnx.__file__).parent / "backend" / "test" / "data"


def cases():
    """``FOLDER/NAME`` of every case, in order."""
    found = []
    for folder in FOLDERS:
        for path in sorted((data() / folder).iterdir()):
            if path.suffix == ".onnx":
                found.append(f"{folder}/{path.stem}")
            elif (path / "model.onnx").is_file():
                found.append(f"{folder}/{path.name}")
    return found


def prepare(case, place):
    """The folder of a case, as ONNX's layout has it.

    The light models lie beside one output each; the input is the one that onnx's own runner makes (its
    ``generate_dummy_data``): rising numbers from 0 to 1.
    """
    import numpy as np
    import onnx
    from onnx import numpy_helper

    source = data() / case
    if source.is_dir():
        return source
    model = onnx.load(source.with_name(f"{source.name}.onnx"))
    weights = {item.name for item in model.graph.initializer}
    tests = place / "test_data_set_0"
    tests.mkdir(parents=True)
    inputs = [item for item in model.graph.input if item.name not in weights]
    for number, item in enumerate(inputs):
        shape = [dim.dim_value if dim.HasField("dim_value") else 1 for dim in item.type.tensor_type.shape.dim]
        count = int(np.prod(shape))
        values = (np.arange(count).reshape(shape) / count).astype(np.float32)
        (tests / f"input_{number}.pb").write_bytes(numpy_helper.from_array(values, item.name).SerializeToString())
    shutil.copy(source.with_name(f"{source.name}.onnx"), place / "model.onnx")
    shutil.copy(source.with_name(f"{source.name}_output_0.pb"), tests / "output_0.pb")
    return place


def plain(message):
    """A copy of a protobuf message in which every tensor holds its numbers inline as raw bytes, in one way."""
    copy = type(message)()
    copy.CopyFrom(message)
    _plain(copy)
    return copy


def _plain(message):
    from onnx import TensorProto, numpy_helper

    if isinstance(message, TensorProto):
        if message.data_type in (TensorProto.UNDEFINED, TensorProto.STRING):
            return
        raw = numpy_helper.to_array(message).tobytes()
        for field, _ in message.ListFields():
            if field.name.endswith("_data") or field.name == "data_location":
                message.ClearField(field.name)
        message.raw_data = raw
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            for item in value if field.is_repeated else [value]:
                _plain(item)


def attempt(case, template, place):
    """Try one case in copies of the repository ``template``; ``place`` is an empty folder to work in.

    Raises:
        AssertionError: what modelver did is wrong, rather than refused.
    """
    import onnx

    import modelver
    from modelver.errors import ModelverError
    from modelver.formats.onnx_join import join
    from modelver.operations import stage_assess
    from modelver.operations.add import AddRequest
    from modelver.operations.stage_validate import run

    root = place / "repo"
    shutil.copytree(template, root, symlinks=True)
    source = prepare(case, place / "case")
    before = {path: path.read_bytes() for path in source.rglob("*") if path.is_file()}
    step = "add"
    try:
        modelver.open(root).add(AddRequest(MODEL, source))
        step = "join"
        weights = root / "models" / MODEL / "weights"
        join(weights, place / "joined.onnx")
        original = plain(onnx.load(source / "model.onnx"))
        assert plain(onnx.load(weights / "model.onnx")) == original, f"{case}: split, it is another model"
        assert plain(onnx.load(place / "joined.onnx")) == original, f"{case}: joined, it is another model"
        assert {path: path.read_bytes() for path in before} == before, f"{case}: the source was changed"
        step = "assess"
        verdict = next(t for t in stage_assess.run(root, MODEL).targets if t.runtime == "onnxruntime")
        step = "validate"
        # The canary is a process of its own: a second for each.
        result = run(root, MODEL, {"validate": {"canary": False}})
    except ModelverError as error:
        if step == "validate":
            assert not verdict.loads, f"{case}: assessed as one that onnxruntime loads"
            if "NOT_IMPLEMENTED" in error.message:
                return convert(case, source, template, place / "converted")
        return Outcome(step, error.message.replace(str(place), "…"))
    assert verdict.loads, f"{case}: assessed as one that onnxruntime does not load"
    return judged(case, step, result)


def judged(case, step, result):
    """The outcome of a validation."""
    refused = [f"{check.name}: {check.message}" for check in result.checks if not check.ok]
    if refused:
        return Outcome(step, "; ".join(refused))
    assert result.parity is not None, f"{case}: its outputs were not compared"
    assert result.parity.rows_off == 0
    assert result.parity.label_agreement in (None, 1.0)
    return Outcome()


def convert(case, source, template, root):
    """A model of an opset before onnxruntime's first: exported from ONNX to ONNX, its outputs compared."""
    import numpy as np
    import onnx
    from onnx import numpy_helper

    import modelver
    from modelver.errors import ModelverError
    from modelver.formats.compare import difference
    from modelver.operations.add import AddRequest
    from modelver.operations.stage_export import run as export
    from modelver.operations.stage_validate import run as validate

    shutil.copytree(template, root, symlinks=True)
    graph = onnx.load(source / "model.onnx").graph
    weights = {item.name for item in graph.initializer}

    def tensors(folder, kind, items):
        found = {}
        for number, item in enumerate(items):
            path = folder / "test_data_set_0" / f"{kind}_{number}.pb"
            found[item.name] = numpy_helper.to_array(onnx.TensorProto.FromString(path.read_bytes()))
        return found

    inputs = tensors(source, "input", [item for item in graph.input if item.name not in weights])
    np.savez(root / "rows.npz", **inputs)
    shutil.copy(source / "model.onnx", root / "old.onnx")
    settings = {"source": "old.onnx", "framework": "onnx", "data": "rows.npz", "task": "none"}
    settings |= {"export": {"opset": OPSET}, "validate": {"canary": False}}
    try:
        modelver.open(root).add(AddRequest(MODEL, root / "old.onnx", framework="onnx", data=str(root / "rows.npz")))
        export(root, MODEL, settings)
        result = validate(root, MODEL, settings)
    except ModelverError as error:
        return Outcome("convert", error.message.replace(str(root), "…"))
    outcome = judged(case, "convert", result)
    if not outcome.step:
        right = tensors(source, "output", graph.output)
        recorded = tensors(root / "models" / MODEL / "weights", "output", graph.output)
        off = difference(right, recorded, max(len(array) for array in inputs.values())).rows_off
        assert off == 0, f"{case}: the recorded outputs of the converted model are wrong"
    return Outcome(converted=True) if not outcome.step else outcome


def with_locale(place):
    """Make the locale en_US.UTF-8, without which onnxruntime has no StringNormalizer, where the system lacks it."""
    import locale

    try:
        locale.setlocale(locale.LC_CTYPE, "en_US.UTF-8")
    except locale.Error:
        if shutil.which("localedef"):
            target = place / "en_US.UTF-8"
            made = subprocess.run(["localedef", "-i", "en_US", "-f", "UTF-8", target], capture_output=True, check=False)
            if target.is_dir() and made.returncode in (0, 1):  # 1: warnings
                os.environ["LOCPATH"] = str(place)
    else:
        locale.setlocale(locale.LC_CTYPE, "C")


def listed(text):
    """``FOLDER/NAME`` → outcome, of the cases that the page says can't be."""
    return {found["case"]: Outcome(found["step"], found["reason"]) for found in _ROW.finditer(text)}


def page(outcomes):
    """The Markdown of docs/onnx-sweep.md."""
    failed = {case: outcome for case, outcome in outcomes.items() if outcome.step}
    lines = [
        "# ONNX's own tests",
        "",
        "<!-- Written by scripts/onnx_sweep.py: change that, not this. -->",
        "",
        f"onnx {version('onnx')} ships {len(outcomes)} models with inputs and the outputs that are right, its backend "
        "tests. Each was taken in by",
        "`modelver add`, split into `weights/`, and joined again to the same graph and tensors; it was assessed, and",
        f"`modelver stage validate` judged it by its outputs with onnxruntime {version('onnxruntime')}.",
        "",
        "onnxruntime has kernels from opset 7 on. Models of opset 6 were exported from ONNX to ONNX by "
        "`modelver stage export`",
        f"with `export: {{opset: {OPSET}}}`, and are compared with the same outputs.",
        "",
        "| folder | models | taken in and joined | agree as they are | agree converted | refused |",
        "|---|---|---|---|---|---|",
    ]
    for folder in FOLDERS:
        own = {case: outcome for case, outcome in outcomes.items() if case.startswith(f"{folder}/")}
        joined = len([item for item in own.values() if item.step not in ("add", "join")])
        converted = len([item for item in own.values() if item.converted])
        refused = len([case for case in own if case in failed])
        agree = len(own) - converted - refused
        lines.append(f"| {folder} | {len(own)} | {joined} | {agree} | {converted} | {refused} |")
    lines += ["", "What can't be validated, and why:", "", "| model | refused by | reason |", "|---|---|---|"]
    lines += [f"| `{case}` | {outcome.step} | {_cell(outcome.reason)} |" for case, outcome in failed.items()]
    return "\n".join(lines) + "\n"


def _cell(text):
    return " ".join(text.replace("|", "\\|").split())


def new_repository(place):
    """A repository made by `modelver init`."""
    place.mkdir(parents=True)
    subprocess.run([sys.executable, "-m", "modelver", "init"], cwd=place, check=True, capture_output=True)
    return place


def main(wanted):
    """Try the cases, and write or print what came of them."""
    outcomes = {}
    with tempfile.TemporaryDirectory() as scratch:
        with_locale(Path(scratch))
        template = new_repository(Path(scratch) / "template")
        for number, case in enumerate(wanted or cases()):
            place = Path(scratch) / str(number)
            place.mkdir()
            outcomes[case] = attempt(case, template, place)
            shutil.rmtree(place)
            print(case, outcomes[case], file=sys.stderr)
    if wanted:
        print(page(outcomes))
    else:
        TARGET.write_text(page(outcomes), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
