"""Splitting and joining safetensors, judged by the format's own library."""

import hashlib
import json
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from modelver.errors import InvalidInput, NotFound
from modelver.formats.dtypes import SAFETENSORS
from modelver.formats.result import stale_files
from modelver.formats.safetensors import INDEX, join, split

BIG = (600, 500)


def tensors(changed: str = "") -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    found = {f"layer.{n}.weight": rng.standard_normal(BIG, dtype=np.float32) for n in range(4)}
    found["emb"] = rng.standard_normal((900, 700)).astype(np.float16)
    small = ["f4", "f2", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?", "c8"]
    found |= {f"small.{kind}": rng.integers(0, 2, n + 1).astype(kind) for n, kind in enumerate(small)}
    found["bf"] = rng.standard_normal(3).astype(ml_dtypes.bfloat16)
    found["scalar"] = np.array(3, np.float32)
    found["empty"] = np.zeros((0, 4), np.float32)
    if changed:
        found[changed] = found[changed] + 1
    return found


def read_sharded(folder: Path) -> dict[str, np.ndarray]:
    """As the Hugging Face loaders do: through the index."""
    index = json.loads((folder / INDEX).read_text())
    out = {}
    for name, shard in index["weight_map"].items():
        with safe_open(folder / shard, framework="np") as file:
            out[name] = file.get_tensor(name)
    return out


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return a.keys() == b.keys() and all(
        a[k].dtype == b[k].dtype and a[k].shape == b[k].shape and a[k].tobytes() == b[k].tobytes() for k in a
    )


def test_there_and_back_to_the_byte(tmp_path: Path) -> None:
    source = tmp_path / "a.safetensors"
    save_file(tensors(), source, metadata={"format": "pt"})
    result = split(source, tmp_path / "out")
    assert same(read_sharded(tmp_path / "out"), tensors())
    join(tmp_path / "out", tmp_path / "b.safetensors")
    assert (tmp_path / "b.safetensors").read_bytes() == source.read_bytes()

    assert result.format == {"name": "safetensors", "metadata": {"format": "pt"}, "shards": 6}
    assert (result.signature, result.graph) == (None, None)
    by_name = {entry.name: entry for entry in result.tensors}
    for name, value in tensors().items():
        entry = by_name[name]
        assert (entry.shape, entry.bytes) == (value.shape, value.nbytes)
        assert entry.dtype == value.dtype.name
        assert entry.sha256 == hashlib.sha256(value.tobytes()).hexdigest()
    for file in result.files:
        data = (tmp_path / "out" / file.path).read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        assert (file.bytes, file.md5, file.sha256) == (len(data), hashlib.md5(data).hexdigest(), digest)
        assert file.path == INDEX or digest in file.path
    assert json.loads((tmp_path / "out" / INDEX).read_text())["metadata"]["total_size"] == sum(
        value.nbytes for value in tensors().values()
    )


def test_one_changed_tensor_is_one_new_shard(tmp_path: Path) -> None:
    save_file(tensors(), tmp_path / "v1.safetensors", {"format": "pt", "step": "1"})
    save_file(tensors("layer.2.weight"), tmp_path / "v2.safetensors", {"format": "pt", "step": "2"})
    first = split(tmp_path / "v1.safetensors", tmp_path / "out")
    before = {path.name for path in (tmp_path / "out").iterdir()}
    second = split(tmp_path / "v2.safetensors", tmp_path / "out")
    assert len({path.name for path in (tmp_path / "out").iterdir()} - before) == 1
    assert [a.name for a, b in zip(first.tensors, second.tensors, strict=True) if a != b] == ["layer.2.weight"]
    assert len(stale_files(tmp_path / "out", second.files)) == 1
    with safe_open(next((tmp_path / "out").glob("model-small-*")), framework="np") as shard:
        assert shard.metadata() == {"format": "pt"}  # what loaders ask for, and nothing of a version


def test_other_shards_give_the_same(tmp_path: Path) -> None:
    everything = tensors()
    folder = tmp_path / "hf"
    (folder / "1_Pooling").mkdir(parents=True)
    where = {}
    for number, part in enumerate([list(everything)[::2], list(everything)[1::2]]):
        name = f"model-0000{number + 1}-of-00002.safetensors"
        save_file({key: everything[key] for key in part}, folder / name, {"format": "pt"})
        where |= dict.fromkeys(part, name)
    index = {"metadata": {"total_size": 1, "total_parameters": 7}, "weight_map": where}
    (folder / INDEX).write_text(json.dumps(index))
    (folder / "config.json").write_text("{}")
    (folder / "1_Pooling/config.json").write_text("{ }")
    (folder / ".gitattributes").write_text("*.safetensors filter=lfs")
    save_file(everything, tmp_path / "one.safetensors", {"format": "pt"})

    one, many = split(tmp_path / "one.safetensors", tmp_path / "a"), split(folder, tmp_path / "b")
    assert many.tensors == one.tensors
    new = {f.path for f in many.files} - {f.path for f in one.files}
    assert new == {"config.json", "1_Pooling/config.json"}
    assert {p.relative_to(tmp_path / "b").as_posix() for p in (tmp_path / "b").rglob("*") if p.is_file()} == {
        f.path for f in many.files
    }
    assert json.loads((tmp_path / "b" / INDEX).read_text())["metadata"]["total_parameters"] == 7
    assert split(tmp_path / "b", tmp_path / "b") == many  # in place
    join(tmp_path / "b", tmp_path / "joined.safetensors")
    assert same(load_file(tmp_path / "joined.safetensors"), everything)


def test_folder_with_one_file(tmp_path: Path) -> None:
    (tmp_path / "hf").mkdir()
    save_file({"a": np.ones(3, np.float32)}, tmp_path / "hf/model.safetensors")
    (tmp_path / "hf/tokenizer.json").write_text("{}")
    result = split(tmp_path / "hf", tmp_path / "out")
    assert sorted(path.name.partition("-")[0] for path in (tmp_path / "out").iterdir()) == [
        "model",
        INDEX,
        "tokenizer.json",
    ]
    assert result.format["shards"] == 1


def test_links_beside_the_weights_are_refused(tmp_path: Path) -> None:
    (tmp_path / "hf").mkdir()
    save_file({"a": np.ones(3, np.float32)}, tmp_path / "hf/model.safetensors")
    (tmp_path / "hf/config.json").symlink_to("/etc/passwd")
    with pytest.raises(InvalidInput, match="symbolic link"):
        split(tmp_path / "hf", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("code", SAFETENSORS)
def test_every_type_of_the_format(tmp_path: Path, code: str) -> None:
    size = SAFETENSORS[code].size(8)
    data = bytes(n % 2 for n in range(size))
    source = tmp_path / "m.safetensors"
    source.write_bytes(file({"t": tensor(0, size, code, [2, 4])}, data))
    (entry,) = split(source, tmp_path / "out").tensors
    assert (entry.dtype, entry.shape, entry.bytes) == (SAFETENSORS[code].name, (2, 4), size)
    assert entry.sha256 == hashlib.sha256(data).hexdigest()
    assert entry.l2 is not None
    (shard,) = (tmp_path / "out").glob("*.safetensors")
    with safe_open(shard, framework="np") as opened:  # the library accepts type and size
        assert list(opened.keys()) == ["t"]


def test_no_tensors_and_large_metadata(tmp_path: Path) -> None:
    save_file({}, tmp_path / "none.safetensors", {"notes": "é" * 10_000})
    result = split(tmp_path / "none.safetensors", tmp_path / "out")
    assert [f.path for f in result.files] == [INDEX]
    join(tmp_path / "out", tmp_path / "back.safetensors")
    assert (tmp_path / "back.safetensors").read_bytes() == (tmp_path / "none.safetensors").read_bytes()


def file(header: object, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def tensor(start: int, end: int, dtype: str = "U8", shape: object = None) -> dict:
    return {"dtype": dtype, "shape": [end - start] if shape is None else shape, "data_offsets": [start, end]}


BROKEN = {
    "empty": b"",
    "seven bytes": b"1234567",
    "length 2^63": file({}, length=2**63),
    "length over the cap": file({}, length=100_000_001),
    "length past the end": file({}, length=3),
    "no JSON": file(b"nothing!"),
    "a list": file([1]),
    "not UTF-8": file(b'{"\xff":1}'),
    "half a surrogate": file(b'{"\\ud800":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}'),
    "key twice": file(
        b'{"a":' + json.dumps(tensor(0, 1)).encode() + b',"a":' + json.dumps(tensor(0, 1)).encode() + b"}", b"x"
    ),
    "deep": file(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "overlap": file({"a": tensor(0, 4), "b": tensor(2, 6)}, bytes(6)),
    "hole": file({"a": tensor(0, 2), "b": tensor(4, 6)}, bytes(6)),
    "data after the last": file({"a": tensor(0, 2)}, bytes(3)),
    "offsets past the end": file({"a": tensor(0, 9)}, bytes(3)),
    "offsets backwards": file({"a": {"dtype": "U8", "shape": [0], "data_offsets": [3, 0]}}, bytes(3)),
    "negative offset": file({"a": {"dtype": "U8", "shape": [1], "data_offsets": [-1, 0]}}, b""),
    "offsets as floats": file({"a": {"dtype": "U8", "shape": [1], "data_offsets": [0.0, 1.0]}}, b"x"),
    "size and shape": file({"a": tensor(0, 4, "F32", [2])}, bytes(4)),
    "shape overflow": file({"a": tensor(0, 0, "F32", [2**32, 2**32])}),
    "shape is a bool": file({"a": tensor(0, 1, "U8", [True])}, b"x"),
    "unknown dtype": file({"a": tensor(0, 1, "Q7")}, b"x"),
    "dtype is a list": file({"a": {"dtype": [], "shape": [], "data_offsets": [0, 0]}}),
    "tensor is a number": file({"a": 7}),
    "metadata not texts": file({"__metadata__": {"a": 1}}),
    "huge number": file(b'{"a":{"dtype":"U8","shape":[' + b"9" * 5000 + b'],"data_offsets":[0,0]}}'),
}


@pytest.mark.parametrize("what", BROKEN)
def test_broken_files(tmp_path: Path, what: str) -> None:
    source = tmp_path / "m.safetensors"
    source.write_bytes(BROKEN[what])
    with pytest.raises(InvalidInput, match=r"m\.safetensors"):
        split(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (b"[]", "not a JSON object"),
        (b'{"weight_map": []}', "weight_map"),
        (b'{"weight_map": {"a": 1}}', "weight_map"),
        (b'{"weight_map": {"a": "../m.safetensors"}}', "inside the model's folder"),
        (b'{"weight_map": {"a": "/etc/passwd"}}', "inside the model's folder"),
        (b'{"weight_map": {"a": "none.safetensors"}}', "missing"),
        (b'{"weight_map": {"a": "link.safetensors"}}', "symbolic link"),
        (b'{"weight_map": {"a": "m.safetensors", "b": "m.safetensors"}}', "disagree about tensor 'b'"),
        (b'{"weight_map": {"a": "m.safetensors", "c": "n.safetensors"}}', "in another shard too"),
        (b'{"metadata": 1, "weight_map": {"a": "m.safetensors"}}', "metadata"),
    ],
)
def test_broken_index(tmp_path: Path, index: bytes, message: str) -> None:
    folder = tmp_path / "hf"
    folder.mkdir()
    save_file({"a": np.ones(3, np.float32)}, folder / "m.safetensors")
    save_file({"a": np.ones(3, np.float32), "c": np.ones(3, np.float32)}, folder / "n.safetensors")
    (folder / "link.safetensors").symlink_to("m.safetensors")
    (folder / INDEX).write_bytes(index)
    with pytest.raises(InvalidInput, match=message):
        split(folder, tmp_path / "out")


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        split(tmp_path / "none.safetensors", tmp_path / "out")
