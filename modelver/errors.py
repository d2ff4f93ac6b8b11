"""Every error that modelver raises on purpose: a message, a hint, an exit status.

Exit statuses: 1 a check said no; 2 refused (bad input or a precondition); 3 Git, DVC or a remote failed.
"""


class ModelverError(Exception):
    """The root of all errors.

    Attributes:
        message: what went wrong, one sentence, no trailing full stop.
        hint: the command that mends it, or advice; empty where there is none.
        exit_code: the process status that the command line maps it to.
    """

    exit_code = 2

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Refused(ModelverError):
    """Bad input, or a precondition that does not hold (exit status 2)."""


class InvalidInput(Refused):
    """A name, ref, file or parameter is malformed (exit status 2)."""


class NotFound(Refused):
    """A model, version or file that was asked for does not exist (exit status 2)."""


class CheckFailed(ModelverError):
    """A gate, a verification or a comparison said no (exit status 1)."""

    exit_code = 1


class ExternalFailure(ModelverError):
    """Git, DVC, the disk or a remote failed (exit status 3)."""

    exit_code = 3
