"""DVC's cache, configuration and remotes. DVC itself (0.2 to 0.5 s to import) is loaded for remotes only."""

from modelver.adapters.dvc.cache import DvcCache, Listing
from modelver.adapters.dvc.remote import DvcRemote, HalfStored, Stored

__all__ = ["DvcCache", "DvcRemote", "HalfStored", "Listing", "Stored"]
