"""modelver: version models in Git and DVC. A version is a tag, its weights are DVC-tracked, its metadata is reviewed."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("modelver")
except PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0+unknown"
