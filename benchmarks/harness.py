"""Running commands side by side: seconds, peak memory, medians and ratios."""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO


class BenchmarkError(Exception):
    """A command that had to work did not; the message holds what it said."""


@dataclass(frozen=True)
class Run:
    """One measured run.

    Attributes:
        seconds: wall clock.
        peak: largest resident set of any one process of the tree, in bytes (``ru_maxrss``).
        output, errors: standard output and standard error.
    """

    seconds: float
    peak: int = 0
    output: str = ""
    errors: str = ""

    def __add__(self, other: "Run") -> "Run":
        return Run(
            self.seconds + other.seconds,
            max(self.peak, other.peak),
            self.output + other.output,
            self.errors + other.errors,
        )


Contestant = Callable[[int], Run]
"""Given the number of the round, do the work once; only what is inside the returned runs counts."""


class Sandbox:
    """A temporary folder with an environment of its own: no setting of the user's is read or changed.

    Attributes:
        root: the folder; removed by `close`.
        env: what commands see.
    """

    def __init__(self, parent: Path | None) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="modelver-bench-", dir=parent))
        home = self.root / "home"
        home.mkdir()
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("GIT_", "DVC_", "XDG_", "PYTHON"))}
        self.env: dict[str, str] = {
            **kept,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "HOME": str(home),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "DVC_NO_ANALYTICS": "1",
            "DVC_GLOBAL_CONFIG_DIR": str(home),
            "DVC_SYSTEM_CONFIG_DIR": str(home),
            "DVC_SITE_CACHE_DIR": str(home / "dvc-site"),
            "LC_ALL": "C.UTF-8",
            "NO_COLOR": "1",
        }
        settings = {"user.name": "Bench", "user.email": "bench@example.com", "init.defaultBranch": "main"}
        for key, value in {**settings, "advice.detachedHead": "false", "gc.auto": "0"}.items():
            self.run(["git", "config", "--global", key, value], self.root)

    def run(self, command: Sequence[str], cwd: Path, *, stdin: bytes = b"") -> Run:
        """Run a command to its end.

        Raises:
            BenchmarkError: it ended with another status than 0, or is not there.
        """
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            given.write(stdin)
            given.seek(0)
            start = time.perf_counter()
            try:
                process = subprocess.Popen(command, cwd=cwd, env=self.env, stdin=given, stdout=out, stderr=err)
            except OSError as error:
                raise BenchmarkError(f"{command[0]}: {error.strerror}") from None
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - start
            process.returncode = os.waitstatus_to_exitcode(status)
            output, errors = _text(out), _text(err)
        if process.returncode != 0:
            said = "\n".join((output + errors).strip().splitlines()[-6:])
            raise BenchmarkError(f"{' '.join(command)} (in {cwd.name}) ended with {process.returncode}:\n{said}")
        return Run(seconds, usage.ru_maxrss * 1024, output, errors)

    def remove(self, path: Path) -> None:
        """Remove a folder of the sandbox, read-only objects in caches included."""
        if path.is_relative_to(self.root):
            shutil.rmtree(path, ignore_errors=True)

    def close(self) -> None:
        """Remove everything."""
        shutil.rmtree(self.root, ignore_errors=True)


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode("utf-8", "replace")


def alternate(contestants: Mapping[str, Contestant], rounds: int) -> dict[str, list[Run]]:
    """Run the contestants in turn, ``rounds`` times; who goes first changes from round to round."""
    names = list(contestants)
    found: dict[str, list[Run]] = {name: [] for name in names}
    for number in range(rounds):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            found[name].append(contestants[name](number))
    return found


@dataclass(frozen=True)
class Spread:
    """Median, least and greatest of some numbers."""

    median: float
    least: float
    greatest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Of at least one number."""
        return cls(statistics.median(values), min(values), max(values))

    def text(self, unit: str = "") -> str:
        """As ``1.23 s (1.20–1.31)``."""
        digits = 3 if self.median < 1 else 2
        least, median, greatest = (f"{v:.{digits}f}" for v in (self.least, self.median, self.greatest))
        return f"{median}{unit} ({least}–{greatest})"


def seconds(runs: Sequence[Run]) -> Spread:
    """The spread of the wall clock."""
    return Spread.of([run.seconds for run in runs])


def ratios(runs: Sequence[Run], base: Sequence[Run]) -> Spread:
    """The spread of the ratios, each of two runs of one round."""
    return Spread.of([a.seconds / b.seconds for a, b in zip(runs, base, strict=True)])


def differences(runs: Sequence[Run], base: Sequence[Run]) -> Spread:
    """The spread of the differences in seconds, each of two runs of one round."""
    return Spread.of([a.seconds - b.seconds for a, b in zip(runs, base, strict=True)])


@dataclass(frozen=True)
class Line:
    """One line of the table.

    Attributes:
        row: the row's name, as for ``--rows``.
        what: what was done, by whom.
        value: what was measured, for people.
        ratio: the ratio or difference that the budget speaks of; empty where there is none.
        budget: the budget in words; empty for peers.
        met: whether the budget was held; None where there is none.
        profile: where it was missed: what the time went into.
    """

    row: str
    what: str
    value: str
    ratio: str = ""
    budget: str = ""
    met: bool | None = None
    profile: str = field(default="", compare=False)

    @property
    def verdict(self) -> str:
        """``met``, ``missed`` or nothing."""
        return {True: "met", False: "**missed**", None: ""}[self.met]
