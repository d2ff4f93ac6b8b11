"""The guarantees, each with its tests and the number of cases that they run. Writes docs/guarantees.md.

    python scripts/guarantees.py                # the page, with the numbers as they were last counted
    python scripts/guarantees.py --count        # counts first: runs the quick form of each sweep (some minutes)

Numbers come from the tests: a sweep's quick form draws a sample, and what it draws from is all cases of the sweep;
other tests say in a constant how much they do, or are counted one by one. They are kept in `tests/guarantees.json`.
"""

import argparse
import json
import platform
import random
import re
import subprocess
import sys
import textwrap
from collections import defaultdict
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest

TOP = Path(__file__).resolve().parents[1]
PAGE = TOP / "docs" / "guarantees.md"
COUNTS = TOP / "tests" / "guarantees.json"

_SAMPLE = "sample of "
_OPTIONS = ("-p", "no:cacheprovider", "--rootdir", str(TOP))


@dataclass(frozen=True)
class Proof:
    """A test.

    Attributes:
        test: ``FILE::FUNCTION`` below ``tests/``.
        what: one case of it, in the plural.
        cases: how many: an expression over the names of its module; ``sample of FUNCTION``: what that one draws from;
            nothing: the tests that pytest makes of the function.
    """

    test: str
    what: str
    cases: str = ""


@dataclass(frozen=True)
class Guarantee:
    """A sentence that holds, and what shows it."""

    number: int
    sentence: str
    proofs: tuple[Proof, ...]
    remark: str = ""


GUARANTEES = (
    Guarantee(
        1,
        "Every object of a published tag was read back from the DVC remote and had the right bytes before the tag went "
        "out; where one is missing, cut short or flipped, the tag does not appear on the Git remote.",
        (
            Proof(
                "faults/test_push_storage.py::test_every_harm",
                "ways to harm an object, on a folder and on S3, with and without a whole cache",
                "2 * 3 * len(HARMS) * 2",
            ),
            Proof(
                "faults/test_push_storage.py::test_a_bit_that_flips_on_the_disk_of_the_storage",
                "bit flipped on the disk of the S3 server",
            ),
        ),
    ),
    Guarantee(
        2,
        "A killed `tag`, `push`, `promote`, `rollback` or `gc` leaves the old state or the whole new one.",
        (
            Proof(
                "faults/test_kill_sweep.py::test_every_point",
                "system calls at which `tag` is killed",
                "sample of test_sampled_points",
            ),
            Proof("faults/test_push_kill.py::test_every_point", "at which `push` is", "sample of test_sampled_points"),
            Proof(
                "faults/test_kill_promote.py::test_every_point",
                "at which `promote` and `rollback` are",
                "sample of test_sampled_points",
            ),
            Proof(
                "faults/test_gc_kill.py::test_every_point",
                "at which `gc` and `backup` are",
                "sample of test_sampled_points",
            ),
            Proof("faults/test_get_kill.py::test_every_point", "at which `get` is", "sample of test_sampled_points"),
        ),
    ),
    Guarantee(
        3,
        "The rerun after a kill finishes, with no cleaning by hand.",
        (
            Proof(
                "faults/test_kill_sweep.py::test_every_point",
                "kills, each followed by the command once more",
                "sample of test_sampled_points",
            ),
            Proof("faults/test_push_kill.py::test_every_point", "of `push`", "sample of test_sampled_points"),
            Proof(
                "faults/test_kill_promote.py::test_every_point",
                "of `promote` and `rollback`",
                "sample of test_sampled_points",
            ),
            Proof("faults/test_gc_kill.py::test_every_point", "of `gc` and `backup`", "sample of test_sampled_points"),
        ),
    ),
    Guarantee(
        4,
        "Of 8 people in 3 clones who tag the same version exactly one wins; the others' commands fail, and their "
        "clones keep no tag.",
        (Proof("faults/test_push_race.py::test_many_rounds", "rounds", "ROUNDS"),),
    ),
    Guarantee(
        5,
        "`verify` finds a published tag that was moved or deleted, and names what it was and what it is.",
        (
            Proof(
                "faults/test_verify_moved_tags.py::test_a_moved_tag_is_found_and_put_back_by_the_hint",
                "ways to move a tag",
            ),
            Proof(
                "faults/test_verify_moved_tags.py::test_a_deleted_tag_is_found_and_made_again_by_the_hint",
                "deleted tags",
            ),
        ),
    ),
    Guarantee(
        6,
        "`git checkout` and `get` give the recorded bytes, or fail and leave everything as it was.",
        (
            Proof(
                "faults/test_checkout_bits.py::test_every_bit",
                "bits flipped in DVC's cache",
                "sample of test_sampled_bits",
            ),
            Proof(
                "faults/test_get_bits.py::test_every_bit_on_the_remote",
                "on the remote",
                "sample of test_sampled_bits_on_the_remote",
            ),
            Proof(
                "faults/test_get_bits.py::test_every_bit_in_the_cache",
                "in the consumer's cache",
                "sample of test_sampled_bits_in_the_cache",
            ),
        ),
    ),
    Guarantee(
        7,
        "Work that is not committed is never overwritten without `--force`.",
        (
            Proof("operations/test_restore.py::test_a_changed_file_is_kept_and_named", "changed file"),
            Proof(
                "operations/test_restore.py::test_an_untracked_file_where_the_version_has_one_is_kept", "untracked file"
            ),
            Proof(
                "operations/test_restore.py::test_a_folder_with_own_files_does_not_become_a_file", "folder of one's own"
            ),
            Proof("operations/test_restore.py::test_restore_paths_removes_a_stray_file_by_force_only", "stray file"),
        ),
    ),
    Guarantee(
        8,
        "`gc` never removes what a tag, a branch, a stash, a working tree or a young reflog entry needs, also while "
        "somebody publishes.",
        (
            Proof(
                "faults/test_gc_machine.py::test_many_lives_of_a_repository",
                "steps in lives of a repository",
                r"product of max_examples=(\d+), stateful_step_count=(\d+), database",
            ),
        ),
    ),
    Guarantee(
        9,
        "A full disk loses no file of the user's and leaves no rubbish.",
        (
            Proof(
                "faults/test_guard_full_disk.py::test_every_size_of_room", "commands on disks with 0 to 768 KiB of room"
            ),
            Proof("disk/test_files.py::test_a_full_disk_leaves_the_old_content", "write"),
            Proof("operations/test_restore.py::test_a_full_disk_leaves_the_out_as_it_was", "checkout"),
            Proof("faults/test_get_kill.py::test_a_full_disk", "`get`s"),
        ),
        "Not taken back is what DVC's own `add` has done for a plain model when the disk gets full: its pointer and\n"
        "its line in `.gitignore`. The rerun takes them over.",
    ),
    Guarantee(
        10,
        "With a DVC remote that fails every n-th request by 503, reset or truncation, or whose storage is killed "
        "midway, `push` publishes the whole version, or fails and no tag goes out.",
        (
            Proof(
                "faults/test_push_failing.py::test_every_nth_request_fails",
                "ways to fail: three kinds, n from 1 to 20",
                "len(CASES)",
            ),
            Proof("faults/test_push_failing.py::test_storage_killed_midway", "storage killed"),
        ),
    ),
    Guarantee(
        11,
        "Any single flipped bit of weights, sidecar, manifests, pointers or lock file is found.",
        (
            Proof(
                "faults/test_checkout_bits.py::test_every_bit",
                "bits of weights, found before they land",
                "sample of test_sampled_bits",
            ),
            Proof(
                "faults/test_verify_flipped_bits.py::test_every_flipped_bit_is_found",
                "bits of sidecars, manifests, pointers and `dvc.lock`, with the tag's message kept and forged anew",
                "sample of test_a_flipped_bit_of_a_sample_is_found",
            ),
        ),
    ),
    Guarantee(
        12,
        "Nothing is written outside of the repository, its caches and its remotes, whatever a repository holds.",
        (
            Proof(
                "faults/test_guard_paths.py::test_every_hostile_repository",
                "commands on hostile repositories, every path that they change looked at",
                "cases()",
            ),
            Proof(
                "faults/test_guard_paths.py::test_what_only_answers_runs_nothing_of_a_copied_configuration",
                "configuration of Git's that names programs",
            ),
            Proof(
                "faults/test_get_hostile.py::test_outs_elsewhere",
                "tests of `get` from repositories that mean harm",
                "tests of the file",
            ),
        ),
    ),
    Guarantee(
        13,
        "No code of a model and no pickle runs but in the stages that a user starts.",
        (
            Proof(
                "faults/test_guard_code.py::test_nothing_of_the_repository_runs",
                "commands in a repository full of traps, each Python process with an audit hook",
                "cases()",
            ),
        ),
    ),
    Guarantee(
        14,
        "No input gives a traceback, takes 10 seconds or a gibibyte of memory.",
        (
            Proof(
                "fuzz/test_fuzz.py::test_two_minutes",
                "readers, fuzzed for two minutes in CI, for an hour by `make fuzz`",
                "len(TARGETS)",
            ),
            Proof("fuzz/test_fuzz.py::test_what_was_found_once", "inputs that were found once"),
            Proof(
                "faults/test_hostile_documents.py::test_as_a_sidecar",
                "documents made by hand",
                "len(DOCUMENTS) + len(JSON_DOCUMENTS)",
            ),
        ),
        "The last long run was one of 45 minutes with atheris on a busy machine, on 2026-11-21: 986,221 inputs to 21\n"
        "readers. It found four ways to confuse what edits `dvc.yaml`, mended since; they are in `tests/fuzz/corpus`.",
    ),
    Guarantee(
        15,
        "Secrets never reach tags, sidecars, logs, errors or reports.",
        (
            Proof(
                "faults/test_guard_secrets.py::test_nothing_that_is_said",
                "command lines, those that fail too; all that they say and leave behind is searched",
                "cases()",
            ),
        ),
    ),
)


def page(counts: dict[str, Any]) -> str:
    """The page."""
    lines = [_HEAD.format(**counts["with"])]
    for one in GUARANTEES:
        lines += [f"\n## Guarantee {one.number}\n", *textwrap.wrap(one.sentence, 120)]
        lines += ["", "| test | cases | |", "|---|---:|---|"]
        for proof in one.proofs:
            number = counts["cases"].get(proof.test)
            said = "not counted yet" if number is None else f"{number:,}"
            file, name = proof.test.split("::")
            lines.append(f"| [`{file}::{name}`](../tests/{file}) | {said} | {proof.what} |")
        if one.remark:
            lines.append(f"\n{one.remark}")
    return "\n".join(lines) + "\n" + _TAIL


def readme() -> str:
    """The sentences, as the README has them."""
    items = [textwrap.wrap(f"{one.number}. {one.sentence}", 118, subsequent_indent="    ") for one in GUARANTEES]
    return "".join(f"{line}\n" for item in items for line in item)


_HEAD = """\
# Guarantees

What modelver promises, the test that shows it, and how many cases that test runs. `scripts/guarantees.py` writes this
page; its numbers come from the tests. They were counted on {date} with Python {python}, {git} and {strace};
what is swept over system calls has a few more or fewer elsewhere.

`make test` runs a seeded sample of each sweep, `make test-all` the whole. Tests on S3 run on a real server, OpenStack
Swift."""

_TAIL = """
## Where the line is

**Git's own configuration is trusted, as Git trusts it.** A clone never brings a `.git/config` along; a folder that was
copied with its `.git` does (an archive, a CI cache). Git itself runs what stands there: hooks, `core.sshCommand`,
credential helpers, filters, `gpg.program`. People need these to work, husky's hooks, Git LFS's filters, a company's
credential helper, and `git` in the same folder would run them anyway. So modelver runs them where Git needs them:
hooks when refs move, the transport when a remote is asked, a filter when Git compares a changed file, the signing
program when a tag is signed or its signature looked at. Three things differ:

- `core.fsmonitor` is always off: it only makes `git status` faster, and names a program.
- A folder within a clone that looks like a bare repository is not entered (`safe.bareRepository=explicit`): that one a
  clone does bring along, with its configuration.
- Nothing that ties Git to another repository is taken from the environment (`GIT_DIR`, `GIT_INDEX_FILE`,
  `GIT_CONFIG_COUNT` and their like).

Commands that only answer about what is on this machine (`list`, `show`, `diff`, `log`, `status`, `check`, `verify`)
run none of it, but for the signing program where a tag is signed. `get --repo` and `load` work in a Git directory of
modelver's own, and take over neither hooks nor configuration.

**A repository may name its DVC remote**, and `push` writes there; that is what it is asked for. A DVC cache outside of
the repository that only the repository names is written to if it is a DVC cache already, and then only by adding
objects under the names of their hashes.

**Stages run code.** `modelver stage export` unpickles the framework's file, `stage validate` runs the model, metrics
of your own and what `dvc.yaml` says; `dvc repro` starts them. Nothing else does.

**Nothing is told to anybody.** onnxruntime's wheels for Linux report to their maker as soon as they are imported;
modelver turns that off (`ORT_DISABLE_TELEMETRY=0` turns it on), and starts DVC without its analytics.

**Secrets that are in Git are in Git.** `modelver init --remote` refuses a URL with a password; one that somebody wrote
into `.dvc/config` by hand and committed is in the history, and in a backup of it.
"""


def count() -> dict[str, Any]:
    """Run the quick form of every sweep and count."""
    counter = _collect()
    for name in sorted({_sampled(proof) for proof in _proofs() if proof.cases.startswith(_SAMPLE)}):
        if name in counter.collected:
            pytest.main(["-q", *_OPTIONS, *counter.nodes[name]], plugins=[counter])
    found = {proof.test: number for proof in _proofs() if (number := _cases(proof, counter)) is not None}
    return {"with": _versions(), "cases": found}


def declared() -> dict[str, int | None]:
    """The numbers that stand in the tests, without running any."""
    counter = _collect()
    return {proof.test: _cases(proof, counter) for proof in _proofs() if not proof.cases.startswith(_SAMPLE)}


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
    return f"{proof.test.split('::')[0]}::{proof.cases.removeprefix(_SAMPLE)}"


def _cases(proof: Proof, counter: "_Counter") -> int | None:
    file = proof.test.split("::")[0]
    if not counter.collected.get(proof.test):
        return None
    if proof.cases.startswith(_SAMPLE):
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


def main() -> int:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", action="store_true")
    if parser.parse_args().count:
        COUNTS.write_text(json.dumps(count(), indent=2) + "\n")
    PAGE.write_text(page(json.loads(COUNTS.read_text())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
