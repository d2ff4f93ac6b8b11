"""DVC's local cache and configuration, read without importing DVC (0.2 to 0.5 s)."""

from modelver.adapters.dvc.cache import DvcCache, Listing

__all__ = ["DvcCache", "Listing"]
