"""Statistics, against plain NumPy over the decoded values."""

import math

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from modelver.formats import dtypes
from modelver.formats.stats import Stats

COUNT = 70_003  # more than a block, and no multiple of what a byte holds


def gathered(dtype: dtypes.DType, count: int, raw: bytes, piece: int = 4800) -> dict[str, object]:
    stats = Stats(dtype, count)
    for start in range(0, len(raw), piece):
        stats.update(memoryview(raw)[start : start + piece])
    return stats.result()


def expected(values: np.ndarray) -> dict[str, object]:
    wide = values.astype(np.complex128 if values.dtype.kind == "c" else np.float64)
    finite = wide[np.isfinite(wide)]
    plain = values.dtype.kind != "c"
    return {
        "l2": math.sqrt(math.fsum((abs(finite) ** 2).tolist())),
        "min": float(finite.min()) if plain else None,
        "max": float(finite.max()) if plain else None,
        "mean": math.fsum(finite.tolist()) / finite.size if plain else None,
        "zeros": float((wide == 0).mean()),
        "nonfinite": int(wide.size - finite.size),
    }


@pytest.mark.parametrize("number", [n for n, d in dtypes.ONNX.items() if d.bits], ids=lambda n: dtypes.ONNX[n].name)
def test_every_type_of_onnx(number: int) -> None:
    """Random bytes as raw data, decoded by onnx itself."""
    dtype = dtypes.ONNX[number]
    raw = bytearray(np.random.default_rng(number).bytes(dtype.size(COUNT)))
    if dtype.name == "bool":
        raw = bytearray(byte & 1 for byte in raw)
    if dtype.bits < 8:
        unused = len(raw) * 8 - COUNT * dtype.bits
        raw[-1] &= 0xFF >> unused
    tensor = TensorProto(name="t", data_type=number, dims=[COUNT], raw_data=bytes(raw))
    values = numpy_helper.to_array(tensor)
    if dtype.name in ("float64", "complex128"):  # squares of random exponents overflow: keep them in range
        values = np.where(abs(values) < 1e100, values, 1).astype(values.dtype)
        raw = bytearray(values.tobytes())
    with np.errstate(all="ignore"):
        want = expected(values)
    found = gathered(dtype, COUNT, bytes(raw))
    for key, value in want.items():
        assert found[key] == (pytest.approx(value, rel=1e-5) if value is not None else None), key


def test_names_are_those_of_numpy_and_ml_dtypes() -> None:
    for number, dtype in dtypes.ONNX.items():
        if dtype.bits:
            assert np.dtype(helper.tensor_dtype_to_np_dtype(number)).name == dtype.name
    assert set(dtypes.ONNX) == set(TensorProto.DataType.values()) - {0}


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(width=32), min_size=1, max_size=50))
def test_floats_of_every_kind(values: list[float]) -> None:
    data = np.array(values, np.float32)
    found = gathered(dtypes.ONNX[TensorProto.FLOAT], data.size, data.tobytes())
    finite = [float(v) for v in data if math.isfinite(v)]
    assert found["nonfinite"] == len(values) - len(finite)
    if not finite:
        assert found["l2"] is found["min"] is found["max"] is found["mean"] is None
    else:
        assert found["min"] == pytest.approx(min(finite), rel=1e-5)
        assert found["max"] == pytest.approx(max(finite), rel=1e-5)
        scale = max(map(abs, finite))
        assert found["mean"] == pytest.approx(math.fsum(finite) / len(finite), rel=1e-5, abs=scale * 1e-12)
        assert found["l2"] == pytest.approx(math.hypot(*finite), rel=1e-5, abs=1e-150)


def test_overflow_is_absent_not_infinite() -> None:
    data = np.full(3, 1.7e308)
    found = gathered(dtypes.ONNX[TensorProto.DOUBLE], 3, data.tobytes())
    assert found["l2"] is None
    assert found["mean"] is None
    assert found["max"] == 1.7e308


def test_empty_and_negative_zero() -> None:
    assert gathered(dtypes.ONNX[TensorProto.FLOAT], 0, b"") == {}
    found = gathered(dtypes.ONNX[TensorProto.FLOAT], 2, np.float32([-0.0, -0.0]).tobytes())
    assert str(found["min"]) == "0.0"
    assert found["zeros"] == 1.0


def test_result_depends_on_values_not_on_pieces() -> None:
    data = np.random.default_rng(3).standard_normal(1 << 20).astype(ml_dtypes.bfloat16).tobytes()
    kind = dtypes.ONNX[TensorProto.BFLOAT16]
    assert gathered(kind, 1 << 20, data, 1 << 20) == gathered(kind, 1 << 20, data, 1 << 21)
