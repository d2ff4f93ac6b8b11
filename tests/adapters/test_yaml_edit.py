"""Editing people's YAML files: what is not meant to change keeps its bytes."""

from pathlib import Path
from typing import Any

import pytest

from modelver.adapters import yaml

FLAT = "# ours\nstages:\n  train:\n    deps:\n    - code.py   # the code\n    - 'data'\nx: \"1.10\"\n"
DEEP = "stages:\n  train:\n    deps:\n      - code.py\n      - data\n"


def _nothing(_: Any) -> None:
    return


@pytest.mark.parametrize(
    "text", ["", FLAT, DEEP, FLAT.replace("\n", "\r\n"), "a:   1 # odd   spacing\n\n\nb: [ 1,2 ]\n"]
)
def test_an_edit_that_changes_nothing_keeps_every_byte(tmp_path: Path, text: str) -> None:
    path = tmp_path / "f.yaml"
    path.write_bytes(text.encode())
    assert yaml.edit(path, _nothing) == text.encode()


@pytest.mark.parametrize("text", [FLAT, DEEP, FLAT.replace("\n", "\r\n")])
def test_an_edit_adds_in_the_files_own_layout(tmp_path: Path, text: str) -> None:
    path = tmp_path / "f.yaml"
    path.write_bytes(text.encode())

    def add(document: Any) -> None:
        document["stages"]["train"]["deps"].append("more.py")

    end = "\r\n" if "\r\n" in text else "\n"
    lines = text.split(end)
    last = max(n for n, line in enumerate(lines) if line.lstrip().startswith("- "))
    indent = lines[last][: len(lines[last]) - len(lines[last].lstrip())]
    expected = [*lines[: last + 1], f"{indent}- more.py", *lines[last + 1 :]]
    assert yaml.edit(path, add).decode() == end.join(expected)


def test_a_new_file_is_written_in_block_style(tmp_path: Path) -> None:
    def add(document: Any) -> None:
        document["models"] = {"a": {"path": "x"}}

    assert yaml.edit(tmp_path / "none.yaml", add) == b"models:\n  a:\n    path: x\n"
