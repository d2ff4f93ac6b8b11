"""A small convolutional classifier of digits: random filters, and a linear layer that was trained on what they see."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits
from sklearn.linear_model import RidgeClassifier

from modelver.core.manifest import dump_files, dump_tensors
from modelver.formats.onnx_split import split


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Images ``[N, 1, 8, 8]`` in 0 to 1, and labels."""
    X, y = load_digits(return_X_y=True)
    return (X / 16).astype(np.float32).reshape(-1, 1, 8, 8), y


@cache
def trained() -> dict[str, np.ndarray]:
    """Filters, linear layer and bias."""
    X, y = digits()
    filters = np.random.default_rng(0).normal(size=(8, 1, 3, 3)).astype(np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(X[:, 0], (3, 3), axis=(1, 2))
    seen = np.maximum(np.einsum("nijab,fab->nfij", windows, filters[:, 0]), 0).reshape(len(X), -1)
    linear = RidgeClassifier().fit(seen[::2], y[::2])
    return {
        "filters": filters,
        "linear": linear.coef_.T.astype(np.float32),
        "bias": linear.intercept_.astype(np.float32),
    }


def make(path: Path, batch="N", opset: int = 17) -> None:
    """Write the model; gives logits for ten classes."""
    weights = trained()
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["image", "filters"], ["convolved"]),
            helper.make_node("Relu", ["convolved"], ["seen"]),
            helper.make_node("Flatten", ["seen"], ["flat"]),
            helper.make_node("Gemm", ["flat", "linear", "bias"], ["logits"]),
        ],
        "convnet",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, 1, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, 10])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), path)


def place(root: Path, source: Path, model: str = "m") -> None:
    """What ``modelver add`` leaves of an ingested model, without a repository around it."""
    home = root / "models" / model
    found = split(source, home / "weights")
    (home / "files.jsonl").write_bytes(dump_files(found.files))
    (home / "tensors.jsonl").write_bytes(dump_tensors(found.tensors))
    document = {
        "kind": "ingested",
        "source": {"path": source.name, "format": "onnx", "framework": None, "framework_version": None},
        "format": found.format,
        "signature": found.signature,
        "graph": found.graph,
        "environment": None,
    }
    (home / "source.json").write_text(json.dumps(document))
