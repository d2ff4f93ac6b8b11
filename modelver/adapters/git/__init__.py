"""Git, driven by its own plumbing commands.

GitPython's runner can add to the environment but not take ``GIT_DIR``, ``GIT_INDEX_FILE`` and their like out of it,
and those are set in every hook; so commands are run here, with a clean environment, argument lists and ``--``.
"""

from modelver.adapters.git.process import WHOLE_CLONE, run_git
from modelver.adapters.git.repository import GitRepository, Head

__all__ = ["WHOLE_CLONE", "GitRepository", "Head", "run_git"]
