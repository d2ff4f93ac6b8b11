"""How long Git waits for a server, and whom it may ask: no command hangs, least of all with a lock in its hand."""

import os
from collections.abc import Mapping
from pathlib import Path

from modelver.adapters.git.process import git_status

SILENCE = 120
"""Seconds after which a server that says nothing is given up. Git's own servers say something every five, also while
their hooks run (``receive.keepAlive``, ``uploadpack.keepAlive``)."""

TALK_TIMEOUT = 3600.0
"""Seconds until a fetch or a push must have ended, whatever the server says meanwhile."""

_OWN = r"^(http\.(.*\.)?lowspeed(limit|time)|core\.sshcommand|ssh\.variant)$"


def patience(cwd: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Environment for a Git that speaks to a server: limits where the user has set none.

    Over http they are ``http.lowSpeedLimit`` and ``http.lowSpeedTime``. OpenSSH is told to give up what does not
    answer, and to ask nothing where nobody sits who could answer: it would wait at a terminal for a passphrase, or for
    a word on a host's key. A command for ssh of the user's own (``core.sshCommand``, ``GIT_SSH_COMMAND``, ``GIT_SSH``)
    stays as it is.

    Args:
        cwd: where Git will run.
        extra: more of the environment that it will get.
    """
    status, output, _ = git_status(cwd, ["config", "-z", "--name-only", "--get-regexp", _OWN], env=extra)
    own = {name.rpartition(".")[2] for name in output.decode("utf-8", "replace").split("\0") if status == 0 and name}
    env = dict(extra or {})
    for name, key, value in (
        ("GIT_HTTP_LOW_SPEED_LIMIT", "lowspeedlimit", 1),
        ("GIT_HTTP_LOW_SPEED_TIME", "lowspeedtime", SILENCE),
    ):
        if key not in own and name not in os.environ:
            env[name] = str(value)
    variables = ("GIT_SSH_COMMAND", "GIT_SSH", "GIT_SSH_VARIANT")
    if own.isdisjoint({"sshcommand", "variant"}) and not any(os.environ.get(name) for name in variables):
        alive = max(1, SILENCE // 4)  # three that are not answered end it
        env["GIT_SSH_COMMAND"] = (
            f"ssh -o ConnectTimeout={SILENCE} -o ServerAliveInterval={alive} -o ServerAliveCountMax=3"
        ) + ("" if _somebody_can_answer() else " -o BatchMode=yes")
    return env


def _somebody_can_answer() -> bool:
    """Whether standard input is a terminal, and this process has it: ssh itself asks at whatever terminal there is."""
    try:
        if not os.isatty(0):
            return False
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)
