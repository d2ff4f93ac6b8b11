"""Small real model files, each made of numbers that a seed decides."""

import struct
from pathlib import Path

import numpy as np


def safetensors(path: Path, seed: int = 0, *, names: tuple[str, ...] = ("body.weight", "head.bias")) -> Path:
    """A checkpoint of float32 matrices of 4 x 3, written by the format's own library."""
    from safetensors.numpy import save_file

    rng = np.random.default_rng(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: rng.standard_normal((4, 3), dtype=np.float32) for name in names}, str(path))
    return path


def onnx(path: Path, seed: int = 0, *, input_name: str = "x", outputs: int = 1, width: int = 3) -> Path:
    """``y = x @ w`` for rows of ``width`` numbers; further outputs are copies of ``y``."""
    from onnx import TensorProto, helper, numpy_helper, save

    weight = np.random.default_rng(seed).standard_normal((width, 2)).astype(np.float32)
    nodes = [helper.make_node("MatMul", [input_name, "w"], ["y"])]
    nodes += [helper.make_node("Identity", ["y"], [f"y{n}"]) for n in range(1, outputs)]
    names = ["y", *(f"y{n}" for n in range(1, outputs))]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(input_name, TensorProto.FLOAT, ["N", width])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 2]) for name in names],
        [numpy_helper.from_array(weight, "w")],
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 17)], producer_name="tests")
    save(model, str(path))
    return path


def gguf(path: Path, seed: int = 0) -> Path:
    """The head of a GGUF file (magic, version 3, no tensors, no metadata) and some bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 0) + np.random.default_rng(seed).bytes(256))
    return path
