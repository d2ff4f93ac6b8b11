"""One module a verb: gathers, asks core, acts through the adapters."""
