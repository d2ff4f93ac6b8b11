"""Fuzzing of all readers: ``python tests/fuzz/run.py --minutes 60 [--seed N] [--target NAME]``.

Every target runs in processes of its own, one slice of time after the other. What counts as found: any exception but
ModelverError, 10 s of the processor's time or 60 s of the clock for one input, 1 GiB of memory more than before it, a
process that dies. Inputs found are kept in ``--out``, and run again by ``--input FILE --target NAME``.

With atheris installed, libFuzzer's coverage guides the same mutations; without it they are random.
"""

import argparse
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

for folder in (Path(__file__).parent, Path(__file__).parents[1], Path(__file__).parents[1] / "formats"):
    sys.path.insert(0, str(folder))  # fuzz_targets; onnx_models
sys.path.insert(0, str(Path(__file__).parents[2]))

SECONDS = 10
"""Of the processor, that one input may take."""
CLOCK = 60
"""Seconds of the clock, for what waits; a machine with other work is no fault of an input's."""
MEMORY = 1 << 30
"""Bytes that one input may take."""
CORPUS = Path(__file__).parent / "corpus"
"""Inputs that were found once: ``TARGET/NAME``. They are run first."""


class Hang(BaseException):
    """An input took too long."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=2)
    parser.add_argument("--seed", type=int, default=None, help="of the first slice; nothing: drawn, and printed")
    parser.add_argument("--target", action="append", help="one of them; may be repeated; nothing: all")
    parser.add_argument("--engine", choices=("atheris", "plain"), default=None)
    parser.add_argument("--out", type=Path, default=Path(".fuzz"), help="where inputs are kept that were found")
    parser.add_argument("--input", type=Path, help="run this one input, with the traceback")
    parser.add_argument("--child", type=float, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.input:
        return _once(args.target[0], args.input.read_bytes())
    if args.child:
        return _child(args.target[0], args.child, args.seed, args.engine, args.out)
    seed = random.SystemRandom().randrange(1 << 31) if args.seed is None else args.seed
    result = fuzz(args.target, args.minutes * 60, seed, args.engine, args.out.resolve(), print)
    print(json.dumps({key: value for key, value in result.items() if key != "found"}))
    for finding in result["found"]:
        print(finding)
    return 1 if result["found"] else 0


def fuzz(
    names: list[str] | None, seconds: float, seed: int, engine: str | None, out: Path, say: Callable[[str], object]
) -> dict[str, Any]:
    """Run targets in turn for a time; the same seed and engine give the same inputs, as far as time lets them run.

    Returns:
        ``{"seed", "engine", "inputs", "by_target": {name: inputs}, "found": [text]}``.
    """
    from fuzz_targets import TARGETS

    chosen = names or list(TARGETS)
    engine = engine or ("atheris" if _has_atheris() else "plain")
    out.mkdir(parents=True, exist_ok=True)
    turns = max(1, round(seconds / len(chosen) / 120))  # long runs go round, so that one cut short has seen everything
    slice_ = max(1.0, seconds / len(chosen) / turns)
    inputs = dict.fromkeys(chosen, 0)
    found: list[str] = []
    say(f"seed {seed}, {engine}, {len(chosen)} targets, {turns} turns of {slice_:.0f} s each")
    for turn in range(turns):
        for number, name in enumerate(chosen):
            count, new = _slice(name, slice_, (seed + turn * 1000 + number) % (1 << 31), engine, out)
            inputs[name] += count
            found += new
            say(f"{name}: {count} inputs" + "".join(f"\n  {line}" for line in new))
    return {"seed": seed, "engine": engine, "inputs": sum(inputs.values()), "by_target": inputs, "found": found}


def _has_atheris() -> bool:
    import importlib.util

    return importlib.util.find_spec("atheris") is not None


def _slice(name: str, seconds: float, seed: int, engine: str, out: Path) -> tuple[int, list[str]]:
    """One process; what a dead one was at is found by the file that holds its input."""
    scratch = out / f"{name}.{seed}"
    scratch.mkdir(exist_ok=True)
    command = [sys.executable, __file__, "--child", str(seconds), "--target", name, "--seed", str(seed)]
    command += ["--engine", engine, "--out", str(scratch)]
    env = {**os.environ, "TMPDIR": str(scratch), "PYTHONDONTWRITEBYTECODE": "1", "OPENBLAS_NUM_THREADS": "1"}
    died = ""
    with (scratch / "log").open("wb") as log:
        child = subprocess.Popen(command, env=env, stdout=log, stderr=log, cwd=scratch)
        deadline = time.monotonic() + seconds + 120
        while child.poll() is None:
            time.sleep(0.05)
            current = scratch / "current"
            stuck = current.exists() and time.time() - current.stat().st_mtime > CLOCK + 30
            if stuck or time.monotonic() > deadline:
                child.kill()
                died = "hangs where Python can't interrupt it"
    if not died and child.returncode != 0:
        died = f"the process died with status {child.returncode}"
    found = [(path.read_text().strip(), path.with_suffix(".input")) for path in sorted(scratch.glob("*.found"))]
    if died and not any("hangs" in what for what, _ in found):
        last = scratch / "current"
        found.append((f"{died}: {(scratch / 'log').read_text('utf-8', 'replace')[-600:]}", last))
    kept = []
    for number, (what, path) in enumerate(found):
        keep = out / f"{name}.{seed}.{number}.input"
        if path.exists():
            path.replace(keep)
        kept.append(f"{name}: {what} ({keep})")
    count = scratch / "count"
    inputs = int(count.read_text() or 0) if count.exists() else 0
    subprocess.run(["rm", "-rf", str(scratch)], check=False)
    return inputs, kept


def _child(name: str, seconds: float, seed: int, engine: str, scratch: Path) -> int:
    if engine == "atheris":
        import atheris

        with atheris.instrument_imports(include=["modelver"]):
            _import_all()
    from fuzz_targets import TARGETS

    target = TARGETS[name]
    seeds = list(target.seeds())
    for data in seeds:  # also loads what is loaded on the way, before memory is counted
        target.call(data)
    one = Watched(name, target.call, scratch)
    for path in sorted((CORPUS / name).glob("*")):
        one(path.read_bytes())
        seeds.append(path.read_bytes())
    if engine == "atheris":
        _atheris(one, target.mutate, seeds, seconds, seed, scratch)
    rng = random.Random(seed)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        one(target.mutate(rng.choice(seeds), rng))
    one.close()
    return 0


def _atheris(one: "Watched", mutate: Any, seeds: list[bytes], seconds: float, seed: int, scratch: Path) -> None:
    import atexit

    import atheris

    def mutator(data: bytes, max_size: int, number: int) -> bytes:
        rng = random.Random(number)
        if rng.random() < 0.3:
            return bytes(atheris.Mutate(data, max_size))
        return bytes(mutate(data, rng))[:max_size]

    corpus = scratch / "corpus"
    corpus.mkdir()
    for number, data in enumerate(seeds):
        (corpus / str(number)).write_bytes(data)
    size = max(map(len, seeds)) * 4 + 4096
    atexit.register(one.close)
    options = [f"-max_total_time={max(1, round(seconds))}", f"-seed={seed or 1}", f"-max_len={size}", "-rss_limit_mb=0"]
    atheris.Setup(["fuzz", *options, "-timeout=0", "-print_final_stats=0", str(corpus)], one, custom_mutator=mutator)
    atheris.Fuzz()


def _import_all() -> None:
    """What the targets read with, so that it is instrumented."""
    import modelver.adapters.dvc.cache
    import modelver.adapters.dvc.foreign
    import modelver.cli.render_diff
    import modelver.cli.show
    import modelver.core.backup
    import modelver.core.client
    import modelver.core.validation_settings
    import modelver.formats.golden
    import modelver.formats.onnx_cost
    import modelver.formats.onnx_describe
    import modelver.formats.onnx_join
    import modelver.formats.onnx_split
    import modelver.formats.remeasure
    import modelver.formats.safetensors
    import modelver.operations.facts
    import modelver.operations.known_tags  # noqa: F401


class Watched:
    """A reader under watch: of time, of memory, of exceptions. The same fault is kept once."""

    def __init__(self, name: str, call: Callable[[bytes], None], scratch: Path) -> None:
        self._name, self._call, self._scratch = name, call, scratch
        self._seen: set[str] = set()
        self._current = os.open(scratch / "current", os.O_RDWR | os.O_CREAT, 0o644)
        self._inputs = 0
        signal.signal(signal.SIGPROF, _hang)
        signal.signal(signal.SIGALRM, _hang)
        pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else 0
        if pages:
            limit = pages * resource.getpagesize() + MEMORY
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    def __call__(self, data: bytes) -> None:
        os.ftruncate(self._current, 0)
        os.pwrite(self._current, data, 0)
        self._inputs += 1
        if self._inputs % 100 == 1:
            self._count()
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        signal.setitimer(signal.ITIMER_REAL, CLOCK)
        try:
            run_one(self._call, data)
        except BaseException as error:
            self._stop()
            self._keep(data, error)
        finally:
            self._stop()

    def close(self) -> None:
        self._count()

    def _stop(self) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)

    def _count(self) -> None:
        (self._scratch / "count").write_text(str(self._inputs))

    def _keep(self, data: bytes, error: BaseException) -> None:
        frames = [f for f in traceback.extract_tb(error.__traceback__) if "/modelver/" in f.filename]
        place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"
        what = f"{type(error).__name__} at {place}: {str(error)[:300]}"
        kind = f"{type(error).__name__} {place}"
        if kind in self._seen:
            return
        self._seen.add(kind)
        keep = self._scratch / f"{len(self._seen)}.found"
        keep.write_text(what.encode("ascii", "backslashreplace").decode())
        keep.with_suffix(".input").write_bytes(data)


def run_one(call: Callable[[bytes], None], data: bytes) -> None:
    """Read one input; an error in modelver's words is an answer."""
    from modelver.errors import ModelverError

    try:
        call(data)
    except ModelverError as error:
        if not error.message:
            raise AssertionError("an error without a word") from error


def _hang(number: int, _: object) -> None:
    raise Hang(f"more than {SECONDS if number == signal.SIGPROF else CLOCK} s")


def _once(name: str, data: bytes) -> int:
    from fuzz_targets import TARGETS

    run_one(TARGETS[name].call, data)
    return 0


if __name__ == "__main__":
    sys.exit(main())
