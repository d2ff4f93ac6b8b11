"""Whether what lies in ``weights/`` is what was recorded, and is a model at all; nothing is run."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from modelver.core.gates import Check
from modelver.core.manifest import FileEntry
from modelver.errors import InvalidInput
from modelver.formats import onnx_cost, onnx_describe
from modelver.formats.digest import Digester, Progress

_MEND = "modelver restore   (or dvc repro, where a stage makes them; then validate again)"


def digests(weights: Path, files: Sequence[FileEntry], progress: Progress | None) -> Check:
    """Exactly the recorded files are there, each with its recorded content."""
    wrong: list[str] = []
    present = {path.relative_to(weights).as_posix() for path in weights.rglob("*") if not path.is_dir()}
    with Digester(progress) as digester:
        for file in files:
            if file.path not in present:
                wrong.append(f"{file.path} is missing")
            elif (size := (weights / file.path).stat().st_size) != file.bytes:
                wrong.append(f"{file.path} has {size} bytes, not {file.bytes}")
            elif digester.file(weights / file.path, file.path) != file:
                wrong.append(f"{file.path} has other content than recorded")
    wrong += [f"{path} is not in the manifest" for path in sorted(present - {file.path for file in files})]
    if not wrong:
        return Check("digests", True, message=f"{len(files)} files are what the manifest says")
    more = f" (and {len(wrong) - 3} more)" if len(wrong) > 3 else ""
    return Check(
        "digests",
        False,
        message="; ".join(wrong[:3]) + more,
        hint=_MEND,
    )


def structure(path: Path) -> Check:
    """ONNX's checker, on the path: models over 2 GiB and external data are checked as they lie."""
    import onnx

    try:
        onnx_cost.skeleton(path)  # what would keep the checker busy without end
    except InvalidInput as error:
        return Check("structure", False, message=error.message.replace(str(path), path.name), hint=error.hint)
    try:
        onnx.checker.check_model(str(path), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, RuntimeError, ValueError) as error:
        lines = str(error).strip().splitlines()
        message = lines[0][:300] if lines else type(error).__name__
        return Check(
            "structure", False, message=f"the ONNX checker refuses it: {message}", hint="export the model again"
        )
    return Check("structure", True, message="the ONNX checker accepts graph, types and shapes")


def is_signature(signature: object) -> bool:
    """Whether the ``signature`` of a ``source.json`` has inputs and outputs of the shape that ours have."""
    return isinstance(signature, dict) and all(
        isinstance(signature.get(side), list)
        and all(isinstance(value, dict) and {"name", "dtype", "shape"} <= set(value) for value in signature[side])
        for side in ("inputs", "outputs")
    )


def description(path: Path, source: Mapping[str, Any]) -> Check:
    """``source.json``, which reviewers read, says what the model file itself says."""
    form, signature, graph = onnx_describe.describe(path)
    recorded = {side: source["signature"][side] for side in ("inputs", "outputs")}
    wrong = [
        name
        for name, found, said in (
            ("format", form, source["format"]),
            ("signature", {side: signature[side] for side in recorded}, recorded),
            ("graph", graph, source.get("graph")),
        )
        if json.loads(json.dumps(found)) != said
    ]
    if wrong:
        message = f"source.json and {path.name} disagree about: {', '.join(wrong)}"
        return Check("description", False, message=message, hint="export or add the model again")
    return Check("description", True, message="source.json says what the model file says")
