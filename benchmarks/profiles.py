"""Where the time of a command went, for rows that miss their budget."""

import pstats
import re
import sys
from pathlib import Path
from typing import Any

from harness import BenchmarkError, Sandbox


def calls(box: Sandbox, cwd: Path, arguments: list[str], limit: int = 14) -> str:
    """The functions in which ``modelver ARGUMENTS`` spent most time of their own, by cProfile."""
    target = box.root / "profile.out"
    said = _quietly(box, cwd, [sys.executable, "-m", "cProfile", "-o", str(target), "-m", "modelver", *arguments])
    if said:
        return said
    stats: Any = pstats.Stats(str(target))  # its stub lacks what it holds
    rows = sorted(stats.stats.items(), key=lambda item: item[1][2], reverse=True)
    lines = [f"total {stats.total_tt:.2f} s under cProfile"]
    for (file, line, name), (_, count, own, whole, _) in rows[:limit]:
        lines.append(f"{own:8.3f} s own {whole:8.3f} s with callees {count:8d} calls  {_place(file, line)} {name}")
    return "\n".join(lines)


def imports(box: Sandbox, cwd: Path, arguments: list[str], limit: int = 14) -> str:
    """The imports of ``modelver ARGUMENTS`` that cost most of their own, by ``-X importtime``."""
    said = box.run([sys.executable, "-X", "importtime", "-m", "modelver", *arguments], cwd).errors
    found = re.findall(r"import time:\s+(\d+) \|\s+(\d+) \|(\s+\S+)", said)
    whole = sum(int(own) for own, _, _ in found)
    lines = [f"{len(found)} modules, {whole / 1e6:.3f} s of imports"]
    for own, total, name in sorted(found, key=lambda item: int(item[0]), reverse=True)[:limit]:
        lines.append(f"{int(own) / 1e3:8.1f} ms own {int(total) / 1e3:8.1f} ms with what it imports  {name.strip()}")
    return "\n".join(lines)


def _quietly(box: Sandbox, cwd: Path, command: list[str]) -> str:
    """What went wrong, if anything."""
    try:
        box.run(command, cwd)
    except BenchmarkError as error:
        return f"no profile: {error}"
    return ""


def _place(file: str, line: int) -> str:
    for marker in ("site-packages/", "lib/python"):
        if marker in file:
            return f"{file.rpartition(marker)[2]}:{line}"
    place = file.rfind("modelver/")
    return f"{file[place:] if place >= 0 else file}:{line}" if line else ""
