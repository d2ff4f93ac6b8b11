"""The guarantees, each with its tests and the number of cases that they run. Writes docs/guarantees.md.

    python scripts/guarantees.py                # the page, with the numbers as they were last counted
    python scripts/guarantees.py --count        # counts first: runs the quick form of each sweep (some minutes)

Numbers come from the tests: a sweep's quick form draws a sample, and what it draws from is all cases of the sweep;
other tests say in a constant how much they do, or are counted one by one. They are kept in `tests/guarantees.json`.
What is guaranteed stands in `guarantees_list.py`.
"""

import argparse
import json
import sys
import textwrap
from typing import Any

from guarantees_count import TOP, count
from guarantees_list import GUARANTEES

PAGE = TOP / "docs" / "guarantees.md"
COUNTS = TOP / "tests" / "guarantees.json"


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

What modelver promises, the test that shows it, and of how many cases that test is made. `scripts/guarantees.py` writes
this page; its numbers come from the tests. They were counted on {date} with Python {python}, {git} and {strace};
what is swept over system calls has a few more or fewer elsewhere.

**The numbers are the sizes of the whole sweeps.** CI, which runs `make test`, takes of each sweep a sample, drawn with
a fixed seed: the same one on every run. `make test-all` runs the whole. Tests on S3 run on a real server, OpenStack
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
