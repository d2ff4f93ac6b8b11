"""Opening PyTorch's files: programs of ``torch.export``, and state dicts with the function that builds their model.

Nothing here unpickles objects: each ``torch.load`` runs with ``weights_only``, those in ``torch.export.load`` too.
A program is still code to trust: PyTorch itself says not to load one from an untrusted source.
"""

import contextlib
import importlib
import json
import logging
import os
import pickle
import sys
import traceback
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from modelver.errors import InvalidInput, Refused
from modelver.exporters.apart import bounded
from modelver.exporters.base import first_line

ERRORS = (
    RuntimeError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    ImportError,
    NameError,
    AssertionError,
    ArithmeticError,
    OSError,
    EOFError,
    MemoryError,
    pickle.UnpicklingError,
)
"""What PyTorch and a user's own model code raise; they have no root of their own."""

_FORCE = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
_PICKLED = ("custom_obj_", "opaque_obj_")
_NESTED = ("state_dict", "model_state_dict")
_SAVE = "save the weights alone: torch.save(model.state_dict(), path)"


@contextlib.contextmanager
def calm() -> Iterator[None]:
    """PyTorch with one thread and a fixed seed, without its warnings; everything as before at the end.

    One thread: sums over threads may round differently from run to run, and the records must not.
    """
    import torch

    threads, disabled = torch.get_num_threads(), logging.root.manager.disable
    logging.disable(logging.ERROR)
    torch.set_num_threads(1)
    try:
        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
            warnings.simplefilter("ignore")
            torch.manual_seed(0)
            yield
    finally:
        torch.set_num_threads(threads)
        logging.disable(disabled)


def program(source: Path, name: str) -> Any:
    """The ``ExportedProgram`` in a ``.pt2`` file.

    Raises:
        Refused: it contains pickled objects, or keeps state of training.
        InvalidInput: it cannot be read.
    """
    import torch

    before = os.environ.get(_FORCE)
    try:
        _refuse_pickles(source, name)
        os.environ[_FORCE] = "1"
        with bounded(source):
            found = torch.export.load(source)
    except ERRORS as error:
        raise InvalidInput(
            f"model {name}: {source.name} cannot be opened with torch.export.load: {first_line(error)}",
            hint="write it with torch.export.save(torch.export.export(model.eval(), inputs), path)",
        ) from None
    finally:
        os.environ.pop(_FORCE, None) if before is None else os.environ.update({_FORCE: before})
    refuse_training(found, name)
    return found


def _refuse_pickles(source: Path, name: str) -> None:
    """Refuse payloads that torch.export.load hands to a pickle loader which knows no ``weights_only``.

    PyTorch's own reader is asked, so that both see the same archive.
    """
    import torch

    if not zipfile.is_zipfile(source):
        raise ValueError("it is no zip archive")
    reader = torch._C.PyTorchFileReader(str(source))
    for record in reader.get_all_records():
        if not record.endswith("_config.json"):
            continue
        entries = json.loads(reader.get_record(record)).get("config", {}).values()
        if any(entry.get("use_pickle") or str(entry.get("path_name")).startswith(_PICKLED) for entry in entries):
            raise Refused(
                f"model {name}: {source.name} contains pickled objects, which are not opened",
                hint="export a model of plain tensors, without custom classes among its constants",
            )


def refuse_training(program: Any, name: str) -> None:
    """Refuse a program whose answers are random or change its own state.

    Raises:
        Refused: dropout or batch normalisation in training mode, or a buffer that is written.
    """
    nodes = [node for node in program.graph.nodes if node.op == "call_function" and hasattr(node.target, "_schema")]
    guilty = next((str(node.target) for node in nodes if _trains(node)), None)
    written = next(iter(program.graph_signature.buffers_to_mutate.values()), None)
    if guilty or written:
        raise Refused(
            f"model {name} is in training mode: "
            + (f"{guilty} takes part in it" if guilty else f"it changes its buffer {written!r}"),
            hint="call model.eval() before torch.export.export",
        )


def _trains(node: Any) -> bool:
    names = [argument.name for argument in node.target._schema.arguments]
    given = dict(zip(names, node.args, strict=False)) | dict(node.kwargs)
    if float(given.get("dropout_p") or 0.0) > 0.0:
        return True
    if not (given.get("train") is True or given.get("training") is True):
        return False
    if "running_mean" in given:  # without running statistics the batch's own are what eval() uses too
        return given["running_mean"] is not None
    # Recurrent layers say dropout 0.0 where they have none; the dropout operators have a p, or nothing.
    return given.get("dropout", given.get("p", 1.0)) != 0.0


def built(builder: str, root: Path, source: Path, name: str) -> Any:
    """The module that ``module:function`` returns, with the weights of ``source``, in eval mode.

    Args:
        builder: its module can be imported (`importing`).
        root: the repository's top.
        source: a state dict: ``torch.save``, or ``.safetensors``.
        name: the model's, for messages.

    Raises:
        InvalidInput: the function fails or returns no module, the file cannot be read, or they do not fit together.
    """
    import torch

    weights = _state_dict(source, name)
    module, _, function = builder.partition(":")
    try:
        model = getattr(importlib.import_module(module), function)()
    except ERRORS as error:
        raise InvalidInput(
            f"model {name}: the builder {builder} fails{place(error, root)}: {first_line(error)}",
            hint="correct `export: {builder: module:function}` in params.yaml, or the function",
        ) from None
    if not isinstance(model, torch.nn.Module):
        raise InvalidInput(f"model {name}: the builder {builder} returns a {type(model).__name__}, no nn.Module")
    try:
        model.load_state_dict(weights, strict=True)
    except ERRORS as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise InvalidInput(
            f"model {name}: the weights in {source.name} do not fit what {builder} builds: {' '.join(lines)[:300]}",
            hint="the builder must build the model that was trained",
        ) from None
    return model.eval().requires_grad_(False)


def _state_dict(source: Path, name: str) -> Any:
    import torch

    try:
        if source.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(source)
        with bounded(source):
            found = torch.load(source, map_location="cpu", weights_only=True)
    except ModuleNotFoundError as error:
        raise Refused(
            f"model {name}: {source.name} needs the package {error.name}", hint=f"pip install {error.name}"
        ) from None
    except ERRORS as error:
        raise InvalidInput(
            f"model {name}: {source.name} holds no state dict that torch.load opens with weights_only: "
            f"{first_line(error)}",
            hint=_SAVE,
        ) from None
    for key in _NESTED:
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            found = found[key]
    if not isinstance(found, dict) or not all(isinstance(value, torch.Tensor) for value in found.values()):
        raise InvalidInput(f"model {name}: {source.name} holds a {type(found).__name__}, no state dict", hint=_SAVE)
    return found


@contextlib.contextmanager
def importing(root: Path) -> Iterator[None]:
    """Let modules below ``root`` be imported; forget them at the end, for another repository has others."""
    before, known = list(sys.path), set(sys.modules)
    sys.path.insert(0, str(root))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path[:] = before
        for key in set(sys.modules) - known:
            if _own(getattr(sys.modules[key], "__file__", None), root):
                del sys.modules[key]


def _own(file: str | None, root: Path) -> bool:
    """Whether a module is the user's: below the repository, but not in an environment that lies in it."""
    return file is not None and Path(file).is_relative_to(root) and not Path(file).is_relative_to(sys.prefix)


def place(error: BaseException, root: Path) -> str:
    """Where in the user's own files an error came up: `` at src/net.py:12``, or nothing."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _own(frame.filename, root)]
    return f" at {Path(frames[-1].filename).relative_to(root)}:{frames[-1].lineno}" if frames else ""
