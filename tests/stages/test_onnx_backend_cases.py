"""Every model that the onnx package ships comes in, agrees with its own outputs, and comes out as it was."""

import importlib.util
import os
import random
import re
import shutil
import sys
from pathlib import Path

import onnx
import pytest
from sandbox import Sandbox, environment, start

SCRIPT = Path(__file__).parents[2] / "scripts" / "onnx_sweep.py"
PAGE = Path(__file__).parents[2] / "docs" / "onnx-sweep.md"


def _script():
    spec = importlib.util.spec_from_file_location("onnx_sweep", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["onnx_sweep"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


sweep = _script()
CASES = sweep.cases()
LISTED = sweep.listed(PAGE.read_text(encoding="utf-8"))
ROW = r"\| ([a-z-]+) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|"
SAMPLE = sorted({*random.Random(20).sample(CASES, 40), *LISTED})


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A repository without models; and the locale that onnxruntime's StringNormalizer needs, where it can be made."""
    tmp = tmp_path_factory.mktemp("sweep")
    before = dict(os.environ)
    sweep.with_locale(tmp)
    yield start(tmp / "repo", environment(tmp / "home")).root
    os.environ.clear()
    os.environ.update(before)


def unexpected(case: str, template: Path, place: Path) -> str:
    """What came of a case, where it is not what the page says of it; an unexpected success is one too."""
    outcome = sweep.attempt(case, template, place)
    shutil.rmtree(place)
    if "locale" in outcome.reason:
        pytest.skip("the locale en_US.UTF-8 is missing here, and can't be made: apt-get install locales-all")
    said = LISTED.get(case, sweep.Outcome())
    return "" if outcome.step == said.step else f"{outcome}, and the page says {said}: run scripts/onnx_sweep.py"


@pytest.mark.parametrize("case", SAMPLE)
def test_a_sample(case, template, tmp_path):
    assert unexpected(case, template, tmp_path) == ""


@pytest.mark.slow
@pytest.mark.parametrize("case", [case for case in CASES if case not in SAMPLE])
def test_the_others(case, template, tmp_path):
    assert unexpected(case, template, tmp_path) == ""


def test_the_page_speaks_of_all_of_them():
    text = PAGE.read_text(encoding="utf-8")
    rows = {row[0]: [int(number) for number in row[1:]] for row in re.findall(ROW, text)}
    assert set(rows) == set(sweep.FOLDERS)
    assert set(LISTED) <= set(CASES)
    for folder, (count, joined, agree, converted, refused) in rows.items():
        own = [case for case in CASES if case.startswith(f"{folder}/")]
        assert count == joined == len(own) > 0
        assert refused == len([case for case in own if case in LISTED])
        assert agree + converted + refused == count


@pytest.mark.parametrize(
    ("case", "advice"),
    [
        ("pytorch-converted/test_Softsign", "`export: {opset: 17}`"),
        ("simple/test_strnorm_model_monday_casesensintive_upper", "apt-get install locales-all"),
    ],
)
def test_what_onnxruntime_refuses_comes_with_what_helps(case, advice, empty_repo: Sandbox, tmp_path):
    empty_repo.mv("add", "m", str(sweep.data() / case))
    done = empty_repo.mv("stage", "validate", "m", status=2, LOCPATH=str(tmp_path))
    assert "error: model m: model.onnx does not load in onnxruntime" in done.err
    assert advice in empty_repo.hint(done)
    assert "onnxruntime_src" not in done.err
    assert str(empty_repo.root) not in done.err
    assert len(done.err.splitlines()) == 2  # onnxruntime's own log says it no second time


@pytest.mark.parametrize(
    "case", ["simple/test_single_relu_model", "pytorch-operator/test_operator_conv", "light/light_squeezenet"]
)
def test_by_the_commands_alone(case, empty_repo: Sandbox, tmp_path):
    """The same, as a user does it: add, validate, tag; with the canary, and a file that was changed is told."""
    folder = sweep.prepare(case, tmp_path / "case")
    empty_repo.mv("add", "m", str(folder))
    done = empty_repo.mv("stage", "validate", "m")
    assert "m: valid" in done.out
    assert "canary" in done.out
    empty_repo.commit("add m")
    empty_repo.mv("tag", "m")
    assert empty_repo.tags() == ["m@v1.0.0"]
    shown = empty_repo.mv("show", "m@v1.0.0", "--format", "json").json()
    graph = onnx.load(folder / "model.onnx").graph
    weights = {item.name for item in graph.initializer}
    assert [item["name"] for item in shown["signature"]["inputs"]] == [
        item.name for item in graph.input if item.name not in weights
    ]
