"""Keras 3 models (``.keras``), run by Keras's PyTorch backend and exported as PyTorch's are.

TensorFlow is not needed: a ``.keras`` file does not depend on the backend that trained it. TensorFlow's own SavedModels
are not exported.
"""

import os
import sys
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

from modelver.core.export_options import InputSpec
from modelver.errors import InvalidInput, Refused
from modelver.exporters import torch, torch_onnx, torch_source
from modelver.exporters.apart import bounded
from modelver.exporters.base import Exported, ExportRequest, first_line
from modelver.exporters.torch_source import ERRORS

_BACKEND = "KERAS_BACKEND"
_PACKAGES = ("keras", "numpy", "onnx", "onnx-ir", "onnxscript", "torch")


class KerasExporter:
    """Exports models saved by ``model.save("m.keras")``. Files with Lambda layers hold code and are refused."""

    suffixes: tuple[str, ...] = (".keras",)

    def export(self, source: Path, request: ExportRequest) -> Exported:
        """Write the ONNX model and record Keras's own answers, on its PyTorch backend, on real rows.

        Raises:
            Refused: Keras, PyTorch or onnxscript is missing, or Keras runs on another backend already.
            InvalidInput: source, settings and data do not fit together, or torch.onnx cannot convert.
        """
        torch.require("keras", "keras")
        if request.options.builder is not None:
            raise InvalidInput(
                f"model {request.model}: {source.name} is a whole model, which no builder builds",
                hint="remove `builder:` from `export:` in params.yaml",
            )
        with torch_source.calm(), torch_source.importing(request.root):
            model = _load(source, request.model)
            inputs = _inputs(model, request)
            job = torch.trace(_module(model), inputs, request)
            return torch.finish(job, source, request, "keras", _PACKAGES)


def _load(source: Path, name: str) -> Any:
    if "keras" not in sys.modules:
        os.environ[_BACKEND] = "torch"
    import keras

    if keras.backend.backend() != "torch":
        raise Refused(
            f"model {name}: Keras is running on {keras.backend.backend()} in this process already",
            hint=f"set {_BACKEND}=torch",
        )
    keras.utils.clear_session()  # layers are numbered as they are made, and the numbers get into names
    _refuse_outside(source, name)
    try:
        with bounded(source):
            return keras.saving.load_model(source, compile=False, safe_mode=True)
    except ERRORS as error:
        raise InvalidInput(
            f"model {name}: {source.name} cannot be opened with keras.saving.load_model: {first_line(error)}",
            hint="save it with model.save('model.keras'), built of Keras's own layers",
        ) from None


def _refuse_outside(source: Path, name: str) -> None:
    """Refuse an archive with a member that would be unpacked elsewhere; what is no archive is told by Keras."""
    try:
        with zipfile.ZipFile(source) as archive:
            members = [PurePosixPath(member.replace("\\", "/")) for member in archive.namelist()]
    except zipfile.BadZipFile:
        return
    guilty = next((str(member) for member in members if member.is_absolute() or ".." in member.parts), None)
    if guilty is not None:
        raise InvalidInput(
            f"model {name}: {source.name} has a member that lies outside of it: {guilty[:200]!a}",
            hint="Keras writes no such file: find out where it comes from, and save the model again",
        )


def _inputs(model: Any, request: ExportRequest) -> tuple[InputSpec, ...]:
    """What the model declares; dimensions that it leaves open are dynamic."""
    tensors = list(model.inputs or ())
    if not tensors:
        raise InvalidInput(
            f"model {request.model} does not declare its inputs", hint="begin it with keras.Input(shape=…, name=…)"
        )
    chosen = request.options.inputs
    if chosen and len(chosen) != len(tensors):
        raise InvalidInput(
            f"model {request.model}: params.yaml declares {len(chosen)} inputs, the model has {len(tensors)}",
            hint="correct `export: {inputs: …}`, or leave it out",
        )
    if chosen:
        return chosen
    return tuple(
        InputSpec(
            tensor.name,
            tuple(
                size if size is not None else torch_onnx.ROWS if axis == 0 else f"{tensor.name}_{axis}"
                for axis, size in enumerate(tensor.shape)
            ),
            tensor.dtype,
        )
        for tensor in tensors
    )


def _module(model: Any) -> Any:
    """The model as a module that takes its inputs one by one, and answers as ``predict`` does, without dropout."""
    from torch import nn

    class Answering(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *tensors: Any) -> Any:
            return self.model(list(tensors) if len(tensors) > 1 else tensors[0], training=False)

    return Answering().eval().requires_grad_(False)
