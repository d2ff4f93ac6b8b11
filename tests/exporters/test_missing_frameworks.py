"""What a machine without a framework is told."""

import sys

import numpy as np
import pytest

from modelver.errors import Refused
from modelver.operations import stage_export


@pytest.mark.parametrize(
    ("framework", "source", "missing"),
    [
        ("torch", "m.pt2", "torch"),
        ("pytorch", "m.pt2", "torch"),
        ("torch", "m.pt2", "onnxscript"),
        ("keras", "m.keras", "keras"),
        ("keras", "m.keras", "torch"),
        ("xgboost", "m.ubj", "xgboost"),
        ("lightgbm", "m.txt", "lightgbm"),
        ("catboost", "m.cbm", "catboost"),
    ],
)
def test_a_missing_package_is_named_with_the_extra_that_brings_it(tmp_path, monkeypatch, framework, source, missing):
    monkeypatch.setitem(sys.modules, missing, None)  # Python's own way to say: not installed
    (tmp_path / source).write_bytes(b"anything")
    np.savez(tmp_path / "data.npz", X=np.zeros((2, 2)))
    with pytest.raises(Refused, match=f"needs the package {missing}") as raised:
        stage_export.run(tmp_path, "m", {"source": source, "framework": framework, "data": "data.npz"})
    assert raised.value.hint == f"pip install 'modelver[{framework.removeprefix('py')}]'"


def test_a_suffix_that_no_exporter_takes(tmp_path):
    (tmp_path / "m.pt").write_bytes(b"anything")
    np.savez(tmp_path / "data.npz", X=np.zeros((2, 2)))
    with pytest.raises(Refused, match=r"no exporter takes \.pt files by itself") as raised:
        stage_export.run(tmp_path, "m", {"source": "m.pt", "data": "data.npz"})
    assert "framework: torch" in raised.value.hint
