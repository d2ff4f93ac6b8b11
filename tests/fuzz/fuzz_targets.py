"""What is fuzzed: the readers of everything that a repository, a tag, a remote or a model file may hold.

A target is called with bytes, and may raise ModelverError and nothing else.
"""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, get_args

import fuzz_mutate as mutate

from modelver.errors import ModelverError

TOP = Path(__file__).parents[2]
MODEL = "digits"


@dataclass(frozen=True)
class Target:
    """A reader.

    Attributes:
        seeds: valid inputs, to begin with.
        call: reads one input.
        mutate: makes another one.
    """

    seeds: Callable[[], Sequence[bytes]]
    call: Callable[[bytes], None]
    mutate: mutate.Mutate


class Files:
    """A snapshot of files that are nowhere on the disk; see `modelver.operations.snapshot.Snapshot`."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files

    def read_many(self, paths: Sequence[str]) -> dict[str, bytes]:
        return {path: self.files[path] for path in paths if path in self.files}

    def read(self, path: str) -> bytes | None:
        return self.files.get(path)


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    """An error in modelver's words ends one reader, not the others of its target."""
    try:
        yield
    except ModelverError as error:
        if not error.message or "Traceback" in error.message:
            raise AssertionError("an error without a word for people") from error


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")  # as Python gives the words of a command line


# ---- names, refs, tags


REFS = (
    "v1", "v1.2", "v1.2.0", "latest", "m@latest", "m@v1.2.3-rc.1", "m#prod", "HEAD~3^{commit}", "m@v1.0.0!", "m#prod#3",
    "m#prod!#4", "a/b-c@v10", "2026-03-01T12:30:00+02:00", "2026-03-01", "14d", "12h", "1.2", "v1.0.0+build", "auto",
    "semver",
)  # fmt: skip


@cache
def _registry() -> Any:
    from modelver.core.registry import TagRecord, build_registry

    tags = ["m@v1.0.0", "m@v1.2.0", "m@v2.0.0-rc.1", "m@v1.1.0", "m@v1.1.0!", "m#prod#1", "n@v1.0.0", "m#prod!#2"]
    return build_registry([TagRecord(tag, f"{n:040x}", f"{n % 4:040x}", n, "A <a@x>") for n, tag in enumerate(tags)])


def refs(data: bytes) -> None:
    from modelver.core import names, printable, refs, retention, versions
    from modelver.core.environments import parse_moment
    from modelver.core.registry import TagRecord, build_registry

    text = _text(data)
    with _refusals():
        refs.resolve_version(refs.parse_ref(text), _registry(), "m")
    with _refusals():
        refs.resolve_version(refs.parse_ref(text), _registry(), None)
    for reader in (names.check_model_name, names.check_environment_name, versions.parse_scheme, versions.parse_bump,
                   parse_moment, retention.parse_age):  # fmt: skip
        with _refusals():
            reader(text)
    for scheme in get_args(versions.Scheme):
        with _refusals():
            versions.parse_requested(text, scheme)
    refs.near(text, ["m@v1.0.0", text])
    printable.printable(text)
    printable.shorten(text, 20)
    tags = [TagRecord(name, "a" * 40, "b" * 40, 1, "") for name in text.split("\n")]
    registry = build_registry(tags)
    registry.running()
    registry.assignments()
    for version in registry.versions():
        registry.latest(version.model)


TAG_OBJECT = b"""object 1111111111111111111111111111111111111111
type commit
tag digits@v1.0.0
tagger A U Thor <a@example.com> 1760000000 +0000

digits v1.0.0

First version.

Modelver-Model: digits
Modelver-Version: v1.0.0
Modelver-Sidecar: sha256:2222222222222222222222222222222222222222222222222222222222222222
Modelver-Weights: 33333333333333333333333333333333.dir
Modelver-Bump: major (first version)
-----BEGIN SSH SIGNATURE-----
U1NIU0lHAAAAAQAAADMAAAALc3NoLWVkMjU1MTkAAAAg
-----END SSH SIGNATURE-----
"""


def tag(data: bytes) -> None:
    from modelver.core.environments import trailers_in
    from modelver.core.verify import judge_tag, judge_trailers, parse_tag_object
    from modelver.operations import pinned

    with _refusals():
        found = parse_tag_object(data)
        judge_tag("digits@v1.0.0", found, "digits", "v1.0.0")
        judge_trailers("digits@v1.0.0", found.trailers, None, None, _sha256)
        sidecar = _own(f"models/{MODEL}/metadata.yaml")
        judge_trailers("digits@v1.0.0", found.trailers, sidecar, _own_sidecar(), _sha256)
    trailers_in(_text(data))
    with _refusals():
        pinned._tag_says(_Git(Path(), data), _tagged())  # type: ignore[arg-type]


@cache
def _tagged() -> Any:
    """The version that `TAG_OBJECT` makes."""
    from modelver.core.registry import TagRecord, build_registry

    (version,) = build_registry([TagRecord("digits@v1.0.0", "a" * 40, "1" * 40, 1, "A <a@x>")]).versions()
    return version


# ---- documents of a repository


def _own(path: str) -> bytes:
    return (TOP / path).read_bytes()


@cache
def _own_sidecar() -> Any:
    from modelver.adapters import yaml

    return yaml.load_mapping(_own(f"models/{MODEL}/metadata.yaml"), "metadata.yaml")


@cache
def _repository() -> dict[str, bytes]:
    folder = TOP / "models" / MODEL
    names = ["dvc.yaml", "dvc.lock", "params.yaml"]
    names += [str(p.relative_to(TOP)) for p in sorted(folder.iterdir()) if p.is_file() and p.suffix != ".md"]
    return {name: _own(name) for name in [*names, f"models/{MODEL}/README.md"]}


def _whole(changed: dict[str, bytes]) -> None:
    """Everything that `show`, `diff`, `status` and `client` make of a model's files."""
    from modelver.adapters import yaml
    from modelver.cli import render_diff, show
    from modelver.core import diff, environments, model_settings, validation_settings, variants
    from modelver.core.client import interface
    from modelver.operations import facts

    snapshot = Files({**_repository(), **changed})
    with _refusals():
        facts.model_names(snapshot)
    if "params.yaml" in changed:
        with _refusals():
            settings = facts.model_settings(snapshot, MODEL)
            for reader in (model_settings.parse_settings, validation_settings.parse_validation):
                with _refusals():
                    reader(MODEL, settings)
            with _refusals():
                variants.parse_variants(settings.get("optimize"), "params.yaml")
            with _refusals():
                variants.parse_calibration(settings, "params.yaml")
        with _refusals():
            environments.parse_environments(facts.modelver_params(snapshot).get("environments"), "params.yaml")
    with _refusals():
        found = facts.collect(snapshot, MODEL)
        document = facts.build_sidecar(found, "v2.0.0", "v1.0.0")
        yaml.dump(document)
    if not changed.keys() & {_SIDECAR, f"{_MODEL}/files.jsonl", f"{_MODEL}/tensors.jsonl"}:
        return
    with _refusals():
        recorded = facts.read_sidecar(snapshot, MODEL)
        tensors, files = facts.read_manifests(snapshot, MODEL)
        if recorded is not None:
            with _refusals():
                show._facts(recorded, None)
            with _refusals():
                interface(recorded)
            for a, b in ((_own_sidecar(), recorded), (recorded, _own_sidecar())):
                with _refusals():
                    result = diff.diff(a, b, tensors_a=tensors, tensors_b=tensors, files_a=files, files_b=files)
                    json.dumps(result.to_dict(), allow_nan=True)
                    render_diff.table(result)
                    render_diff.markdown(result)


def published(data: bytes) -> None:
    """A sidecar as `get` reads it: whoever changed it has made the tag anew."""
    from modelver.operations import facts, pinned

    snapshot = Files({**_repository(), _SIDECAR: data})
    said = {"Modelver-Sidecar": f"sha256:{_sha256(data)}"}
    said["Modelver-Weights"] = f"sha256:{_own_sidecar()['weights']['sha256']}"
    pinned._checked_sidecar(snapshot, _tagged(), facts.collect(snapshot, MODEL), said)  # type: ignore[arg-type]


def portability(data: bytes) -> None:
    from modelver.operations.portability import portability

    for name in ("validation.json", "source.json"):
        with _refusals():
            found = portability(_Project(Files({**_repository(), f"{_MODEL}/{name}": data})), MODEL)  # type: ignore[arg-type]
            json.dumps([target.to_dict() for target in found])


@dataclass
class _Project:
    """A project whose one model is looked at in the working tree."""

    worktree: Files
    commit: None = None
    label: str = MODEL
    model: str = MODEL

    def resolve(self, *_: object) -> "_Project":
        return self


def _as(path: str) -> Callable[[bytes], None]:
    return lambda data: _whole({path: data})


def _seed(path: str, *others: bytes) -> Callable[[], Sequence[bytes]]:
    return lambda: [_own(path), *others]


LISTING = b'[{"md5": "%s", "relpath": "a/b"}, {"md5": "%s", "relpath": "c"}]' % (b"0" * 32, b"1" * 32)
POINTER = b"outs:\n- md5: %s.dir\n  size: 12\n  nfiles: 2\n  hash: md5\n  path: weights\n" % (b"0" * 32)


def listing(data: bytes) -> None:
    from modelver.adapters.dvc.cache import parse_listing

    parse_listing(data, "listing")


def pointer(data: bytes) -> None:
    from modelver.adapters import yaml
    from modelver.core import lineage
    from modelver.core.pointers import locked_stages, outs_in
    from modelver.core.restore import check_place

    for path in ("models/m/weights.dvc", "sub/dvc.lock"):
        with _refusals():
            for out in outs_in(path, yaml.load(data, path)):
                check_place(out.path)
    with _refusals():
        stages = locked_stages("dvc.lock", yaml.load(data, "dvc.lock"))
        chosen = lineage.stages_of(f"models/{MODEL}", f"models/{MODEL}/weights", stages)
        lineage.as_documents(chosen)
        lineage.merged_params(chosen)
        lineage.inputs_of(chosen)


def manifest(data: bytes) -> None:
    from modelver.core import manifest

    with _refusals():
        manifest.load_tensors(data)
    with _refusals():
        files = manifest.load_files(data)
        manifest.dvc_dir_hash(files)
        manifest.tree_digest(files)
        assert manifest.load_files(manifest.dump_files(files)) == sorted(files, key=lambda entry: entry.path)


def edit(data: bytes) -> None:
    from modelver.adapters import yaml
    from modelver.core import starter
    from modelver.operations.init import _ensure_models

    def declare(document: Any) -> None:
        starter.ensure_artifact(document, MODEL, "weights", "text")

    def settle(document: Any) -> None:
        starter.ensure_settings(document, MODEL, {"source": "a", "data": None})

    for change in (starter.ensure_stages, _ensure_models, declare, settle):
        with _refusals():
            yaml.edit_bytes(data, "dvc.yaml", change)


CONFIG = b"[core]\n    remote = storage\n['remote \"storage\"']\n    url = ../storage\n[cache]\n    dir = c\n"
JOURNAL = json.dumps(
    {"operation": "tag", "worktree": "", "git_dir": "", "branch": "refs/heads/main", "old_commit": "a" * 40,
     "new_commit": "b" * 40, "tag": "refs/tags/m@v1.0.0", "tag_object": "c" * 40,
     "files": {"models/m/metadata.yaml": {"before": None, "after": "d" * 40}}}
).encode()  # fmt: skip


PUSHING = b'["refs/remotes/origin/main", "refs/remotes/origin/../x"]'
UNFINISHED = json.dumps({"command": "x", "target": "m@v1.0.0", "ref": "HEAD", "object_id": "a" * 40}).encode()
RWLOCK = b'{"write": {"/x": {"pid": 12, "cmd": "dvc add"}}, "read": {"/y": [{"pid": 13, "cmd": "dvc push"}]}}'


def _backup_seed() -> bytes:
    from modelver.core.backup import BackupManifest, BackupObject, BackupVersion

    return BackupManifest(
        made="2026-01-01T00:00:00Z", bundle=f"git/{'a' * 64}.bundle", bundle_bytes=12, bundle_sha256="a" * 64,
        head="refs/heads/main", refs={"refs/heads/main": "b" * 40, "refs/tags/m@v1.0.0": "c" * 40},
        remotes={"origin": "https://host/x"}, versions=(BackupVersion("m@v1.0.0", "c" * 40, "b" * 40, "m"),),
        objects=(BackupObject("d" * 32, "e" * 64, 12),), absent=({"md5": "f" * 32, "path": "data"},),
    ).dump()  # fmt: skip


def backup(data: bytes) -> None:
    """As it is, and with its own digest put right, as whoever changes it would."""
    from modelver.core.backup import load_manifest

    with _refusals():
        load_manifest(data, "backup")
    try:
        document = json.loads(data)
        document.pop("sha256", None)
        digest = _sha256(json.dumps(document, sort_keys=True, ensure_ascii=True).encode())
        data = json.dumps({**document, "sha256": digest}).encode()
    except (ValueError, TypeError, AttributeError, RecursionError):
        return
    found = load_manifest(data, "backup")
    load_manifest(found.dump(), "backup")


def foreign(data: bytes) -> None:
    from modelver.adapters.dvc.foreign import foreign_config

    for base in (None, Path("/base")):
        with _refusals():
            foreign_config(data, base, "config")


def config(data: bytes) -> None:
    from modelver.adapters.dvc.config import cache_settings

    with _folder() as folder:
        (folder / ".dvc").mkdir()
        (folder / ".dvc" / "config").write_bytes(data)
        cache_settings(folder)


def state(data: bytes) -> None:
    """What lies in modelver's own state folder; whoever copied the repository may have written it."""
    from modelver.disk import HashCache
    from modelver.operations import doctor_locks, known_tags, pushing, transaction, unfinished

    with _folder() as folder:
        git: Any = _Git(folder)
        (folder / "journal.json").write_bytes(data)
        (folder / known_tags.FILE).write_bytes(data)
        transaction._read(folder / "journal.json")
        known_tags.recall(git)
        (folder / pushing._MARK).write_bytes(data)
        pushing.recover_push(git)
        unfinished._place(git, "x").write_bytes(data)
        unfinished.unfinished(git, "x")
        doctor_locks._is_broken(folder / "journal.json")
        for name in ("hashes.sqlite", "hashes.sqlite-wal", "hashes.sqlite-journal"):
            (folder / name).write_bytes(data)
        hashes = HashCache(folder)
        hashes.digest(folder / "journal.json")
        hashes.close()


@dataclass
class _Git:
    """A repository with its folders in one, and one object."""

    state_dir: Path
    data: bytes = b""

    @property
    def common_dir(self) -> Path:
        return self.state_dir

    @property
    def commit(self) -> str:
        return "a" * 40

    def head(self) -> "_Git":
        return self

    def text(self, *_: str) -> str:
        return "a" * 40

    def read_objects(self, names: Sequence[str]) -> dict[str, bytes]:
        return dict.fromkeys(names, self.data)


# ---- model files


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="modelver-fuzz-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _model(data: bytes, suffix: str) -> None:
    from modelver.formats import onnx_cost, onnx_join, onnx_split, remeasure, safetensors
    from modelver.formats.detect import detect
    from modelver.formats.onnx_describe import describe

    with _folder() as folder:
        source, weights = folder / f"m{suffix}", folder / "out"
        source.write_bytes(data)
        with _refusals():
            detect(source)
        if suffix == ".onnx":
            with _refusals():
                describe(source)
            with _refusals():
                onnx_join.join(source, folder / "joined")
            with _refusals():
                onnx_cost.estimate(onnx_cost.skeleton(source))
        module = onnx_split if suffix == ".onnx" else safetensors
        with _refusals():
            module.split(source, weights)
            remeasure.measure({p.relative_to(weights).as_posix(): p for p in weights.rglob("*") if p.is_file()})
            module.join(weights, folder / "again") if suffix != ".onnx" else onnx_join.join(weights, folder / "again")


def onnx(data: bytes) -> None:
    _model(data, ".onnx")


def checkpoint(data: bytes) -> None:
    _model(data, ".safetensors")


def shards(data: bytes) -> None:
    """An index that names shards, beside two of them."""
    from modelver.formats import safetensors

    with _folder() as folder:
        (folder / "model.safetensors.index.json").write_bytes(data)
        for name in ("a", "b"):
            (folder / f"{name}.safetensors").write_bytes(_safetensors(name))
        safetensors.split(folder, folder / "out")


def golden(data: bytes) -> None:
    from modelver.formats import golden

    with _folder() as folder:
        (folder / golden.FOLDER).mkdir()
        for kind in ("input", "output"):
            (folder / golden.FOLDER / f"{kind}_0.pb").write_bytes(data)
        golden.read(folder, {"inputs": [{"name": "x"}], "outputs": [{"name": "y"}]})


def _onnx_seeds() -> list[bytes]:
    import onnx_models

    models = (onnx_models.every_place(), onnx_models.inner_constant())
    small = [m.SerializeToString() for m in models if m.ByteSize() < 100_000]
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    weight = numpy_helper.from_array(np.arange(6, dtype=np.float32).reshape(3, 2), "w")
    outside = TensorProto(name="e", data_type=1, dims=[2], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", "m.onnx"), ("offset", "0"), ("length", "8")):
        outside.external_data.add(key=key, value=value)
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w"], ["y"]),
            helper.make_node("Conv", ["x", "e"], ["z"], kernel_shape=[3, 3]),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 2])],
        [weight, outside],
    )
    made = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 17)])
    helper.set_model_props(made, {"k": "v"})
    return [*small, made.SerializeToString()]


def _safetensors(name: str = "a") -> bytes:
    import numpy as np
    from safetensors.numpy import save

    return bytes(save({name: np.arange(6, dtype=np.float32), f"{name}2": np.ones((2, 3), np.uint8)}, {"k": "v"}))


def _golden_seeds() -> list[bytes]:
    import numpy as np
    from onnx import numpy_helper

    arrays = [np.arange(6, dtype=np.float32).reshape(2, 3), np.array(["a", "é"], dtype=object), np.int64(3)]
    return [numpy_helper.from_array(np.asarray(a), "x").SerializeToString() for a in arrays]


_INDEX = json.dumps(
    {"metadata": {"total_size": 60}, "weight_map": {"a": "a.safetensors", "a2": "a.safetensors", "b": "b.safetensors",
                                                    "b2": "b.safetensors"}}
).encode()  # fmt: skip
_MODEL = f"models/{MODEL}"
_SIDECAR = f"{_MODEL}/metadata.yaml"

TARGETS: dict[str, Target] = {
    "refs": Target(lambda: [ref.encode() for ref in REFS], refs, mutate.in_bytes),
    "tag": Target(lambda: [TAG_OBJECT], tag, mutate.in_bytes),
    "sidecar": Target(lambda: [_own(_SIDECAR), _own("tests/golden/sidecar-1.yaml")], _as(_SIDECAR), mutate.in_yaml),
    "published": Target(lambda: [_own(_SIDECAR)], published, mutate.in_yaml),
    "params": Target(_seed("params.yaml"), _as("params.yaml"), mutate.in_yaml),
    "dvc.yaml": Target(_seed("dvc.yaml"), _as("dvc.yaml"), mutate.in_yaml),
    "dvc.lock": Target(_seed("dvc.lock"), _as("dvc.lock"), mutate.in_yaml),
    "pointer": Target(lambda: [POINTER, _own("dvc.lock")], pointer, mutate.in_yaml),
    "listing": Target(lambda: [LISTING], listing, mutate.in_json),
    "source": Target(_seed(f"{_MODEL}/source.json"), _as(f"{_MODEL}/source.json"), mutate.in_json),
    "validation": Target(_seed(f"{_MODEL}/validation.json"), _as(f"{_MODEL}/validation.json"), mutate.in_json),
    "portability": Target(
        _seed(f"{_MODEL}/validation.json", _own(f"{_MODEL}/source.json")), portability, mutate.in_json
    ),
    "variants": Target(_seed(f"{_MODEL}/variants.json"), _as(f"{_MODEL}/variants.json"), mutate.in_json),
    "manifest": Target(
        lambda: [_own(f"{_MODEL}/files.jsonl"), _own(f"{_MODEL}/tensors.jsonl")], manifest, mutate.in_json_lines
    ),
    "tensors": Target(_seed(f"{_MODEL}/tensors.jsonl"), _as(f"{_MODEL}/tensors.jsonl"), mutate.in_json_lines),
    "card": Target(_seed(f"{_MODEL}/README.md"), _as(f"{_MODEL}/README.md"), mutate.in_card),
    "edit": Target(lambda: [_own("dvc.yaml"), _own("params.yaml")], edit, mutate.in_yaml),
    "config": Target(lambda: [CONFIG], config, mutate.in_bytes),
    "foreign": Target(lambda: [CONFIG], foreign, mutate.in_bytes),
    "backup": Target(lambda: [_backup_seed()], backup, mutate.in_json),
    "state": Target(lambda: [JOURNAL, PUSHING, UNFINISHED, RWLOCK], state, mutate.in_json),
    "onnx": Target(_onnx_seeds, onnx, mutate.in_protobuf),
    "safetensors": Target(lambda: [_safetensors()], checkpoint, mutate.in_safetensors),
    "shards": Target(lambda: [_INDEX], shards, mutate.in_json),
    "golden": Target(_golden_seeds, golden, mutate.in_protobuf),
}

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # its threads' stacks would count as memory of an input
