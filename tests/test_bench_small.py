"""The benchmarks at a small size: that they run, and that their table is one. Never a time: that is `make bench`."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROWS = {"startup", "list", "add", "export", "tag", "storage", "diff", "checkout", "release"}


def bench(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "run.py"), *options], capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("bench")
    target = folder / "README.md"
    work = folder / "work"
    work.mkdir()
    done = bench("--small", "--rounds", "1", "--no-install", "--temp", str(work), "--output", str(target))
    assert done.returncode == 0, done.stderr
    assert list(work.iterdir()) == []
    return target.read_text("utf-8")


def cells(document: str) -> list[list[str]]:
    lines = [line for line in document.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_table_is_well_formed(document: str) -> None:
    header, rule, *rows = cells(document)
    assert {len(row) for row in (header, rule, *rows)} == {6}
    assert set(rule) == {"---"}
    assert {row[0] for row in rows} == ROWS
    for row, work, value, _, budget, verdict in rows:
        assert work, row
        assert re.search(r"\d", value), row
        assert verdict in {"met", "**missed**", ""}
        assert bool(budget) == bool(verdict)


def test_each_budget_is_judged(document: str) -> None:
    judged = [(row, budget) for row, _, _, _, budget, _ in cells(document)[2:] if budget]
    assert {row for row, _ in judged} == ROWS - {"release"}
    stated = re.search(r"\*\*(\d+) of (\d+) budgets met", document)
    assert stated
    assert int(stated[2]) == len(judged)
    assert int(stated[1]) == document.count("| met |")


def test_says_what_machine_and_versions(document: str) -> None:
    for word in ("--small", "processor", "memory", "kernel", "file system", "Git ", "dvc ", "modelver "):
        assert word in document


def test_storage_grows_by_the_changed_tensor(document: str) -> None:
    """Bytes do not depend on the machine; at 1 MiB a tensor the manifests weigh more than at 8."""
    (ours,) = [row for row in cells(document) if row[0] == "storage" and row[1].startswith("modelver, ONNX")]
    grown = [float(text) for text in re.findall(r"\+([\d.]+) MiB", ours[2])]
    assert all(1.0 <= size < 1.1 for size in grown)


def test_unknown_row() -> None:
    done = bench("--rows", "nope")
    assert done.returncode == 2
    assert "no row nope" in done.stderr


def test_disk_too_small(tmp_path: Path) -> None:
    shim = tmp_path / "shim.py"
    shim.write_text(
        "import runpy, shutil, sys\n"
        "usage = shutil.disk_usage\n"
        "shutil.disk_usage = lambda path: usage(path)._replace(free=1 << 20)\n"
        f"sys.path.insert(0, {str(ROOT / 'benchmarks')!r})\n"
        "sys.argv = ['run.py', '--small']\n"
        f"runpy.run_path({str(ROOT / 'benchmarks' / 'run.py')!r}, run_name='__main__')\n"
    )
    done = subprocess.run([sys.executable, str(shim)], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "GiB free" in done.stderr
    assert "--temp" in done.stderr
