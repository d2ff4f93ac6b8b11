"""Splitting and joining ONNX models, judged by onnx's checker and by what onnxruntime computes."""

import hashlib
import os
import resource
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnx_models
import onnxruntime
import pytest
from onnx import TensorProto, external_data_helper, helper, numpy_helper

from modelver.core.manifest import FileEntry
from modelver.errors import ExternalFailure, InvalidInput, NotFound
from modelver.formats.onnx_join import join
from modelver.formats.onnx_split import split
from modelver.formats.result import stale_files

PLACES = {
    "initializers": (lambda: onnx_models.chain(3), 3),
    "constant": (onnx_models.constant, 1),
    "inner initializers": (onnx_models.inner_initializers, 2),
    "constant in a subgraph": (onnx_models.inner_constant, 2),
    "function": (onnx_models.function, 1),
    "sparse constant": (onnx_models.sparse_constant, 0),
    "float_data": (onnx_models.typed, 1),
    "int32_data of int32": (lambda: onnx_models.typed(TensorProto.INT32), 1),
    "int64_data": (lambda: onnx_models.typed(TensorProto.INT64), 1),
    "double_data": (lambda: onnx_models.typed(TensorProto.DOUBLE), 1),
}


def run(path: Path) -> np.ndarray:
    x = np.random.default_rng(9).standard_normal((3, onnx_models.N)).astype(np.float32)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


def save(model: onnx.ModelProto, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString())
    return path


def snapshot(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def listed(folder: Path) -> list[FileEntry]:
    """What a listing must say, derived from the files."""
    return [
        FileEntry(name, len(data), hashlib.md5(data).hexdigest(), hashlib.sha256(data).hexdigest())
        for name, data in sorted(snapshot(folder).items())
    ]


@pytest.mark.parametrize("place", PLACES)
def test_split_model_is_accepted_and_computes_the_same(tmp_path: Path, place: str) -> None:
    build, files = PLACES[place]
    source = save(build(), tmp_path / "source.onnx")
    result = split(source, tmp_path / "out")
    model = tmp_path / "out/model.onnx"

    assert len(list(tmp_path.glob("out/tensors/*"))) == files
    assert list(result.files) == listed(tmp_path / "out")
    onnx.checker.check_model(str(model), full_check=True)
    assert np.array_equal(run(model), run(source))

    join(tmp_path / "out", tmp_path / "joined.onnx")
    assert np.array_equal(run(tmp_path / "joined.onnx"), run(source))
    again = split(tmp_path / "joined.onnx", tmp_path / "again")
    assert again.tensors == result.tensors
    assert [f for f in again.files if f.path != "model.onnx"] == [f for f in result.files if f.path != "model.onnx"]


def test_joined_file_of_raw_tensors_is_the_source_to_the_byte(tmp_path: Path) -> None:
    source = save(onnx_models.chain(3), tmp_path / "source.onnx")
    split(source, tmp_path / "out")
    join(tmp_path / "out", tmp_path / "joined.onnx")
    assert (tmp_path / "joined.onnx").read_bytes() == source.read_bytes()


@pytest.mark.parametrize(
    "kind", ["BFLOAT16", "FLOAT16", "INT4", "UINT4", "INT8", "BOOL", "FLOAT8E4M3FN", "UINT64", "FLOAT6E2M3"]
)
@pytest.mark.parametrize("count", [1001, 3_000_001])
def test_typed_fields_give_the_raw_data_onnx_gives(tmp_path: Path, kind: str, count: int) -> None:
    number = TensorProto.DataType.Value(kind)
    values = np.random.default_rng(1).integers(0, 2, count).astype(np.float32)
    tensor = helper.make_tensor("w", number, [count], values)
    expected = numpy_helper.from_array(numpy_helper.to_array(tensor), "w").raw_data
    assert not tensor.raw_data
    node = helper.make_node("Identity", ["x"], ["y"])
    result = split(save(onnx_models.model([node], [tensor]), tmp_path / "m.onnx"), tmp_path / "out")

    (entry,) = result.tensors
    assert (entry.name, entry.shape, entry.bytes) == ("w", (count,), len(expected))
    assert entry.sha256 == hashlib.sha256(expected).hexdigest()
    assert entry.mean == float(f"{values.astype(np.float64).mean():.6g}")
    if len(expected) >= 1 << 20:
        assert (tmp_path / "out/tensors" / entry.sha256).read_bytes() == expected
    loaded = onnx.load(tmp_path / "out/model.onnx").graph.initializer[0]
    assert numpy_helper.to_array(loaded).tobytes() == numpy_helper.to_array(tensor).tobytes()


def test_negative_numbers_in_varints(tmp_path: Path) -> None:
    values = np.concatenate([np.arange(-70_000, 70_000), [-(2**63), 2**63 - 1, 0]]).astype(np.int64)
    tensor = helper.make_tensor("w", TensorProto.INT64, values.shape, values)
    node = helper.make_node("Identity", ["x"], ["y"])
    result = split(save(onnx_models.model([node], [tensor]), tmp_path / "m.onnx"), tmp_path / "out")
    assert (tmp_path / "out/tensors" / result.tensors[0].sha256).read_bytes() == values.tobytes()


@pytest.mark.parametrize("one_file", [True, False])
@pytest.mark.parametrize("by_folder", [True, False])
def test_external_data_of_the_source(tmp_path: Path, one_file: bool, by_folder: bool) -> None:
    model = onnx_models.chain(3)
    inline = split(save(model, tmp_path / "inline.onnx"), tmp_path / "expected")
    (tmp_path / "src").mkdir()
    onnx.save(
        model, tmp_path / "src/m.onnx", save_as_external_data=True, all_tensors_to_one_file=one_file, location="w.bin"
    )
    (tmp_path / "src/labels.txt").write_text("zero\none\n")
    result = split(tmp_path / ("src" if by_folder else "src/m.onnx"), tmp_path / "out")
    assert result.tensors == inline.tensors
    assert {f.path for f in result.files} - {f.path for f in inline.files} == ({"labels.txt"} if by_folder else set())
    assert list(result.files) == listed(tmp_path / "out")
    assert np.array_equal(run(tmp_path / "out/model.onnx"), run(tmp_path / "inline.onnx"))


def test_small_external_tensors_come_inline(tmp_path: Path) -> None:
    weight = onnx_models.matrix(1, "w", 4)
    source = onnx_models.model([helper.make_node("Identity", ["x"], ["y"])], [weight])
    expected = source.graph.initializer[0].raw_data
    onnx.save(source, tmp_path / "m.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    split(tmp_path / "m.onnx", tmp_path / "out")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["model.onnx"]
    found = onnx.load(tmp_path / "out/model.onnx", load_external_data=False).graph.initializer[0]
    assert found.raw_data == expected
    assert not external_data_helper.uses_external_data(found)


def test_same_bytes_twice_and_in_place(tmp_path: Path) -> None:
    source = save(onnx_models.inner_constant(), tmp_path / "source.onnx")
    first = split(source, tmp_path / "a")
    assert split(source, tmp_path / "b") == first
    assert snapshot(tmp_path / "a") == snapshot(tmp_path / "b")
    before = {p: p.stat().st_ino for p in tmp_path.glob("a/tensors/*")}
    assert split(tmp_path / "a", tmp_path / "a") == first
    assert {p: p.stat().st_ino for p in tmp_path.glob("a/tensors/*")} == before


def test_one_changed_tensor_of_64_is_one_new_file(tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = split(save(onnx_models.chain(64), tmp_path / "v1.onnx"), out)
    inodes = {p.name: p.stat().st_ino for p in out.glob("tensors/*")}
    second = split(save(onnx_models.chain(64, changed=17), tmp_path / "v2.onnx"), out)

    assert len({p.name for p in out.glob("tensors/*")} - inodes.keys()) == 1
    assert all((out / "tensors" / name).stat().st_ino == inode for name, inode in inodes.items())
    changed = [a.name for a, b in zip(first.tensors, second.tensors, strict=True) if a != b]
    assert changed == ["w17"]
    assert second.graph == first.graph
    gone = {f.path for f in first.files} - {f.path for f in second.files}
    assert [p.relative_to(out).as_posix() for p in stale_files(out, second.files)] == sorted(gone)


def test_equal_tensors_share_one_file(tmp_path: Path) -> None:
    model = onnx_models.chain(2)
    model.graph.initializer[1].raw_data = model.graph.initializer[0].raw_data
    result = split(save(model, tmp_path / "m.onnx"), tmp_path / "out")
    assert len(result.files) == 2
    assert len(result.tensors) == 2


def test_rotten_tensor_file_is_replaced(tmp_path: Path) -> None:
    source = save(onnx_models.chain(1), tmp_path / "m.onnx")
    split(source, tmp_path / "out")
    (file,) = tmp_path.glob("out/tensors/*")
    good = file.read_bytes()
    file.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    split(source, tmp_path / "out")
    assert file.read_bytes() == good


def test_string_tensors_and_unknown_fields_stay(tmp_path: Path) -> None:
    source = tmp_path / "m.onnx"
    extra = b"\xfa\x7f\x03abc"  # field 2047, which no version of ONNX has
    source.write_bytes(onnx_models.every_place().SerializeToString() + extra)
    result = split(source, tmp_path / "out")
    assert (tmp_path / "out/model.onnx").read_bytes() == source.read_bytes()
    text = next(t for t in result.tensors if t.name == "text")
    assert (text.dtype, text.shape, text.l2) == ("string", (2,), None)
    assert {t.name for t in result.tensors} >= {"w", "typed", "half", "nibbles", "sp", "sp/indices", "if/then_branch/t"}


def test_progress_adds_up_to_about_the_model(tmp_path: Path) -> None:
    source = save(onnx_models.chain(4), tmp_path / "m.onnx")
    done: list[int] = []
    split(source, tmp_path / "out", done.append)
    assert all(step > 0 for step in done)
    assert source.stat().st_size * 0.9 < sum(done) < source.stat().st_size * 1.1


# what must be refused


def external(tmp_path: Path, **fields: str) -> Path:
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    for key, text in fields.items():
        weight.external_data.add(key=key, value=text)
    (tmp_path / "m").mkdir(exist_ok=True)
    (tmp_path / "m/data.bin").write_bytes(bytes(64))
    return save(onnx_models.model([helper.make_node("Identity", ["x"], ["y"])], [weight]), tmp_path / "m/m.onnx")


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"location": "../secret"}, "external_data.location"),
        ({"location": "/etc/passwd"}, "external_data.location"),
        ({"location": "sub/../../secret"}, "external_data.location"),
        ({"location": "..\\secret"}, "external_data.location"),
        ({"location": ""}, "external_data.location"),
        ({}, "external_data.location"),
        ({"location": "missing.bin"}, "external_data.location"),
        ({"location": "x" * 5000}, "external_data.location"),
        ({"location": "nul\0"}, "external_data.location"),
        ({"location": "link.bin"}, "symbolic link"),
        ({"location": "linked/data.bin"}, "symbolic link"),
        ({"location": "hard.bin"}, "hard link"),
        ({"location": "fifo"}, "regular file"),
        ({"location": "folder"}, "regular file"),
        ({"location": "data.bin", "offset": "-1"}, "external_data.offset"),
        ({"location": "data.bin", "offset": "52"}, "external_data.offset"),
        ({"location": "data.bin", "offset": "9" * 30}, "external_data.offset"),
        ({"location": "data.bin", "offset": "٣"}, "external_data.offset"),
        ({"location": "data.bin", "length": "15"}, "external_data.length"),
        ({"location": "data.bin", "length": "-16"}, "external_data.length"),
        ({"location": "data.bin", "length": "1e3"}, "external_data.length"),
    ],
)
def test_external_data_that_is_refused(tmp_path: Path, fields: dict[str, str], named: str) -> None:
    source = external(tmp_path, **fields)
    (tmp_path / "secret").write_bytes(bytes(64))
    folder = source.parent
    (folder / "link.bin").symlink_to(tmp_path / "secret")
    (folder / "linked").symlink_to(tmp_path / "m")
    os.link(tmp_path / "secret", folder / "hard.bin")
    os.mkfifo(folder / "fifo")
    (folder / "folder").mkdir()
    for call in (lambda: split(source, tmp_path / "out"), lambda: join(source, tmp_path / "j.onnx")):
        with pytest.raises(InvalidInput) as caught:
            call()
        message = caught.value.message
        assert str(source) in message
        assert "'w'" in message
        assert named in message
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "j.onnx").exists()


def test_external_data_that_is_fine(tmp_path: Path) -> None:
    assert split(external(tmp_path, location="data.bin", offset="48"), tmp_path / "out").tensors[0].bytes == 16


def nested(depth: int) -> bytes:
    graph = b""
    for _ in range(depth):
        attribute = b"\x32" + _length(graph)
        node = b"\x2a" + _length(attribute)
        graph = b"\x0a" + _length(node)
    return b"\x08\x0a\x3a" + _length(graph)


def _length(data: bytes) -> bytes:
    size, out = len(data), b""
    while size > 127:
        out += bytes([size & 127 | 128])
        size >>= 7
    return out + bytes([size]) + data


MALFORMED = {
    "empty": b"",
    "garbage": bytes(range(256)),
    "no graph": b"\x08\x0a",
    "1,000 subgraphs deep": nested(1000),
    "varint overflow": b"\x08" + b"\xff" * 11,
    "varint above 64 bits": b"\x08" + b"\xff" * 9 + b"\x7f",
    "length 2^63": b"\x08\x0a\x3a" + b"\x80" * 9 + b"\x01",
    "group": b"\x08\x0a\x0b\x0c\x3a\x00",
    "graph twice": b"\x08\x0a\x3a\x00\x3a\x00",
    "negative dim": b"\x08\x0a\x3a" + _length(b"\x2a" + _length(b"\x08" + b"\xff" * 9 + b"\x01\x10\x01")),
    "unknown type": b"\x08\x0a\x3a" + _length(b"\x2a" + _length(b"\x08\x01\x10\x63")),
    "raw data too short": b"\x08\x0a\x3a" + _length(b"\x2a" + _length(b"\x08\x02\x10\x01\x4a\x04abcd")),
    "two kinds of data": b"\x08\x0a\x3a" + _length(b"\x2a" + _length(b"\x08\x01\x10\x01\x4a\x04abcd\x22\x04abcd")),
    "2^60 elements": b"\x08\x0a\x3a" + _length(b"\x2a" + _length(b"\x08" + b"\x80" * 8 + b"\x10\x10\x01")),
    "truncated number": b"\x08\x0a\x3a" + _length(b"\x2a" + _length(b"\x08\x01\x10\x07\x3a\x01\x80")),
    "too many numbers": b"\x08\x0a\x3a" + _length(b"\x2a" + _length(b"\x08\x01\x10\x07\x3a\x02\x01\x01")),
    "name not UTF-8": b"\x08\x0a\x3a" + _length(b"\x2a" + _length(b"\x10\x01\x08\x00\x42\x01\xff")),
}


@pytest.mark.parametrize("what", MALFORMED)
def test_malformed(tmp_path: Path, what: str) -> None:
    source = tmp_path / "m.onnx"
    source.write_bytes(MALFORMED[what])
    with pytest.raises(InvalidInput, match=r"m\.onnx"):
        split(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_failure_leaves_what_was_there(tmp_path: Path) -> None:
    out = tmp_path / "out"
    split(save(onnx_models.chain(2), tmp_path / "v1.onnx"), out)
    before = snapshot(out)
    broken = onnx_models.chain(3, changed=1)
    broken.graph.node[0].name = "n"
    data = broken.SerializeToString()
    # the last tensor's typed data is broken: found only once its turn comes, after others were written
    broken.graph.initializer.append(TensorProto(name="bad", data_type=TensorProto.INT64, dims=[2], int64_data=[1]))
    (tmp_path / "v2.onnx").write_bytes(broken.SerializeToString())
    assert len(data) > 3 << 20
    with pytest.raises(InvalidInput, match="'bad'"):
        split(tmp_path / "v2.onnx", out)
    assert snapshot(out) == before


def test_missing_and_ambiguous(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        split(tmp_path / "none.onnx", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInput, match="exactly one"):
        split(tmp_path / "empty", tmp_path / "out")


def test_folder_on_which_nothing_can_be_written(tmp_path: Path) -> None:
    source = save(onnx_models.chain(1), tmp_path / "m.onnx")
    (tmp_path / "out").write_text("a file where the folder should be")
    with pytest.raises(ExternalFailure, match="out"):
        split(source, tmp_path / "out")
    assert (tmp_path / "out").read_text().startswith("a file")


def test_new_files_follow_the_umask(tmp_path: Path) -> None:
    split(save(onnx_models.chain(1), tmp_path / "m.onnx"), tmp_path / "out")
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE((tmp_path / "out/model.onnx").stat().st_mode) == 0o666 & ~mask


# size

# Not ru_maxrss: Linux hands that down from the process that forked this one, and it never shrinks.
MEASURE = """
import sys
from pathlib import Path
import numpy, onnx, ml_dtypes
from modelver.formats.onnx_join import join
from modelver.formats.onnx_split import split
def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
before = peak()
result = split(Path(sys.argv[1]), Path(sys.argv[2]))
if len(sys.argv) > 3:
    join(Path(sys.argv[2]), Path(sys.argv[3]))
print(len(result.tensors), (peak() - before) // 1024)
"""


def measured(*arguments: Path) -> tuple[int, int]:
    """Tensors, and MiB by which the peak of memory grew."""
    out = subprocess.run([sys.executable, "-c", MEASURE, *map(str, arguments)], capture_output=True, text=True)
    assert out.returncode == 0, out.stderr
    tensors, grown = out.stdout.split()
    return int(tensors), int(grown)


def sparse_file(path: Path, tensors: int, size: int) -> None:
    """A model of ``tensors`` float32 weights of ``size`` bytes each, of which the disk holds next to nothing."""
    head = onnx_models.model([helper.make_node("Identity", ["x"], ["y"])])
    graph = head.graph.SerializeToString()
    head.ClearField("graph")
    empty = [TensorProto(name=f"w{n}", data_type=1, dims=[size // 4]).SerializeToString() for n in range(tensors)]
    starts = [each + b"\x4a" + _length_only(size) for each in empty]
    total = len(graph) + sum(1 + len(_length_only(len(s) + size)) + len(s) + size for s in starts)
    with path.open("wb") as file:
        file.write(head.SerializeToString() + b"\x3a" + _length_only(total) + graph)
        for number, start in enumerate(starts):
            file.write(b"\x2a" + _length_only(len(start) + size) + start)
            file.write(number.to_bytes(4, "little"))
            file.seek(size - 4, os.SEEK_CUR)
        file.truncate(file.tell())


def _length_only(size: int) -> bytes:
    out = b""
    while size > 127:
        out += bytes([size & 127 | 128])
        size >>= 7
    return out + bytes([size])


def test_memory_stays_far_below_the_model(tmp_path: Path) -> None:
    sparse_file(tmp_path / "m.onnx", 3, 100 << 20)
    assert onnx.load(tmp_path / "m.onnx").graph.initializer[2].name == "w2"  # a real model, not only to our reader
    tensors, grown = measured(tmp_path / "m.onnx", tmp_path / "out")
    assert tensors == 3
    assert grown < 60
    shutil.rmtree(tmp_path)


def test_typed_data_is_converted_in_pieces(tmp_path: Path) -> None:
    values = np.arange(1 << 40, (1 << 40) + 40_000_000, 10)
    weight = TensorProto(name="w", data_type=TensorProto.INT64, dims=[values.size])
    weight.int64_data.extend(values)
    source = save(onnx_models.model([helper.make_node("Identity", ["x"], ["y"])], [weight]), tmp_path / "m.onnx")
    tensors, grown = measured(source, tmp_path / "out")
    assert tensors == 1
    assert grown < 150
    shutil.rmtree(tmp_path)


@pytest.mark.slow
def test_five_gigabytes_there_and_back(tmp_path: Path) -> None:
    sparse_file(tmp_path / "m.onnx", 5, 1 << 30)
    tensors, grown = measured(tmp_path / "m.onnx", tmp_path / "out", tmp_path / "j.onnx")
    assert tensors == 5
    assert grown < 150
    onnx.checker.check_model(str(tmp_path / "out/model.onnx"))
    assert (tmp_path / "j.onnx").stat().st_size == (tmp_path / "m.onnx").stat().st_size
    shutil.rmtree(tmp_path)


def test_a_file_for_each_of_many_tensors(tmp_path: Path) -> None:
    """torch's old exporter wrote such models; they must not run out of file descriptors."""
    (tmp_path / "src").mkdir()
    weights = []
    for number in range(300):
        weight = TensorProto(name=f"w{number}", data_type=1, dims=[2], data_location=TensorProto.EXTERNAL)
        weight.external_data.add(key="location", value=f"w{number}.weight")
        (tmp_path / "src" / f"w{number}.weight").write_bytes(np.float32([number, 1]).tobytes())
        weights.append(weight)
    save(onnx_models.model([helper.make_node("Identity", ["x"], ["y"])], weights), tmp_path / "src/m.onnx")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (150, hard))
    try:
        result = split(tmp_path / "src", tmp_path / "out")
        join(tmp_path / "src", tmp_path / "j.onnx")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert [f.path for f in result.files] == ["model.onnx"]
    assert {entry.name: entry.max for entry in result.tensors} == {f"w{n}": max(n, 1.0) for n in range(300)}
    found = onnx.load(tmp_path / "j.onnx").graph.initializer
    assert [numpy_helper.to_array(weight).tolist() for weight in found] == [[n, 1.0] for n in range(300)]


@pytest.mark.slow
def test_many_tensors_just_below_the_limit_do_not_stay_inline(tmp_path: Path) -> None:
    sparse_file(tmp_path / "m.onnx", 2200, 1_000_000)
    split(tmp_path / "m.onnx", tmp_path / "out")
    assert (tmp_path / "out/model.onnx").stat().st_size < 1 << 20
    onnx.checker.check_model(str(tmp_path / "out/model.onnx"))
    shutil.rmtree(tmp_path)


def test_source_that_changes_meanwhile(tmp_path: Path) -> None:
    source = save(onnx_models.chain(2), tmp_path / "m.onnx")

    def touch(_: int) -> None:
        with source.open("ab") as file:
            file.write(b"\0")

    with pytest.raises(InvalidInput, match="changed while it was read"):
        split(source, tmp_path / "out", touch)
    assert not (tmp_path / "out").exists()


def test_killed_split_is_tidied_by_stale_files(tmp_path: Path) -> None:
    source = save(onnx_models.chain(2), tmp_path / "m.onnx")
    code = (
        "import os, sys; from pathlib import Path; from modelver.formats import output\n"
        "from modelver.formats.onnx_split import split\n"
        "output._copy = lambda *_: os.kill(os.getpid(), 9)\n"
        "split(Path(sys.argv[1]), Path(sys.argv[2]))"
    )
    assert subprocess.run([sys.executable, "-c", code, source, tmp_path / "out"]).returncode == -9
    left = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len(left) == 1
    result = split(source, tmp_path / "out")
    assert stale_files(tmp_path / "out", result.files) == left


def test_hundred_thousand_tensors(tmp_path: Path) -> None:
    weights = [TensorProto(name=f"w{n}", data_type=1, dims=[2], raw_data=bytes(8)) for n in range(100_000)]
    source = save(onnx_models.model([helper.make_node("Identity", ["x"], ["y"])], weights), tmp_path / "m.onnx")
    tensors, grown = measured(source, tmp_path / "out")
    assert tensors == 100_000
    assert grown < 512
