"""Running Git: clean environment, bytes in and out, errors with what Git said."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from modelver.core.addresses import without_credentials
from modelver.errors import ExternalFailure

# `git rev-parse --local-env-vars`: what ties a Git process to another repository than that of its folder. Hooks run
# with some of them set, and `git -C other` would then still see the first repository.
_LOCAL_VARIABLES = (
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_CONFIG",
    "GIT_CONFIG_COUNT",
    "GIT_CONFIG_PARAMETERS",
    "GIT_DIR",
    "GIT_GRAFT_FILE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_INTERNAL_SUPER_PREFIX",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_REPLACE_REF_BASE",
    "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
)
# How Git reads the paths on its command line, which the user said of another one. Git hands them on to its hooks.
_PATH_VARIABLES = ("GIT_LITERAL_PATHSPECS", "GIT_GLOB_PATHSPECS", "GIT_NOGLOB_PATHSPECS", "GIT_ICASE_PATHSPECS")
# `core.fsmonitor` names a program that `git status` runs. It only makes Git faster, so that nothing is lost without it;
# and where a repository was copied together with its `.git`, the program may be anybody's.
_SETTINGS = (("core.fsmonitor", "false"),)


def settings(*more: tuple[str, str]) -> dict[str, str]:
    """Environment that gives keys of Git's configuration a value for one command, beside modelver's own."""
    found: dict[str, str] = {}
    for number, (key, value) in enumerate((*_SETTINGS, *more)):
        found |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return {"GIT_CONFIG_COUNT": str(len(found) // 2), **found}


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The process environment without what points Git elsewhere or says how it reads paths, in C, never prompting."""
    env = {k: v for k, v in os.environ.items() if k not in _LOCAL_VARIABLES + _PATH_VARIABLES}
    env.update(LC_ALL="C", LANGUAGE="C", GIT_TERMINAL_PROMPT="0", GIT_NO_LAZY_FETCH="1")
    # What a tag names is what its id says, not what a `git replace` of this clone makes of it.
    env.update(GIT_NO_REPLACE_OBJECTS="1")
    # Asking for the status would otherwise rewrite the index in passing, and get in the way of the user's own Git.
    env.update(GIT_OPTIONAL_LOCKS="0", **settings())
    env.update(extra or {})
    return env


WHOLE_CLONE = "git fetch --refetch --no-filter"
"""Makes a partial clone whole. Git is not let fetch what it lacks one by one, at each look at an old version."""


def run_git(
    cwd: Path,
    args: Sequence[str],
    *,
    stdin: bytes | None = None,
    env: Mapping[str, str] | None = None,
    ok: Sequence[int] = (0,),
    timeout: float | None = None,
    inherit: Sequence[int] = (),
) -> bytes:
    """Run ``git ARGS`` in ``cwd`` and return its standard output; ``inherit`` are descriptors that Git keeps open.

    Raises:
        ExternalFailure: Git is missing, took longer than ``timeout`` seconds, or ended with a status not in ``ok``;
            the message holds Git's own last lines, without credentials.
    """
    status, output, errors = git_status(cwd, args, stdin=stdin, env=env, timeout=timeout, inherit=inherit)
    if status not in ok:
        if b"lazy fetching disabled" in errors:
            raise ExternalFailure(f"git {_verb(args)} failed: this partial clone lacks an object", hint=WHOLE_CLONE)
        said = told(errors, args).strip()
        lines = [line for line in said.splitlines() if line.strip()][-3:]
        why = "; ".join(lines) or f"exit status {status}"
        raise ExternalFailure(f"git {_verb(args)} failed: {why}")
    return output


def git_status(
    cwd: Path,
    args: Sequence[str],
    *,
    stdin: bytes | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
    inherit: Sequence[int] = (),
) -> tuple[int, bytes, bytes]:
    """As `run_git`, but returns exit status, standard output and standard error, whatever the status."""
    try:
        done = subprocess.run(
            ["git", *args],
            cwd=cwd,
            input=b"" if stdin is None else stdin,
            capture_output=True,
            env=clean_environment(env),
            timeout=timeout,
            pass_fds=inherit,
            check=False,
        )
    except FileNotFoundError:
        raise ExternalFailure("git is not installed, or not on PATH", hint="https://git-scm.com/downloads") from None
    except subprocess.TimeoutExpired:
        raise ExternalFailure(f"git {_verb(args)} gave no answer within {timeout:g} s") from None
    return done.returncode, done.stdout, done.stderr


def told(errors: bytes, args: Sequence[str]) -> str:
    """What Git, run with ``args``, said on its standard error, without credentials."""
    return without_credentials(errors.decode("utf-8", "replace"), *args)


def _verb(args: Sequence[str]) -> str:
    """Git's subcommand, behind its global options."""
    words = iter(args)
    for word in words:
        if word == "-c":
            next(words, None)
        elif not word.startswith("-"):
            return word
    return args[0]
