"""Runtimes: run an exported model as its users will. Plug-ins, found by entry points."""
