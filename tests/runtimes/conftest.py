import os

import pytest

from modelver.errors import ModelverError
from modelver.runtimes import node


@pytest.fixture(scope="session")
def node_packages() -> None:
    """npm's packages in modelver's cache folder, brought there by the first test that needs them."""
    for name in node.PACKAGES:
        try:
            if not (node.folder() / "node_modules" / name / "package.json").is_file():
                node.install(name)
        except (ModelverError, OSError) as error:
            if os.environ.get("CI"):
                raise
            pytest.skip(f"{name} can't be had: {error}")
