"""The command line: one file a command; no rule and no I/O of its own."""
