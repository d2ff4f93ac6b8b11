"""docs/guarantees.md and the README say what the tests do."""

import ast
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parents[1]
sys.path.insert(0, str(TOP / "scripts"))
guarantees = importlib.import_module("guarantees")
PROOFS = [proof for one in guarantees.GUARANTEES for proof in one.proofs]


def test_the_page_is_what_the_script_writes() -> None:
    counts = json.loads((TOP / "tests" / "guarantees.json").read_text())
    assert (TOP / "docs" / "guarantees.md").read_text() == guarantees.page(counts), "python scripts/guarantees.py"
    missing = {proof.test for proof in PROOFS} - counts["cases"].keys()
    assert missing == set(), "python scripts/guarantees.py --count"


def test_the_readme_has_the_same_sentences() -> None:
    assert guarantees.readme() in (TOP / "README.md").read_text()


@pytest.mark.parametrize("name", sorted({proof.test for proof in PROOFS}))
def test_each_test_is_there(name: str) -> None:
    file, function = name.split("::")
    tree = ast.parse((TOP / "tests" / file).read_text())
    assert function in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_the_page_claims_no_more_than_the_tests_do() -> None:
    """What is drawn from while tests run is counted by `--count` alone; all else is counted here anew."""
    counts = json.loads((TOP / "tests" / "guarantees.json").read_text())["cases"]
    names = [p.test for p in PROOFS if not p.cases.startswith("sample of ")]
    program = "import guarantees_count, json; print(json.dumps(guarantees_count.declared()))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=TOP, env={**os.environ, "PYTHONPATH": "scripts"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = json.loads(done.stdout.splitlines()[-1])
    assert {name: counts[name] for name in names if counts[name] > (found[name] or 0)} == {}, found
