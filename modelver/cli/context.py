"""What all commands share: where they work, how they print, what completes a word."""

import enum
import json
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from modelver.operations.library import Repository


class Format(enum.StrEnum):
    """How a command answers."""

    table = "table"
    json = "json"
    markdown = "markdown"


def complete_model(incomplete: str) -> list[str]:
    """Names of the repository's models that begin so."""
    from modelver.errors import ModelverError
    from modelver.operations.project import Project

    try:
        return [name for name in Project.open().models() if name.startswith(incomplete)]
    except (ModelverError, OSError):
        return []


def complete_ref(incomplete: str) -> list[str]:
    """Refs that begin so: tags, environments, ``latest``; versions alone where there is one model."""
    from modelver.errors import ModelverError
    from modelver.operations.project import Project

    try:
        registry = Project.open().registry
    except (ModelverError, OSError):
        return []
    refs: list[str] = []
    for model, versions in sorted(registry.models.items()):
        if len(registry.models) == 1:
            refs += ["latest", *(str(v.version) for v in versions)]
        refs += [f"{model}@latest", *(v.tag for v in versions)]
        refs += sorted({f"{model}#{name}" for v in versions for name in v.environments})
    return [ref for ref in refs if ref.startswith(incomplete)]


def complete_environment(incomplete: str) -> list[str]:
    """Names of environments that begin so: declared ones, and those that have run something."""
    from modelver.errors import ModelverError
    from modelver.operations.listing import environment_names
    from modelver.operations.project import Project

    try:
        return [name for name in environment_names(Project.open()) if name.startswith(incomplete)]
    except (ModelverError, OSError):
        return []


FormatOption = Annotated[Format, typer.Option("--format", "-f", help="How to answer; json is stable, for programs.")]
ModelOption = Annotated[
    str | None,
    typer.Option("--model", help="The model that a ref without a name means.", autocompletion=complete_model),
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", "-n", help="Only say what would be done.")]
SignOption = Annotated[bool, typer.Option("--sign", "-s", help="Sign the tag, as git tag -s does.")]
DvcRemoteOption = Annotated[
    str | None, typer.Option("--dvc-remote", metavar="NAME", help="The DVC remote; else the default one.")
]
PlainHttpOption = Annotated[
    bool, typer.Option("--plain-http", help="Let weights, tags and credentials go over the line unencrypted.")
]


def repository() -> "Repository":
    """The repository around the current folder (`-C` has changed into it)."""
    from modelver.operations import library

    return library.open(Path.cwd())


def from_here(root: Path, paths: Iterable[str]) -> list[str]:
    """Paths relative to a repository's root as the user must write them in the current folder."""
    return [os.path.relpath(root / path) for path in paths]


def out(text: str) -> None:
    """Data, to standard output, with one newline at the end."""
    sys.stdout.write(text if text.endswith("\n") or not text else text + "\n")


def out_json(value: Any) -> None:
    """Data for programs, to standard output; in ASCII where that is no UTF-8."""
    ascii_only = (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=ascii_only, allow_nan=False) + "\n")


def say(text: str) -> None:
    """Talk, to standard error."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def table(rows: Iterable[Sequence[object]], headers: Sequence[str], form: Format = Format.table) -> str:
    """Rows as plain columns, or as a Markdown table."""
    cells = [[str(cell) for cell in row] for row in rows]
    plain = form is not Format.markdown and bool(headers)  # `show` has no headings
    if plain and all(c.isascii() and c.isprintable() for line in (headers, *cells) for c in line):
        return _plain(cells, headers)
    from tabulate import tabulate

    kind = "github" if form is Format.markdown else "plain"
    return tabulate(cells, headers, tablefmt=kind, disable_numparse=True)


def _plain(cells: Sequence[Sequence[str]], headers: Sequence[str]) -> str:
    """What tabulate makes of printable ASCII, which needs no look at each cell's type, lines and display width.

    For 10,000 versions those looks took longer than reading the tags.
    """
    lines = [[cell.strip() for cell in line] for line in cells]
    # tabulate's MIN_PADDING: a column is two wider than its heading at least
    padded = [f"{heading}  " for heading in headers]
    widths = [max(map(len, column)) for column in zip(padded, *lines, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in (list(headers), *lines))


def colours(stream: Any) -> bool:
    """Whether to colour: a terminal, and NO_COLOR unset (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def size(count: float) -> str:
    """Bytes for people, in powers of 1024."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    raise AssertionError("unreachable")


def report(messages: Iterable[tuple[str, str, str]]) -> None:
    """Errors and warnings with their hints, to standard error."""
    from modelver.cli.hints import for_here

    for level, message, hint in messages:
        say(f"{level}: {message}")
        if hint:
            say(f"hint: {for_here(hint)}")


class Progress:
    """A bar of bytes on standard error; nothing where that is no terminal. Call it with bytes done."""

    def __init__(self, what: str, total: int | None = None) -> None:
        self._bar: Any = None
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(
                total=total, desc=what, unit="B", unit_scale=True, unit_divisor=1024, leave=False, delay=0.5,
                ascii=bool(os.environ.get("NO_COLOR")),
            )  # fmt: skip

    def __call__(self, done: int) -> None:
        """Count ``done`` more bytes."""
        if self._bar is not None:
            self._bar.update(done)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()
