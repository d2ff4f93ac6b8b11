"""Finding exporters: what is said where there is none of that name."""

from pathlib import Path

import pytest

from modelver.errors import Refused
from modelver.exporters.base import find


@pytest.mark.parametrize("name", ["torchy", "", "Sklearn", "a\u202eb", "openvino"])
def test_an_unknown_framework_is_told_the_known_ones_and_no_extra_that_there_is_not(name):
    with pytest.raises(Refused) as caught:
        find(name, Path("model.pt"))
    assert "pip install" not in caught.value.hint
    assert {"onnx", "sklearn", "torch", "xgboost"} <= set(caught.value.hint.removeprefix("there is: ").split(", "))
    assert caught.value.message.isprintable()


def test_a_plugin_of_another_package_that_cannot_be_loaded_is_no_extra_of_ours(tmp_path, monkeypatch):
    info = tmp_path / "acme-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[modelver.exporters]\nacme = acme_missing:Exporter\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(Refused, match="acme_missing") as caught:
        find("acme", Path("model.acme"))
    assert caught.value.hint == "install what acme needs"
