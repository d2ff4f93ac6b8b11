"""What every topic of the library stands on: where the repository is."""

from pathlib import Path

from modelver.operations.project import Project


class Base:
    """A folder, whose repository is read anew by every method."""

    def __init__(self, project: Project) -> None:
        self._root = project.root

    @property
    def root(self) -> Path:
        """Top of the working tree."""
        return self._root

    def _project(self) -> Project:
        return Project.open(self._root)
