"""The table, and what a reader must know to judge it."""

import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness import Line

HEADER = "| row | work | median (least–greatest) | ratio or difference | budget | |"
RULE = "|---|---|---|---|---|---|"


def table(lines: Sequence[Line]) -> str:
    """The lines as a Markdown table."""
    rows = [
        "| " + " | ".join((line.row, line.what, line.value, line.ratio, line.budget, line.verdict)) + " |"
        for line in lines
    ]
    return "\n".join([HEADER, RULE, *rows])


def machine(folder: Path) -> dict[str, str]:
    """Processor, cores, memory, kernel, and the file system below ``folder``."""
    return {
        "processor": _first("/proc/cpuinfo", "model name") or platform.processor(),
        "cores": str(os.cpu_count()),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / (1 << 30):.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "file system": _filesystem(folder),
        "load at the start": load(),
    }


def load() -> str:
    """Processes that wanted a core, over the last minute: above the number of cores, times and ratios widen."""
    return f"{os.getloadavg()[0]:.1f}"


def document(
    lines: Sequence[Line],
    *,
    command: str,
    date: str,
    facts: Mapping[str, str],
    versions: Mapping[str, str],
    missing: Mapping[str, str],
    what: str,
) -> str:
    """The whole of ``benchmarks/README.md``."""
    judged = [line for line in lines if line.met is not None]
    missed = [line for line in judged if not line.met]
    parts = [
        "# Benchmarks",
        f"Written by `{command}` on {date}; do not edit. {what}",
        "Each row was measured in one run, modelver and the others in turn, on the same files. A ratio is of two runs "
        "of the same round; given are the median and, in parentheses, the least and the greatest. Memory is the "
        "largest resident set of any process that the command started.",
        "Machine: " + "; ".join(f"{key} {value}" for key, value in facts.items()) + ".",
        "Versions: " + ", ".join(f"{key} {value}" for key, value in versions.items()) + ".",
        f"**{len(judged) - len(missed)} of {len(judged)} budgets met.**",
        table(lines),
    ]
    if missing:
        parts += ["Not run:", "\n".join(f"- {name}: {why}" for name, why in missing.items())]
    profiled = [line for line in lines if line.profile]
    if profiled:
        parts.append("## Where the time went, in rows that missed their budget")
        parts += [f"### {line.what}\n\n```text\n{line.profile}\n```" for line in profiled]
    return "\n\n".join(parts) + "\n"


def _first(file: str, key: str) -> str:
    try:
        for line in Path(file).read_text().splitlines():
            if line.startswith(key):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return ""


def _filesystem(folder: Path) -> str:
    """The type of the mount that ``folder`` lies on."""
    place = folder.resolve()
    best, found = Path(), "unknown"
    for line in Path("/proc/mounts").read_text().splitlines():
        _, mount, kind, *_ = line.split(" ")
        if place.is_relative_to(mount) and len(mount) >= len(str(best)):
            best, found = Path(mount), kind
    return found
