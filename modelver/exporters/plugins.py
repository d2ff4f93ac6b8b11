"""Plug-ins by entry point: how exporters and runtimes, modelver's own and others', are found."""

from importlib.metadata import entry_points
from typing import Any

from modelver.core.names import shown
from modelver.errors import Refused


def load(group: str, name: str, what: str) -> Any:
    """An instance of the plug-in that some installed package registered as ``name`` in ``group``.

    Args:
        group: ``modelver.exporters`` or ``modelver.runtimes``.
        name: the entry point's name.
        what: what the plug-in does, for the message (``exporter for framework``).

    Raises:
        Refused: nothing is registered under that name, or its package cannot be imported.
    """
    found = {point.name: point for point in entry_points(group=group)}
    if name not in found:
        # all of modelver's own are there, whether or not what they need is: so no extra of modelver's brings this one
        known = ", ".join(sorted(found)) or "none"
        raise Refused(f"no {what} {shown(name)} is installed", hint=f"there is: {known}")
    try:
        return found[name].load()()
    except ImportError as error:
        package = getattr(found[name].dist, "name", "modelver")
        hint = install_hint(name) if package == "modelver" else f"install what {package} needs"
        raise Refused(f"the {what} {name!r} cannot be loaded: {error}", hint=hint) from None


def names(group: str) -> list[str]:
    """Names registered in ``group``, sorted."""
    return sorted({point.name for point in entry_points(group=group)})


def install_hint(name: str) -> str:
    """The command that installs a plug-in."""
    extra = "".join(c for c in name if c.isascii() and (c.isalnum() or c in "-_"))
    return f"pip install 'modelver[{extra}]'"
