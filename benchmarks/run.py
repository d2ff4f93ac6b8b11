"""Measure modelver beside its peers, and write the table. `make bench` runs this.

python benchmarks/run.py                        everything, into benchmarks/README.md; some minutes, 8 GiB of disk
python benchmarks/run.py --rows tag,list        some rows, to standard output
python benchmarks/run.py --small --no-install   what CI runs: that it works, not how fast
"""

import argparse
import shlex
import shutil
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import report
from harness import BenchmarkError, Line, Sandbox
from inputs import MIB, Shape
from peers import prepare, versions
from rows import ROWS
from shared import Bench

FULL = {"big": Shape(64, 8 * MIB), "little": Shape(8, 8 * MIB), "tags": 10_000, "gto_tags": 1_000, "rounds": 5}
SMALL = {"big": Shape(8, MIB), "little": Shape(2, MIB), "tags": 200, "gto_tags": 20, "rounds": 2}

COPIES = 14
"""Copies of the model on the disk at the worst moment: sources, stores, remotes and working trees of all tools."""


def main() -> int:
    """Parse, measure, write; 0 done, 2 refused, 3 a command failed."""
    options = _options()
    picked = options.rows or list(ROWS)
    sizes = {**(SMALL if options.small else FULL), **({"rounds": options.rounds} if options.rounds else {})}
    parent = options.temp or Path(tempfile.gettempdir())
    if short := _disk_is_short(parent, sizes["big"].bytes):
        print(short, file=sys.stderr)
        return 2
    facts = report.machine(parent)
    box = Sandbox(parent)
    try:
        peers = prepare(box, install=not options.no_install)
        bench = Bench(box, peers, **sizes)
        lines: list[Line] = []
        for name in picked:
            start = time.perf_counter()
            lines += ROWS[name](bench)
            print(f"{name}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
        text = report.document(
            lines,
            command=_command(),
            date=datetime.now(UTC).strftime("%Y-%m-%d"),
            facts={**facts, "at the end": report.load()},
            versions=versions(box, peers),
            missing=peers.missing,
            what=_what(sizes),
        )
    except BenchmarkError as error:
        print(f"error: {error}", file=sys.stderr)
        return 3
    finally:
        box.close()
    if options.output is None:
        print(text, end="")
    else:
        options.output.write_text(text, encoding="utf-8")
        print(report.table(lines))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=_rows, metavar="NAME,…", help=f"of {', '.join(ROWS)}")
    parser.add_argument("--small", action="store_true", help="an 8 MiB model, 200 tags, 2 rounds")
    parser.add_argument("--rounds", type=int, metavar="N", help="alternating runs of each measurement")
    parser.add_argument("--no-install", action="store_true", help="compare only with tools that are installed")
    parser.add_argument("--temp", type=Path, metavar="DIR", help="work below DIR, on the file system to measure")
    parser.add_argument("--output", type=Path, metavar="FILE", help="where the table goes")
    options = parser.parse_args()
    if options.output is None and not options.small and not options.rows:
        options.output = Path(__file__).with_name("README.md")
    return options


def _rows(text: str) -> list[str]:
    names = {name.strip() for name in text.split(",")}
    unknown = sorted(names - {*ROWS})
    if unknown:
        raise argparse.ArgumentTypeError(f"no row {', '.join(unknown)}; there are {', '.join(ROWS)}")
    return [name for name in ROWS if name in names]


def _disk_is_short(parent: Path, model: int) -> str:
    needed = COPIES * model + 1024 * MIB
    free = shutil.disk_usage(parent).free
    if free >= needed:
        return ""
    return (
        f"error: {parent} has {free / (1 << 30):.1f} GiB free, and up to {needed / (1 << 30):.1f} GiB are needed\n"
        "hint: --temp DIR on a larger disk, or --small"
    )


def _command() -> str:
    return shlex.join(["python", "benchmarks/run.py", *sys.argv[1:]])


def _what(sizes: dict[str, object]) -> str:
    big = sizes["big"]
    assert isinstance(big, Shape)
    return (
        f"The work: an ONNX model of {big.label} in {big.tensors} MatMul tensors of {big.tensor_bytes // MIB} MiB, "
        f"whose v2 changes one tensor, and a repository of {sizes['tags']:,} version tags. Rounds: {sizes['rounds']}."
    )


if __name__ == "__main__":
    sys.exit(main())
