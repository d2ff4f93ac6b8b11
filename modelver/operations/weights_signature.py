"""OpenSSF model signing of a version's weights: https://github.com/sigstore/model-transparency, with a key, offline.

What is signed is the list of the weights' files and their SHA-256, which Git has in ``files.jsonl``; so neither to sign
nor to verify needs the weights here. `model_signing verify key` accepts the signature on the restored folder.
"""

import contextlib
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from modelver.adapters.git.sound import SoundCommit
from modelver.core.manifest import FileEntry
from modelver.core.registry import ModelVersion
from modelver.core.verify import Problem
from modelver.disk import write_atomic
from modelver.errors import CheckFailed, InvalidInput, Refused
from modelver.operations.facts import ModelFacts
from modelver.operations.project import Project
from modelver.operations.promote import published_version
from modelver.operations.verify_files import judge_files

MAX_SIGNATURE = 64 << 20
"""Largest signature file read, in bytes: one of a model of half a million files."""

_GIT_PATHS = frozenset({".git", ".gitattributes", ".github", ".gitignore"})
"""What `model_signing` leaves out unless it is told not to; source: ``model_signing.hashing`` 1.1."""


@dataclass(frozen=True)
class SignResult:
    """What was signed, or with ``dry_run`` would be.

    Attributes:
        tag, weights: the version, and the weights' digest in its sidecar.
        files: how many files the signature lists.
        path: the signature; it goes to whoever shall verify, beside the weights or apart from them.
        git_paths: whether there are files among them that `model_signing` passes over by default.
        dry_run: whether nothing was written.
    """

    tag: str
    weights: str
    files: int
    path: Path
    git_paths: bool
    dry_run: bool

    def to_dict(self) -> dict[str, Any]:
        """The stable JSON form."""
        return {**vars(self), "path": str(self.path)}


def sign(
    project: Project, ref: str, private_key: Path, *, output: Path | None = None, model: str | None = None,
    password: str | None = None, dry_run: bool = False,
) -> SignResult:  # fmt: skip
    """Sign the weights of a version.

    Args:
        project: the repository.
        ref: the version.
        private_key: an elliptic curve key (P-256, P-384, P-521), PEM.
        output: the file to write; None for ``NAME-vX.Y.Z.sig`` in the current folder.
        model: what a ref without a name means.
        password: of the key, where it has one.
        dry_run: only look whether it can be done.

    Raises:
        NotFound, InvalidInput: there is no such version, or the key can't be used.
        Refused: the file exists, or the package is not installed.
        CheckFailed: what Git has of the version does not agree with itself; such a thing is not signed.
        ExternalFailure: the disk failed.
    """
    version = published_version(project, ref, model)
    facts = _sound_facts(project, version)
    name = version.tag.replace("/", "-").replace("@", "-")
    target = (output or Path(f"{name}.sig")).absolute()
    if target.exists() or target.is_symlink():
        raise Refused(f"{target} exists", hint="name another file with --output")
    config = _signer(private_key, password)
    result = SignResult(
        tag=version.tag,
        weights=_digest(facts),
        files=len(facts.files or ()),
        path=target,
        git_paths=any(entry.path.split("/")[0] in _GIT_PATHS for entry in facts.files or ()),
        dry_run=dry_run,
    )
    if not dry_run:
        config.set_hashing_config(_recorded(facts, version.tag))
        with tempfile.TemporaryDirectory(prefix="modelver-sign-") as folder, _quiet():
            config.sign(folder, Path(folder) / "signature")
            write_atomic(target, (Path(folder) / "signature").read_bytes())
    return result


def judge_weights_signature(facts: ModelFacts, signature: Path, public_key: Path) -> list[Problem]:
    """Whether a signature is by this key, and of exactly these weights.

    Args:
        facts: the version's, with its files.
        signature: what `sign` or `model_signing sign key` wrote.
        public_key: PEM.

    Raises:
        InvalidInput: the key can't be read, or there is no such file.
        Refused: the package is not installed.
    """
    with _installed():
        from cryptography.exceptions import InvalidSignature

    what = str(signature)
    config = _verifier(public_key)
    if not signature.is_file():
        raise InvalidInput(f"{signature} is no file")
    if signature.stat().st_size > MAX_SIGNATURE:
        return [Problem("weights-signature", what, f"it has more than {MAX_SIGNATURE} bytes")]
    try:
        config.set_hashing_config(_recorded(facts, facts.name))
        with _quiet():
            config.verify(signature.parent, signature)
    except InvalidSignature:
        return [Problem("weights-signature", what, f"it is not by the key of {public_key}")]
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
        why = " ".join(str(error).split())[:300] or type(error).__name__
        return [Problem("weights-signature", what, f"it is no signature of these weights by {public_key}: {why}")]
    return []


def _sound_facts(project: Project, version: ModelVersion) -> ModelFacts:
    """A version's facts, if what Git has of it agrees with itself."""
    found = judge_files(SoundCommit(project.git, version.record.commit), version, lambda _: None)
    if found.problems:
        first = found.problems[0]
        raise CheckFailed(
            f"{version.tag} is not signed: {first.what}: {first.message}", hint=f"modelver verify {version.tag}"
        )
    assert found.facts is not None
    return found.facts


def _digest(facts: ModelFacts) -> str:
    assert facts.recorded is not None
    return str(facts.recorded["weights"]["sha256"])


def _entries(facts: ModelFacts) -> Sequence[tuple[str, FileEntry]]:
    """Path as `model_signing` calls it, and the file; weights that are one file it calls ``.``."""
    assert facts.files is not None
    assert facts.weights is not None
    return [(entry.path if facts.weights.is_dir else ".", entry) for entry in facts.files]


def _recorded(facts: ModelFacts, name: str) -> Any:
    """A hashing configuration of `model_signing` that takes the digests from Git's manifest."""
    with _installed():
        from model_signing import hashing, manifest
        from model_signing._hashing.hashing import (
            Digest,
        )  # has no public name, and `FileManifestItem` takes nothing else

    how = manifest.SerializationType.from_args({"method": "files", "hash_type": "sha256", "allow_symlinks": False})
    items = [
        manifest.FileManifestItem(path=PurePosixPath(path), digest=Digest("sha256", bytes.fromhex(entry.sha256)))
        for path, entry in _entries(facts)
    ]

    class Recorded(hashing.Config):  # type: ignore[misc]
        def hash(self, *_: object, **__: object) -> Any:
            return manifest.Manifest(name, items, how)

    return Recorded()


def _signer(private_key: Path, password: str | None) -> Any:
    with _installed():
        from cryptography.exceptions import UnsupportedAlgorithm
        from model_signing import signing

    secret: Any = None if password is None else password.encode()  # the package hands it on to what wants bytes
    try:
        return signing.Config().use_elliptic_key_signer(private_key=private_key, password=secret)
    except OSError as error:
        raise InvalidInput(f"{private_key} can't be read: {error.strerror}") from None
    except TypeError:
        asked = "needs a password" if password is None else "has no password"
        raise InvalidInput(
            f"{private_key} {asked}", hint="MODELVER_KEY_PASSWORD, in the environment, holds it"
        ) from None
    except (ValueError, AttributeError, UnsupportedAlgorithm):
        raise _no_key(private_key, "private") from None


def _verifier(public_key: Path) -> Any:
    with _installed():
        from cryptography.exceptions import UnsupportedAlgorithm
        from model_signing import verifying

    try:
        return verifying.Config().use_elliptic_key_verifier(public_key=public_key)
    except OSError as error:
        raise InvalidInput(f"{public_key} can't be read: {error.strerror}") from None
    except (ValueError, AttributeError, UnsupportedAlgorithm):
        raise _no_key(public_key, "public") from None


def _no_key(path: Path, kind: str) -> InvalidInput:
    return InvalidInput(
        f"{path} is no {kind} key on P-256, P-384 or P-521 in PEM, or its password is another one",
        hint="make one: openssl ecparam -name prime256v1 -genkey -noout -out key.pem && "
        "openssl ec -in key.pem -pubout -out key.pub",
    )


@contextlib.contextmanager
def _installed() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise Refused(
            f"signatures of weights need a package that is not installed ({error.name})",
            hint="pip install 'modelver[sign]'",
        ) from None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The package prints warnings where data belongs."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


__all__ = ["SignResult", "judge_weights_signature", "sign"]
