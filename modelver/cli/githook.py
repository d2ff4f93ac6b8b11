"""What the Git hooks run: ``python -P -m modelver.cli.githook NAME ARGS…``, the short way to ``modelver hook NAME``.

A checkout waits for it, and Typer alone would cost 0.1 s: so it is not imported here. Nothing is, before `main` has
begun: a Ctrl-C during the imports, the greater part of a small checkout, is told as one during the work.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class _Bar:
    """A bar of bytes on a terminal's standard error, imported only where the work takes longer than half a second."""

    def __init__(self, what: str) -> None:
        from time import monotonic

        self._what = what
        self._clock = monotonic
        self._start = monotonic()
        self._done = 0
        self._bar: Any = None

    def __call__(self, done: int) -> None:
        import sys

        self._done += done
        if self._bar is None and sys.stderr.isatty() and self._clock() - self._start > 0.5:
            import os

            from tqdm import tqdm

            plain = bool(os.environ.get("NO_COLOR"))
            self._bar = tqdm(desc=self._what, unit="B", unit_scale=True, unit_divisor=1024, leave=False, ascii=plain)
        if self._bar is not None:
            self._bar.update(self._done)
            self._done = 0

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


def run(arguments: list[str]) -> int:
    """Do the work of the hook ``arguments[0]``, tell what there is to tell, and return the hook's exit status."""
    from pathlib import Path

    from modelver.adapters.git import GitRepository
    from modelver.errors import ModelverError
    from modelver.operations.hooks import run_hook

    name = arguments[0] if arguments else ""
    bar = _Bar("reading back" if name == "pre-push" else "restoring")
    try:
        try:
            git = GitRepository.find(Path.cwd())
            result = run_hook(git, name, arguments[1:], stdin=_stdin, progress=bar)
        finally:
            bar.close()
    except ModelverError as error:
        _tell("error", error.message, error.hint)
        return error.exit_code
    for level, message, hint in result.messages():
        _tell(level, message, hint)
    return result.hook_status


def main() -> None:
    """Run the hook that the command line names, and end the process with its status; 130 where it was interrupted."""
    try:
        import signal
        import sys

        status = run(sys.argv[1:])
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is done and told
    except KeyboardInterrupt:
        import os
        import sys

        os.write(2, b"error: interrupted\n" + (b"" if "pre-push" in sys.argv[1:2] else b"hint: modelver restore\n"))
        os._exit(130)  # at once: what was imported by half might complain at its end
    sys.exit(status)


def _stdin() -> bytes:
    import sys

    return sys.stdin.buffer.read()


def _tell(level: str, message: str, hint: str) -> None:
    import sys

    from modelver.core.printable import printable

    sys.stderr.write(f"{level}: {printable(message)}\n" + (f"hint: {printable(hint)}\n" if hint else ""))


if __name__ == "__main__":
    main()
