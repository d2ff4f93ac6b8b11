"""The files and repositories that the benchmarks work on, the same bytes at each run.

Run as a program to write models: a child that held half a gibibyte must not count as the memory of those that come
after it (Linux hands ``ru_maxrss`` down from the process that forks).
"""

import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MIB = 1 << 20


@dataclass(frozen=True)
class Shape:
    """Size of a model: ``tensors`` square float32 matrices of ``tensor_bytes`` each, one MatMul for each."""

    tensors: int
    tensor_bytes: int

    @property
    def side(self) -> int:
        """Rows of a matrix; its columns are what fills the bytes."""
        return 1 << ((self.tensor_bytes // 4).bit_length() // 2)

    @property
    def bytes(self) -> int:
        """Bytes of all matrices."""
        return self.tensors * self.tensor_bytes

    @property
    def label(self) -> str:
        """As ``512 MiB``."""
        return f"{self.bytes // MIB} MiB"


def write(kind: str, path: Path, shape: Shape, version: int) -> Path:
    """Write a model in a process of its own; versions differ in the middle tensor alone."""
    arguments = [kind, str(path), str(shape.tensors), str(shape.tensor_bytes), str(version)]
    subprocess.run([sys.executable, __file__, *arguments], check=True)
    return path


def change_middle_tensor(path: Path, shape: Shape, seed: int) -> None:
    """Overwrite some values of the middle tensor of a file that `write` wrote; each seed gives other bytes."""
    # all matrices have one size and stand one behind the other, so the middle tensor lies around this place
    place = (shape.tensors // 2 * 2 + 1) * path.stat().st_size // (2 * shape.tensors)
    # one byte repeated: whatever the alignment, each float is the same small number
    run = bytes([0x30 + seed % 13]) * (4096 + 4 * seed)
    with path.open("r+b") as file:
        file.seek(place)
        file.write(run)


def _matrices(shape: Shape, version: int) -> Iterator[tuple[str, bytes]]:
    import numpy as np

    for index in range(shape.tensors):
        seed = index if index != shape.tensors // 2 else 1_000_000 + version
        values = np.random.default_rng(seed).standard_normal(shape.tensor_bytes // 4, dtype=np.float32)
        yield f"layer{index:03}.weight", (values * np.float32(0.02)).tobytes()


def _columns(shape: Shape) -> int:
    return shape.tensor_bytes // 4 // shape.side


def _write_onnx(path: Path, shape: Shape, version: int) -> None:
    import onnx
    from onnx import TensorProto, helper

    rows, columns = shape.side, _columns(shape)
    nodes, weights = [], []
    previous = "x"
    for index, (name, data) in enumerate(_matrices(shape, version)):
        # a wide and a tall matrix in turn, so that products chain whatever the shape
        dims = (rows, columns) if index % 2 == 0 else (columns, rows)
        weights.append(helper.make_tensor(name, TensorProto.FLOAT, dims, data, raw=True))
        result = f"h{index}" if index < shape.tensors - 1 else "y"
        nodes.append(helper.make_node("MatMul", [previous, name], [result]))
        previous = result
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", rows])]
    width = rows if shape.tensors % 2 == 0 else columns
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", width])]
    graph = helper.make_graph(nodes, "chain", inputs, outputs, weights)
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 17)])
    onnx.save(model, path)


def _write_safetensors(path: Path, shape: Shape, version: int) -> None:
    import json

    header = {}
    for index in range(shape.tensors):
        start = index * shape.tensor_bytes
        offsets = [start, start + shape.tensor_bytes]
        dims = [shape.side, _columns(shape)]
        header[f"layer{index:03}.weight"] = {"dtype": "F32", "shape": dims, "data_offsets": offsets}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, data in _matrices(shape, version):
            file.write(data)


def tags_stream(count: int, models: int = 10) -> bytes:
    """A stream for `git fast-import`: ``count`` commits, an annotated version tag on each, over ``models`` models."""
    who = "Bench <bench@example.com>"
    parts = []
    for number in range(count):
        model, version = f"model-{number % models}", number // models
        when = 1_700_000_000 + number * 60
        text = f"{model} {version}\n"
        tag = f"{model}@v{1 + version // 100}.{version // 10 % 10}.{version % 10}"
        note = f"{model} {version}\n\nModelver-Model: {model}\n"
        parts.append(
            f"commit refs/heads/main\nmark :{number + 1}\ncommitter {who} {when} +0000\n{_data(text)}"
            f"M 644 inline current.txt\n{_data(text)}\n"
            f"tag {tag}\nfrom :{number + 1}\ntagger {who} {when} +0000\n{_data(note)}\n"
        )
    return "".join(parts).encode()


def _data(text: str) -> str:
    return f"data {len(text)}\n{text}"


if __name__ == "__main__":
    kind_, path_, tensors_, bytes_, number_ = sys.argv[1:]
    action = {"onnx": _write_onnx, "safetensors": _write_safetensors}[kind_]
    action(Path(path_), Shape(int(tensors_), int(bytes_)), int(number_))
