"""modelver: version models in Git and DVC. A version is a tag, its weights are DVC-tracked, its metadata is reviewed.

>>> import modelver
>>> repository = modelver.open("path/to/repository")
>>> [version.tag for version in repository.list("digits")]
['digits@v2.0.0', 'digits@v1.0.0']
>>> repository.diff("v1", "v2").bump.level
'major'
>>> digits = modelver.load("digits#prod", repo="https://git.example.com/team/models.git")
>>> digits.run({"input": rows})["label"]
"""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modelver.operations.get import get
    from modelver.operations.library import Repository, open
    from modelver.operations.load import LoadedModel, load

# onnxruntime tells its maker of the models that it runs, from the moment on that it is imported (its Privacy.md). What
# is in a registry is nobody else's business; who wants it otherwise sets it to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__: str

__all__ = ["LoadedModel", "Repository", "__version__", "get", "load", "open"]


def __getattr__(name: str) -> Any:
    # Loaded when asked for: `modelver list` must not pay for what it does not use.
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("modelver")
        except PackageNotFoundError:  # run from a source tree that was never installed
            return "0+unknown"
    if name in ("open", "Repository"):
        from modelver.operations import library

        return getattr(library, name)
    if name == "get":
        from modelver.operations.get import get

        return get
    if name in ("load", "LoadedModel"):
        from modelver.operations import load as loading

        return getattr(loading, name)
    raise AttributeError(f"module 'modelver' has no attribute {name!r}")
