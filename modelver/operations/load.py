"""Load a version: a session of onnxruntime over files of the cache, without a copy of the weights.

onnxruntime maps external data itself where a model is loaded from a path, and copies it where it is handed over in
memory (``add_external_initializers_from_files_in_memory``, ``add_external_initializers``; onnxruntime 1.31: 1,190 MiB
for a model of 512 MiB, against 580 MiB). So the objects get their names of the model in a folder for the moment of
loading: further names of the same files, no copies.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelver.core.names import shown
from modelver.disk import copy_file
from modelver.errors import ExternalFailure, InvalidInput, Refused
from modelver.formats.onnx_tensor import WireTensor
from modelver.formats.onnx_walk import Model, Place
from modelver.operations.consumer import consumer_cache
from modelver.operations.fetching import JOBS, Tick, holds
from modelver.operations.get import GetRequest, look_up, store_of
from modelver.operations.objects import listings_of
from modelver.operations.pinned import Pinned, Wanted, pin
from modelver.operations.scratch import scratch

if TYPE_CHECKING:
    import numpy as np

    from modelver.operations.fetching import ObjectStore

    Array = np.ndarray[Any, Any]

_ERROR = 3  # severities are 0 verbose to 4 fatal
_PROVIDERS = ("CPUExecutionProvider",)


@dataclass(frozen=True)
class LoadedModel:
    """A version that can be run.

    Attributes:
        session: the ``onnxruntime.InferenceSession``.
        model, version, tag: which version it is.
        signature: inputs and outputs, each with ``name``, ``dtype`` and ``shape`` (a size, a symbolic name, or None a
            dimension); None where nothing was recorded.
        labels: of a classifier; None where none were recorded.
        notes: what the user should know.
    """

    session: Any
    model: str
    version: str
    tag: str
    signature: Mapping[str, Any] | None
    labels: Sequence[Any] | None
    notes: tuple[str, ...] = ()

    def run(self, inputs: "Mapping[str, Array]") -> "dict[str, Array]":
        """All outputs by name, for inputs by name; arrays of the dtypes and shapes that `signature` names.

        Raises:
            InvalidInput: the inputs do not fit the model, or the model fails on them.
        """
        from onnxruntime.capi import onnxruntime_pybind11_state as errors

        from modelver.runtimes.base import first_line

        names = [output.name for output in self.session.get_outputs()]
        try:
            values = self.session.run(names, dict(inputs))
        except (errors.Fail, errors.InvalidArgument, errors.RuntimeException, RuntimeError, ValueError) as error:
            wanted = ", ".join(f"{i.name}: {i.type} {i.shape}" for i in self.session.get_inputs())
            raise InvalidInput(
                f"{self.tag} fails on these inputs: {first_line(error)}", hint=f"it takes {wanted}"
            ) from None
        return dict(zip(names, values, strict=True))


def load(
    ref: str,
    repo: str | None = None,
    *,
    path: str | Path = ".",
    model: str | None = None,
    variant: str | None = None,
    providers: Sequence[Any] | None = None,
    options: Any = None,
    dvc_remote: str | None = None,
    plain_http: bool = False,
    allow_yanked: bool = False,
    jobs: int = JOBS,
    say: Callable[[str], None] = lambda _: None,
    progress: Tick = lambda _: None,
) -> LoadedModel:
    """A version of an ONNX model as a session of onnxruntime.

    Its graph and tensors are brought into the user's cache where they are not there yet, all are verified, and the
    tensors are mapped from the cache as they are: sessions of one model in several processes share its pages. No code
    of the model runs, and no pickle is read.

    Args:
        ref: ``NAME@v1.2``, ``NAME@latest``, ``NAME#ENV``, ``NAME``, ``v1``, ``latest``.
        repo: URL or path of the repository, as Git takes it; None for the one around ``path``.
        path: a folder.
        model: what a ref without a name means.
        variant: this variant in place of the weights.
        providers: onnxruntime's execution providers; None means the CPU.
        options: an ``onnxruntime.SessionOptions``; None means the defaults, but without prepacking, which copies every
            weight to make large batches faster.
        dvc_remote: name of the DVC remote; None means the default one.
        plain_http: let http go over the line unencrypted, beyond this machine.
        allow_yanked: take a version that was withdrawn, too; what an environment runs comes without it, with a note.
        jobs: objects brought at once.
        say: told what the ref became.
        progress: told of bytes that are there.

    Raises:
        Refused: the version is no ONNX model, or was yanked.
        InvalidInput, NotFound, CheckFailed, ExternalFailure: as ``get``; or onnxruntime refuses the model.
    """
    request = GetRequest(
        ref, repo, path, model, variant=variant, dvc_remote=dvc_remote, plain_http=plain_http, allow_yanked=allow_yanked
    )
    source, version, git = look_up(request, say, unyanked="load {}@latest   (or say allow_yanked=True)")
    pinned = pin(git, version)
    store = store_of(source, version)
    files = {f.path: f for f in pinned.files(listings_of(source.cache, store.remote), variant)}
    label = f"{version.tag}, variant {variant}" if variant else version.tag
    graph = _graph_of(pinned, files, label)
    views = consumer_cache() / "views"
    try:
        views.mkdir(parents=True, exist_ok=True, mode=0o700)
        with scratch(views, "view-") as folder:
            _bring(store, [graph], folder, jobs, progress)
            external = _external(folder / graph.path, label)
            _check(files, external, label)
            _bring(store, [files[name] for name in sorted(external)], folder, jobs, progress)
            session = _session(folder / graph.path, label, providers or _PROVIDERS, options)
    except OSError as error:
        raise ExternalFailure(f"{error.filename or views}: {error.strerror or error}") from None
    signature = (pinned.facts.source or {}).get("signature") if pinned.sidecar is None else pinned.sidecar["signature"]
    return LoadedModel(
        session=session,
        model=version.model,
        version=str(version.version),
        tag=version.tag,
        signature=signature,
        labels=(signature or {}).get("labels"),
        notes=(*source.notes, *(f"{path} is damaged, and was passed over" for path in store.damaged)),
    )


def _graph_of(pinned: Pinned, files: Mapping[str, Wanted], label: str) -> Wanted:
    """The graph's file; raises Refused where the version is no ONNX model that modelver split."""
    tag, facts = pinned.version.tag, pinned.facts
    form = (facts.source or {}).get("format")
    name = form.get("name") if isinstance(form, dict) else None
    if facts.kind == "plain":
        raise Refused(
            f"{tag} is a plain model, which modelver keeps and does not run",
            hint=f"modelver get {tag}, then load it with the library that it is made for",
        )
    found = [file for path, file in files.items() if "/" not in path and path.lower().endswith(".onnx")]
    if name != "onnx" or len(found) != 1:
        form = name if name != "onnx" else ", ".join(path for path in files if "/" not in path)
        raise Refused(
            f"{label} is no ONNX model, and onnxruntime runs no other ({form or 'unknown format'})",
            hint=f"modelver get {tag}, then load its files with the library that made them",
        )
    return found[0]


def _check(files: Mapping[str, Wanted], external: Mapping[str, int], label: str) -> None:
    """A graph may name files of its own version only, and nothing past their ends."""
    for name, end in sorted(external.items()):
        if name not in files:
            raise InvalidInput(f"{label}: its graph names the file {shown(name)}, which the version does not have")
        size = files[name].bytes
        if size is not None and end > size:
            raise InvalidInput(f"{label}: a tensor reaches to byte {end} of {shown(name)}, which has {size}")


def _bring(store: "ObjectStore", files: Sequence[Wanted], folder: Path, jobs: int, progress: Tick) -> None:
    """Put files into the view: under further names where the file system allows, as copies elsewhere."""

    def bring(wanted: Wanted) -> None:
        target = folder / wanted.path
        target.parent.mkdir(parents=True, exist_ok=True)

        def place(source: Path) -> bool:
            target.unlink(missing_ok=True)
            try:
                if source.is_symlink():
                    raise OSError
                os.link(source, target)
            except OSError:
                copy_file(source, target)
            # an object is never written to in its place, so what is hashed now is what will be mapped
            return holds(target, wanted)

        store.take(wanted, place, progress)

    store.each(files, bring, jobs)


def _external(path: Path, label: str) -> dict[str, int]:
    reach: dict[str, int] = {}

    def visit(tensor: WireTensor, place: Place, name: str) -> None:
        if tensor.is_external:
            offset = tensor.external.get("offset", "0")
            if not (offset.isascii() and offset.isdigit() and len(offset) <= 19):
                raise InvalidInput(f"{label}: tensor {name!r} has no sound offset in its file")
            location = tensor.external.get("location", "")
            reach[location] = max(reach.get(location, 0), int(offset) + tensor.bytes)

    with Model(path) as model:
        model.rebuild(visit)
    return reach


def _session(model: Path, label: str, providers: Sequence[Any], options: Any) -> Any:
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as errors

    from modelver.runtimes.base import first_line

    if options is None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _ERROR
        options.add_session_config_entry("session.disable_prepacking", "1")  # it copies every weight
    known = tuple(
        getattr(errors, name)
        for name in ("Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NoSuchFile", "NotImplemented")
    )
    try:
        return onnxruntime.InferenceSession(str(model), options, providers=list(providers))
    except (*known, RuntimeError, ValueError) as error:
        raise InvalidInput(
            f"{label} does not load in onnxruntime {onnxruntime.__version__}: {first_line(error)}",
            hint="a newer onnxruntime may know its operators",
        ) from None


__all__ = ["LoadedModel", "load"]
