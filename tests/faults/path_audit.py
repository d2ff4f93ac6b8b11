"""What a command and all its children changed on the disk, by strace: every path, resolved."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

CALLS = (
    "open,openat,openat2,creat,mkdir,mkdirat,mknod,mknodat,rename,renameat,renameat2,link,linkat,symlink,symlinkat,"
    "unlink,unlinkat,rmdir,chmod,fchmodat,chown,lchown,fchownat,truncate,utime,utimes,utimensat,futimesat,setxattr,"
    "lsetxattr,removexattr,lremovexattr"
)
_MOVES = "chdir,fchdir,clone,clone3,fork,vfork"
_LINE = re.compile(r"(\d+) +(\w+)\((.*)\) += (-?\d+|0x[0-9a-f]+)(?:<(.*)>)?(?: .*)?$")
_TEXT = re.compile(r'"((?:[^"\\]|\\.)*)"')
_FOLDER = re.compile(r"^(?:AT_FDCWD|\d+)<((?:[^>\\]|\\.)*)>")
_WRITES = re.compile(r"O_WRONLY|O_RDWR|O_CREAT|O_TRUNC|O_TMPFILE")
_OPENS = frozenset({"open", "openat", "openat2", "creat"})
_NO_FOLLOW = frozenset(
    {"unlink", "unlinkat", "rmdir", "rename", "renameat", "renameat2", "symlink", "symlinkat", "mkdir", "mkdirat"}
    | {"lchown", "lsetxattr", "lremovexattr", "link", "linkat", "mknod", "mknodat"}
)


def available() -> bool:
    """Whether strace is there and may trace (a container may forbid it)."""
    return shutil.which("strace") is not None and subprocess.run(
        ["strace", "-qq", "-o", "/dev/null", "true"], capture_output=True, check=False
    ).returncode == 0  # fmt: skip


@dataclass(frozen=True)
class Written:
    """One change of the disk.

    Attributes:
        call: the system call.
        path: absolute; of what was opened, as the kernel said then; else with links resolved as they are afterwards,
            the last part of it only where the call follows it.
    """

    call: str
    path: Path


def run(
    command: Sequence[str], cwd: Path, env: Mapping[str, str], log: Path
) -> tuple[subprocess.CompletedProcess[bytes], list[Written]]:
    """Run a command to its end under strace, and tell of every successful call that could have changed something."""
    strace = ["strace", "-f", "-qq", "-y", "-z", "--seccomp-bpf", "-s", "4096", "-o", str(log)]
    strace += ["-e", f"trace={CALLS},{_MOVES}", "-e", "signal=none"]
    done = subprocess.run(
        [*strace, "--", *command], cwd=cwd, env=env, capture_output=True, check=False, stdin=subprocess.DEVNULL
    )
    return done, _changes(log.read_text("utf-8", "surrogateescape").splitlines(), cwd)


def _changes(lines: Sequence[str], cwd: Path) -> list[Written]:
    parsed = [match.groups() for line in lines if (match := _LINE.match(line))]
    parent = {result: pid for pid, call, _, result, _ in parsed if call in ("clone", "clone3", "fork", "vfork")}
    places: dict[str, str] = {}
    found: dict[tuple[str, str], None] = {}
    for pid, call, args, _, opened in parsed:
        here = _place(places, parent, pid, str(cwd))
        texts = [_unquoted(text) for text in _TEXT.findall(args)]
        if call == "chdir":
            places[pid] = _joined(here, texts[0])
        elif call == "fchdir":
            places[pid] = _unquoted(re.findall(r"<(.*)>", args)[0])
        elif call in _OPENS:
            if (call == "creat" or _WRITES.search(args)) and opened:
                found[call, _unquoted(opened)] = None
        elif call in CALLS.split(","):
            for path in _named(call, args, texts, here):
                found[call, path] = None
    return [Written(call, _resolved(path, call)) for call, path in found]


def _place(places: dict[str, str], parent: Mapping[str, str], pid: str, start: str) -> str:
    """A process begins where its parent is at that moment; a thread's folder is its process's."""
    if pid not in places:
        places[pid] = _place(places, parent, parent[pid], start) if pid in parent else start
    return places[pid]


def _named(call: str, args: str, texts: Sequence[str], here: str) -> list[str]:
    """The paths that a call changes, absolute."""
    if call in ("symlink", "symlinkat"):  # the first is what the link says
        texts, args = texts[1:], args[args.index(", ") + 2 :] if call == "symlinkat" else args
    elif call in ("link", "linkat"):
        texts = texts[1:]
    if call.endswith("at") or call == "renameat2":
        folders = [_unquoted(folder) for folder in re.findall(r"(?:AT_FDCWD|\b\d+)<((?:[^>\\]|\\.)*)>", args)]
        folders = folders[-len(texts) :] or [here]
    else:
        folders = [here]
    wanted = texts[:2] if "rename" in call else texts[:1]
    return [_joined(folders[min(n, len(folders) - 1)], text) for n, text in enumerate(wanted)]


def _joined(folder: str, path: str) -> str:
    """As the kernel sees it: ``..`` stays, for what stands before it may be a link."""
    return os.path.join(folder, path)  # noqa: PTH118


def _resolved(path: str, call: str) -> Path:
    if call in _OPENS:  # the kernel says where that is; since then a link may have taken its place
        return Path(path.removesuffix(" (deleted)"))
    if call not in _NO_FOLLOW:
        return Path(os.path.realpath(path))
    parent, name = os.path.split(path.rstrip("/"))
    return Path(os.path.realpath(parent)) / name


def _unquoted(text: str) -> str:
    """strace writes bytes beyond ASCII in octal."""
    raw = text.encode("utf-8", "surrogateescape")
    letters = {b"n": b"\n", b"t": b"\t", b"r": b"\r"}
    return os.fsdecode(
        re.sub(rb"\\([0-7]{1,3})|\\(.)", lambda m: bytes([int(m[1], 8)]) if m[1] else letters.get(m[2], m[2]), raw)
    )
