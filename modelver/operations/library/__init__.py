"""The library: what `modelver.open` gives. The command line calls the same verbs.

Each topic is a class of its own, and `Repository` is all of them. A method only hands its arguments to the verb's own
module, which it imports when it is called: `modelver list` must not pay for what `tag` needs.
"""

from pathlib import Path

from modelver.operations.library.decides import Decides
from modelver.operations.library.keeps import Keeps
from modelver.operations.library.makes import Makes
from modelver.operations.library.publishes import Publishes
from modelver.operations.library.reads import Reads
from modelver.operations.project import Project

__all__ = ["Repository", "open"]


def open(path: str | Path = ".") -> "Repository":
    """Open the modelver repository around ``path``.

    Raises:
        Refused: there is no Git repository with a working tree.
    """
    return Repository(Project.open(path))


class Repository(Reads, Makes, Publishes, Decides, Keeps):
    """A Git + DVC repository with models.

    Every method reads the repository anew, so it may be kept open while others work in it. All errors are
    `modelver.errors.ModelverError` with ``message``, ``hint`` and ``exit_code``.
    """
