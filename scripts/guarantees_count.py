"""How many cases the tests of the guarantees run, asked of the tests."""

import platform
import random
import re
import subprocess
import sys
from collections import defaultdict
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from guarantees_list import GUARANTEES, SAMPLE, Proof

TOP = Path(__file__).resolve().parents[1]

_OPTIONS = ("-p", "no:cacheprovider", "--rootdir", str(TOP))


def count() -> dict[str, Any]:
    """Run the quick form of every sweep and count."""
    counter = _collect()
    for name in sorted({_sampled(proof) for proof in _proofs() if proof.cases.startswith(SAMPLE)}):
        if name in counter.collected:
            pytest.main(["-q", *_OPTIONS, *counter.nodes[name]], plugins=[counter])
    found = {proof.test: number for proof in _proofs() if (number := _cases(proof, counter)) is not None}
    return {"with": _versions(), "cases": found}


def declared() -> dict[str, int | None]:
    """The numbers that stand in the tests, without running any."""
    counter = _collect()
    return {proof.test: _cases(proof, counter) for proof in _proofs() if not proof.cases.startswith(SAMPLE)}


def _proofs() -> list[Proof]:
    return [proof for one in GUARANTEES for proof in one.proofs]


def _collect() -> "_Counter":
    counter = _Counter()
    files = {f"tests/{proof.test.split('::')[0]}" for proof in _proofs()}
    pytest.main(
        ["-qq", *_OPTIONS, "--collect-only", *sorted(f for f in files if (TOP / f).exists())], plugins=[counter]
    )
    return counter


def _sampled(proof: Proof) -> str:
    return f"{proof.test.split('::')[0]}::{proof.cases.removeprefix(SAMPLE)}"


def _cases(proof: Proof, counter: "_Counter") -> int | None:
    file = proof.test.split("::")[0]
    if not counter.collected.get(proof.test):
        return None
    if proof.cases.startswith(SAMPLE):
        return counter.drawn.get(_sampled(proof))
    if proof.cases.startswith("product of "):
        match = re.search(proof.cases.removeprefix("product of "), (TOP / "tests" / file).read_text())
        return int(match[1]) * int(match[2]) if match else None
    if proof.cases == "tests of the file":
        return sum(number for name, number in counter.collected.items() if name.startswith(f"{file}::"))
    if proof.cases:
        return int(eval(proof.cases, dict(vars(counter.modules[file]))))  # an expression of this file
    return counter.collected[proof.test]


class _Counter:
    """A plug-in of pytest: tests by function, and the size of what the quick ones draw from."""

    def __init__(self) -> None:
        self.collected: dict[str, int] = {}
        self.drawn: dict[str, int] = defaultdict(int)
        self.modules: dict[str, Any] = {}
        self.nodes: dict[str, set[str]] = defaultdict(set)
        self._running = ""

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        counted: dict[str, int] = defaultdict(int)
        for item in items:
            counted[_name(item)] += 1
            self.modules[_name(item).split("::")[0]] = item.module
            self.nodes[_name(item)].add(item.nodeid.partition("[")[0])
        self.collected |= counted

    def pytest_runtest_setup(self, item: Any) -> None:
        self._running = _name(item)
        draw, counter = random.Random.sample, self

        def sample(self: random.Random, population: Any, k: int, **more: Any) -> Any:
            if sys._getframe(1).f_code.co_filename.startswith(str(TOP / "tests")):
                counter.drawn[counter._running] += len(population)
            return draw(self, population, k, **more)

        self._draw = draw
        random.Random.sample = sample  # type: ignore[method-assign]

    def pytest_runtest_teardown(self) -> None:
        random.Random.sample = self._draw  # type: ignore[method-assign]


def _name(item: Any) -> str:
    return f"{Path(item.path).relative_to(TOP / 'tests')}::{item.originalname}"


def _versions() -> dict[str, str]:
    def said(*command: str) -> str:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.split("\n")[0]

    strace = said("strace", "-V").replace("-- version ", "")
    return {"date": date.today().isoformat(), "python": platform.python_version(),
            "git": said("git", "--version").replace("git version", "Git"), "strace": strace}  # fmt: skip
