"""The state of a tag's signature, as Git's own verification tells."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from modelver.adapters.git.process import git_status
from modelver.adapters.git.repository import GitRepository
from modelver.adapters.git.signed_by import names_in

State = Literal["good", "bad", "unknown", "unsigned"]

_UNKNOWN_KEY = re.compile(r"^\[GNUPG:\] (?:NO_PUBKEY|EXPKEYSIG|EXPSIG) |cannot run |command not found", re.MULTILINE)
_TAMPERED = re.compile(r"^\[GNUPG:\] (?:BADSIG|REVKEYSIG) |incorrect signature", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Signature:
    """A tag's signature.

    Attributes:
        state: ``good``; ``bad``: it is not that of these bytes, or by a key that was revoked; ``unknown``: by a key
            that this machine does not know or that has expired; ``unsigned``.
        names: whose it is: addresses or principals, and fingerprints.
        why: Git's words where it is neither good nor missing.
    """

    state: State
    names: tuple[str, ...] = ()
    why: str = ""


def signature_of(git: GitRepository, tag: str, signers: Path | None = None) -> Signature:
    """The state of the signature of a tag object that has one.

    Args:
        git: the repository.
        tag: the tag object's id.
        signers: keys that count, in SSH's form of allowed signers (``man ssh-keygen``, ALLOWED SIGNERS); None for what
            ``gpg.ssh.allowedSignersFile`` says.
    """
    allowed = "/dev/null" if signers is None else str(signers)
    config = []
    if signers is not None or not git.config("gpg.ssh.allowedSignersFile"):
        config = ["-c", f"gpg.ssh.allowedSignersFile={allowed}"]
    status, output, errors = git_status(git.root, [*config, "verify-tag", "--raw", "--", tag])
    said = (output + errors).decode("utf-8", "replace")
    names = tuple(sorted(names_in(said)))
    if status == 0 and signers is not None and "[GNUPG:]" in said:
        return Signature("unknown", names, "a GPG key, and only SSH keys are listed")
    if status == 0:
        return Signature("good", names)
    why = " ".join(line for line in said.splitlines() if line and not line.startswith(("[GNUPG:] KEY", "error:")))[
        -300:
    ]
    # of an SSH signature that is whole Git tells the key's fingerprint, whether it knows the key or not
    unknown = names or _UNKNOWN_KEY.search(said)
    return Signature("unknown" if unknown and not _TAMPERED.search(said) else "bad", names, why)
