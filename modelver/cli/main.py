"""The command line's root: global options, the commands, and the one place where errors become an exit status."""

import io
import os
import sys
from typing import Annotated, Any

import typer

from modelver.cli import (
    add,
    backup,
    check,
    client,
    demo,
    diff,
    doctor,
    gc,
    get,
    hook,
    init,
    list_,
    log,
    portability,
    promote,
    push,
    record,
    restore,
    rollback,
    show,
    sign,
    stage,
    status,
    tag,
    verify,
    yank,
)
from modelver.errors import ModelverError

app = typer.Typer(
    name="modelver",
    help="Version models in Git and DVC: a version is a tag, its weights are DVC-tracked, its metadata is reviewed.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_COMMANDS = (
    ("init", init.init),
    ("add", add.add),
    ("status", status.status),
    ("record", record.record),
    ("tag", tag.tag),
    ("list", list_.list_),
    ("show", show.show),
    ("diff", diff.diff),
    ("log", log.log),
    ("push", push.push),
    ("promote", promote.promote),
    ("rollback", rollback.rollback),
    ("yank", yank.yank),
    ("verify", verify.verify),
    ("sign", sign.sign),
    ("check", check.check),
    ("get", get.get),
    ("gc", gc.gc),
    ("backup", backup.backup),
    ("doctor", doctor.doctor),
    ("client", client.client),
    ("portability", portability.portability),
    ("restore", restore.restore),
    ("demo", demo.demo),
)
for _name, _command in _COMMANDS:
    app.command(_name, no_args_is_help=_name == "add")(_command)
app.add_typer(stage.app, name="stage")
app.add_typer(hook.app, name="hook")

_INTERRUPTED = 130
_UsageError: Any = typer.BadParameter.__mro__[2]  # the root of Typer's own errors, under whichever module it lies


def _version(wanted: bool) -> None:
    if wanted:
        from modelver import __version__

        sys.stdout.write(f"modelver {__version__}\n")
        raise typer.Exit


@app.callback()
def _root(
    directory: Annotated[
        str | None, typer.Option("-C", metavar="DIR", help="Work in DIR, as if modelver was started there.")
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    if directory is not None:
        try:
            os.chdir(directory)
        except (OSError, ValueError) as error:
            raise typer.BadParameter(f"{directory!a}: {getattr(error, 'strerror', error)}", param_hint="-C") from None


def main() -> None:
    """Run the command line and end the process with the status that fits."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that lacks a letter is no reason to fail
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit status.

    0 done, 1 a check said no, 2 refused, 3 Git, DVC or a remote failed, 130 interrupted.
    """
    try:
        result = app(args=arguments, prog_name="modelver", standalone_mode=False)
        sys.stdout.flush()
        status = result if isinstance(result, int) else 0
        if status == _INTERRUPTED:  # Typer makes a status of Ctrl-C, without a word
            _report("interrupted", "")
        return status
    except ModelverError as error:
        _report(error.message, error.hint)
        return error.exit_code
    except _UsageError as error:
        error.show()
        return int(error.exit_code)
    except typer.Exit as exit_:
        return exit_.exit_code
    except (KeyboardInterrupt, typer.Abort):
        _report("interrupted", "")
        return _INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has gone, as in `modelver list | head`. Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        _report(f"{place}{error.strerror or error}", "")
        return 3


def _report(message: str, hint: str) -> None:
    from modelver.cli.context import colours, say
    from modelver.cli.hints import for_here

    on, off = ("\x1b[31m", "\x1b[0m") if colours(sys.stderr) else ("", "")
    say(f"{on}error:{off} {_plain(message)}")
    if hint:
        say(f"hint: {_plain(for_here(hint))}")


def _plain(text: str) -> str:
    """Without control characters: a file's name may not drive the terminal."""
    return "".join(c if c.isprintable() or c == "\n" else f"\\x{ord(c):02x}" for c in text)


if __name__ == "__main__":
    main()
