"""The rows of the table by name; each function measures one piece of work beside the peers."""

from collections.abc import Callable

from harness import Line
from rows_metadata import diff, list_, startup
from rows_weights import add, checkout, export, release, storage, tag
from shared import Bench

ROWS: dict[str, Callable[[Bench], list[Line]]] = {
    "startup": startup,
    "list": list_,
    "add": add,
    "export": export,
    "tag": tag,
    "storage": storage,
    "diff": diff,
    "checkout": checkout,
    "release": release,
}
"""By name, in the order in which they run: what needs most of the disk comes last."""
