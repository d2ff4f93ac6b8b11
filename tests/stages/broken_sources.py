"""Framework files that are broken or mean harm: what `modelver stage export` is pointed at."""

import io
import json
import os
import pickle
import random
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

GIB = 1 << 30

Made = bytes | Callable[[Path], object]
"""A file's content, or what makes it at a path."""


class Runs:
    """Pickles as a call."""

    def __init__(self, function: Callable, *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def runs(text: str) -> bytes:
    """A pickle that runs Python."""
    return pickle.dumps(Runs(exec, text), protocol=4)


def named(module: str, name: str) -> bytes:
    """A pickle of something that is imported."""
    return b"\x80\x04" + b"".join(b"\x8c" + bytes([len(t)]) + t.encode() for t in (module, name)) + b"\x93."


def zeros(size: int) -> bytes:
    """A pickle of so many zero bytes, compressed as joblib does, a thousand times smaller; ``size`` in MiB."""
    piece = 1 << 20
    packer = zlib.compressobj(9)
    head = b"\x80\x04\x8e" + struct.pack("<Q", size * piece)
    out = packer.compress(head) + packer.flush(zlib.Z_FULL_FLUSH)
    packer.compress(bytes(piece))
    packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(piece)) + packer.flush(zlib.Z_FULL_FLUSH)  # refers to nothing before it
    return out + block * size + b"\x03\x00" + bytes(4)


def zipped(members: dict[str, bytes | int], deflate: bool = True) -> bytes:
    """A zip archive; a number instead of bytes is that many MiB of zeros."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED if deflate else zipfile.ZIP_STORED, compresslevel=1) as archive:
        for name, data in members.items():
            if isinstance(data, bytes):
                archive.writestr(name, data)
                continue
            with archive.open(name, "w", force_zip64=True) as member:
                for _ in range(data):
                    member.write(bytes(1 << 20))
    return out.getvalue()


def rezipped(good: bytes, **changed: bytes | int | None) -> bytes:
    """A zip archive with members changed, added, or (None) left out; ``__`` stands for a dot."""
    members: dict[str, Any] = {**_members(good), **{key.replace("__", "."): data for key, data in changed.items()}}
    return zipped({name: data for name, data in members.items() if data is not None})


def anywhere(good: bytes, seed: int) -> dict[str, Made]:
    """What can befall any file."""
    draw = random.Random(seed)
    half = len(good) // 2
    found: dict[str, Made] = {
        "empty": b"",
        "one byte": good[:1],
        "half": good[:half],
        "all but the last 16 bytes": good[:-16],
        "a hole of zeros": good[: half // 2] + bytes(half) + good[half // 2 + half :],
        "random bytes": draw.randbytes(4096),
        "its head, and random bytes": good[:64] + draw.randbytes(4096),
        "text": b"hello\nworld\n",
        "not UTF-8": b"\xff\xfe\xfa" * 50,
        "an empty object": b"{}",
        "an empty list": b"[]",
        "brackets": b"[" * 200_000,
        "braces": b'{"a":' * 200_000,
        "a web page": b"<!doctype html><title>404</title>",
        "a pointer of Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize 9\n" % (b"0" * 64),
        "an empty zip": zipped({}),
        "a zip of something else": zipped({"a.txt": b"a"}),
        "a pickle": pickle.dumps({"a": 1}, protocol=4),
        "a program": b"\x7fELF" + draw.randbytes(400),
        "a folder": lambda path: path.mkdir(),
        "a link to nothing": lambda path: path.symlink_to("nothing"),
        "a link to itself": lambda path: path.symlink_to(path.name),
        "a link to the system's": lambda path: path.symlink_to("/etc/passwd"),
        "a pipe": lambda path: os.mkfifo(path),
        "a device": lambda path: path.symlink_to("/dev/zero"),
    }
    return found


def flips(good: bytes, seed: int, count: int) -> dict[str, Made]:
    """Copies with a few wrong bytes; some are models still."""
    draw = random.Random(seed)
    found: dict[str, Made] = {}
    for number in range(count):
        data = bytearray(good)
        for _ in range(draw.choice((1, 3, 10))):
            data[draw.randrange(len(data))] = draw.randrange(256)
        found[f"wrong bytes {number}"] = bytes(data)
    return found


def pickles() -> dict[str, Made]:
    """What joblib opens and runs."""
    import numpy as np
    from sklearn.linear_model import LinearRegression

    bare = LinearRegression()
    bare.coef_ = np.ones(13)
    found: dict[str, Made] = {
        f"raises {name}": runs(f"raise {name}('of its own')")
        for name in (
            "ValueError", "RuntimeError", "ZeroDivisionError", "AssertionError", "MemoryError", "RecursionError",
            "StopIteration", "NameError", "SyntaxError", "NotImplementedError", "BufferError", "Exception",
            "ReferenceError", "UserWarning", "GeneratorExit", "SystemExit", "BaseException",
        )
    }  # fmt: skip
    return {
        **found,
        "raises without a word": runs("raise RuntimeError"),
        "raises many lines": runs("raise ValueError('a\\nb\\nTraceback (most recent call last):\\n' * 2000)"),
        "raises colours": runs("raise ValueError('\\x1b[2Jgone')"),
        "raises a class of its own": runs("class Own(Exception):\n  pass\nraise Own('of its own')"),
        "raises a group": runs("raise ExceptionGroup('several', [ValueError(1)])"),
        "ends with status 0": runs("import sys\nsys.exit(0)"),
        "without end": runs("def f():\n  f()\nf()"),
        "all memory": pickle.dumps(Runs(bytearray, 1 << 60), protocol=4),
        "three GiB": pickle.dumps(Runs(bytearray, 3 * GIB), protocol=4),
        "three GiB, compressed": zeros(3 << 10),
        "not installed": named("nobody.has.this", "Model"),
        "not installed, compressed": zlib.compress(named("nobody.has.this", "Model")),
        "no such class": named("sklearn.linear_model", "NoSuchRegression"),
        "a class": named("sklearn.linear_model", "LinearRegression"),
        "a module's function": named("os", "getcwd"),
        "a dict": pickle.dumps({"model": 1}, protocol=4),
        "None": pickle.dumps(None, protocol=4),
        "not fitted": pickle.dumps(LinearRegression(), protocol=4),
        "half fitted": pickle.dumps(bare, protocol=4),
        "without attributes": pickle.dumps(Runs(object.__new__, LinearRegression), protocol=4),
        "a state that is none": b"\x80\x04csklearn.linear_model\nLinearRegression\n)\x81K\x01b.",
        "an empty stack": b"\x80\x04.",
        "a reference to nothing": b"\x80\x04h\x05.",
        "an opcode that is none": b"\x80\x04\xff.",
        "a protocol to come": b"\x80\x7fN.",
        "deep": b"\x80\x04" + b"]" * 100_000 + b"a" * 99_999 + b".",
    }


def states(good: bytes) -> dict[str, Made]:
    """What `torch.load` must not run, and what is no state dict."""
    import torch

    def saved(value: object, old: bool = False) -> bytes:
        out = io.BytesIO()
        torch.save(value, out, _use_new_zipfile_serialization=not old)
        return out.getvalue()

    with zipfile.ZipFile(io.BytesIO(good)) as archive:
        top = archive.namelist()[0].partition("/")[0]
        data = {name: archive.read(name) for name in archive.namelist()}
    touch = Runs(os.system, "touch pwned")
    return {
        "runs a command": saved(touch),
        "runs a command, the old way": saved(touch, old=True),
        "runs a command, bare": pickle.dumps(touch, protocol=2),
        "runs a command beside weights": saved({"w": torch.ones(2), "x": touch}),
        "a whole module": saved(torch.nn.Linear(2, 2)),
        "a list": saved([torch.ones(2)]),
        "a number": saved(3),
        "other names": saved({"other": torch.ones(2)}),
        "other shapes": saved({"0.weight": torch.ones(2)}),
        "an empty dict": saved({}),
        "keys that are no text": saved({1: torch.ones(2)}),
        "its pickle runs a command": zipped({**data, f"{top}/data.pkl": pickle.dumps(touch, protocol=2)}, False),
        "a storage is missing": zipped({k: v for k, v in data.items() if not k.endswith("data/0")}, False),
        "a storage is short": zipped({k: v[:4] if "data/" in k else v for k, v in data.items()}, False),
        "a storage of 3 GiB": zipped({**data, f"{top}/data/0": 3 << 10}),
        "a member outside": zipped({**data, "../../outside": b"x"}, False),
    }


def programs(good: bytes) -> dict[str, Made]:
    """Programs of torch.export, changed inside."""
    with zipfile.ZipFile(io.BytesIO(good)) as archive:
        data = {name: archive.read(name) for name in archive.namelist()}
    models = next(name for name in data if name.endswith("models/model.json"))
    weight = next(name for name in data if "weights/" in name and not name.endswith(".json"))
    graph = json.loads(data[models])

    def changed(change: Callable[[Any], object]) -> bytes:
        copy = json.loads(data[models])
        change(copy)
        return zipped({**data, models: json.dumps(copy).encode()}, False)

    assert graph["graph_module"]["graph"]["nodes"]
    first = ("graph_module", "graph", "nodes", 0)

    def at(document: Any) -> Any:
        for key in first:
            document = document[key]
        return document

    return {
        "its graph is no JSON": zipped({**data, models: b"{oops"}, False),
        "its graph is deep": zipped({**data, models: b'{"a":' * 200_000}, False),
        "its graph is a list": zipped({**data, models: b"[]"}, False),
        "its graph is empty": changed(lambda d: d.clear()),
        "a function of Python's": changed(lambda d: at(d).update(target="os.system")),
        "an operator that is none": changed(lambda d: at(d).update(target="torch.ops.aten.nothing.default")),
        "a schema to come": changed(lambda d: d.update(schema_version={"major": 999, "minor": 0})),
        "no weights": zipped({k: v for k, v in data.items() if "weights/" not in k}, False),
        "weights cut short": zipped({**data, weight: data[weight][:4]}, False),
        "weights of 3 GiB": zipped({**data, weight: 3 << 10}),
        "a member outside": zipped({**data, "../../outside": b"x"}, False),
    }


def boosted(good: bytes) -> dict[str, Made]:
    """XGBoost's JSON with wrong values."""

    def changed(*path: Any, to: Any) -> bytes:
        document = json.loads(good)
        place = document
        for key in path[:-1]:
            place = place[key]
        if to is None:
            del place[path[-1]]
        else:
            place[path[-1]] = to
        return json.dumps(document).encode()

    learner = "learner"
    model = (learner, "gradient_booster", "model")
    tree = (*model, "trees", 0)
    trees = json.loads(good)[learner]["gradient_booster"]["model"]["trees"]
    count = len(trees[0]["left_children"])
    return {
        "no learner": changed(learner, to=None),
        "a learner that is a number": changed(learner, to=3),
        "no objective": changed(learner, "objective", to=None),
        "an objective that is none": changed(learner, "objective", "name", to="nobody:knows"),
        "no booster": changed(learner, "gradient_booster", to=None),
        "no trees": changed(*model, "trees", to=[]),
        "trees that are numbers": changed(*model, "trees", to=[1, 2]),
        "a tree is missing": changed(*model, "trees", to=trees[1:]),
        "2^40 trees": changed(*model, "gbtree_model_param", "num_trees", to=str(1 << 40)),
        "a circle": changed(*tree, "left_children", to=[0] * count),
        "children outside": changed(*tree, "right_children", to=[1 << 30] * count),
        "negative children": changed(*tree, "right_children", to=[-5] * count),
        "too few children": changed(*tree, "left_children", to=[1]),
        "features outside": changed(*tree, "split_indices", to=[1 << 30] * count),
        "2^40 features": changed(learner, "learner_model_param", "num_feature", to=str(1 << 40)),
        "no features": changed(learner, "learner_model_param", "num_feature", to="0"),
        "a million classes": changed(learner, "learner_model_param", "num_class", to="1000000"),
        "a score that is none": changed(learner, "learner_model_param", "base_score", to="abc"),
        "groups outside": changed(*model, "tree_info", to=[1 << 20] * 15),
        "nodes that are 2^40": changed(*tree, "tree_param", "num_nodes", to=str(1 << 40)),
    }  # fmt: skip


def lines(good: bytes) -> dict[str, Made]:
    """LightGBM's text with wrong values."""
    text = good.decode()

    def changed(key: str, value: str) -> bytes:
        return "\n".join(f"{key}={value}" if line.startswith(f"{key}=") else line for line in text.split("\n")).encode()

    return {
        "children outside": changed("left_child", " ".join(["99999999"] * 6)),
        "a circle": changed("left_child", " ".join(["0"] * 6)),
        "too few children": changed("left_child", "1"),
        "children that are words": changed("right_child", "a b c"),
        "features outside": changed("split_feature", " ".join(["99999999"] * 6)),
        "no objective": changed("objective", ""),
        "an objective that is none": changed("objective", "nobody knows"),
        "2^30 leaves": changed("num_leaves", str(1 << 30)),
        "negative leaves": changed("num_leaves", "-4"),
        "2^40 features": changed("max_feature_idx", str(1 << 40)),
        "2^30 features": changed("max_feature_idx", str(1 << 30)),
        "2^30 classes": changed("num_class", str(1 << 30)),
        "other sizes of trees": changed("tree_sizes", "9999999 1"),
        "no sizes of trees": changed("tree_sizes", ""),
        "no trees": text[: text.index("Tree=0")].encode(),
        "thresholds that are words": changed("threshold", "a b"),
    }


def networks(good: bytes) -> dict[str, Made]:
    """Keras's archives with wrong members."""
    with zipfile.ZipFile(io.BytesIO(good)) as archive:
        config = json.loads(archive.read("config.json"))

    def changed(change: Callable[[Any], object]) -> bytes:
        copy = json.loads(json.dumps(config))
        change(copy)
        return rezipped(good, config__json=json.dumps(copy).encode())

    def dense(document: Any) -> Any:
        return next(layer for layer in document["config"]["layers"] if layer["class_name"] == "Dense")

    lambda_ = {
        "name": "l",
        "function": {"class_name": "__lambda__", "config": {"code": "4wEA", "defaults": None, "closure": None}},
    }
    execute = {"module": "builtins", "class_name": "function", "config": "exec", "registered_name": "function"}
    return {
        "a member outside": zipped({**_members(good), "../../outside": b"x", "/tmp/outside": b"x"}),
        "assets outside": zipped({**_members(good), "assets/../../outside": b"x", "assets/a": b"x"}),
        "a Lambda layer": changed(lambda d: dense(d).update(class_name="Lambda", config=lambda_)),
        "a class of Python's": changed(lambda d: dense(d).update(module="os", class_name="system")),
        "a class of one's own": changed(lambda d: dense(d).update(module="nobody.has.this", class_name="Net")),
        "a function of Python's": changed(lambda d: dense(d)["config"].update(activation=execute)),
        "2^40 units": changed(lambda d: dense(d)["config"].update(units=1 << 40)),
        "2^26 units": changed(lambda d: dense(d)["config"].update(units=1 << 26)),
        "negative units": changed(lambda d: dense(d)["config"].update(units=-1)),
        "units that are a word": changed(lambda d: dense(d)["config"].update(units="many")),
        "no layers": changed(lambda d: d["config"].update(layers=[])),
        "no class": changed(lambda d: d.pop("class_name")),
        "a config that is a list": rezipped(good, config__json=b"[]"),
        "a config that is no JSON": rezipped(good, config__json=b"{oops"),
        "a config that is deep": rezipped(good, config__json=b'{"a":' * 100_000),
        "a config of 3 GiB": rezipped(good, config__json=3 << 10),
        "no config": rezipped(good, config__json=None),
        "no weights": rezipped(good, model__weights__h5=None),
        "weights that are no HDF5": rezipped(good, model__weights__h5=b"hello"),
        "weights cut short": rezipped(good, model__weights__h5=_members(good)["model.weights.h5"][:3000]),
        "weights of 3 GiB": rezipped(good, model__weights__h5=3 << 10),
    }  # fmt: skip


def _members(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def corpus(kind: str, sources: Path, seed: int = 0) -> dict[str, Made]:
    """All broken files of a kind: the name of a good one, as ``xgboost.json``."""
    good = (sources / kind).read_bytes()
    more = {
        "sklearn.joblib": lambda _: pickles(),
        "sklearn.pkl": lambda _: pickles(),
        "torch.pt": states,
        "torch.pt2": programs,
        "xgboost.json": boosted,
        "lightgbm.txt": lines,
        "keras.keras": networks,
    }.get(kind, lambda _: {})(good)
    return {**anywhere(good, seed), **more}
