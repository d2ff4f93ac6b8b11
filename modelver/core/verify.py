"""What `modelver verify` judges of a version: its tag, sidecar, manifests and DVC's pointers against each other. Pure.

Each rule returns the problems that it found; a version without any is as it was published.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from modelver.core.environments import trailers_in
from modelver.core.manifest import FileEntry, TensorEntry, dump_files, dump_tensors, dvc_dir_hash, tree_digest
from modelver.core.pointers import Out
from modelver.core.printable import printable, shorten
from modelver.errors import InvalidInput

Kind = Literal[
    "tag",
    "moved",
    "deleted",
    "git",
    "file",
    "sidecar",
    "manifest",
    "lock",
    "weights",
    "missing",
    "unchecked",
    "signature",
    "partial",
    "weights-signature",
]
"""What a problem is about; programs may rely on these words, and more may come."""

_NAMED_BY_CONTENT = re.compile(r"(?:tensors/|model-(?:small-)?)([0-9a-f]{64})(?:\.safetensors)?")
"""Files of a weights folder whose names are their own SHA-256."""

_SIGNATURE = re.compile(r"^-----BEGIN (?:PGP|SSH|SIGNED) (?:SIGNATURE|MESSAGE)-----$", re.MULTILINE)
_SHA256 = re.compile(r"sha256:([0-9a-f]{64})\Z")


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is not as it was published.

    Attributes:
        kind: what sort of thing, for programs.
        what: the tag, file or object, for people.
        message: a sentence.
        hint: the command that mends it, or advice; empty where there is none.
    """

    kind: Kind
    what: str
    message: str
    hint: str = ""

    def to_dict(self) -> dict[str, str]:
        """The stable JSON form."""
        return {"kind": self.kind, "what": self.what, "message": self.message, "hint": self.hint}


@dataclass(frozen=True, slots=True)
class TagObject:
    """A tag object, taken apart.

    Attributes:
        target, kind: the object that it points at, and that object's type.
        name: what it calls itself.
        tagger: ``Name <address>``.
        message: without the signature.
        signed: whether there is a signature.
    """

    target: str
    kind: str
    name: str
    tagger: str
    message: str
    signed: bool

    @property
    def trailers(self) -> dict[str, str]:
        """modelver's own."""
        return trailers_in(self.message)


def parse_tag_object(data: bytes) -> TagObject:
    """Take a tag object's raw bytes apart.

    Source: ``git help mktag``: headers ``object``, ``type``, ``tag``, ``tagger``, a blank line, the message; a
    signature stands at the end of the message.

    Raises:
        InvalidInput: a header is missing or out of order.
    """
    head, _, body = data.decode("utf-8", "replace").partition("\n\n")
    lines = [line.partition(" ") for line in head.split("\n") if not line.startswith(" ")]
    if [key for key, _, _ in lines[:4]] != ["object", "type", "tag", "tagger"]:
        raise InvalidInput("it is no tag object as Git writes it")
    target, kind, name, tagger = (value for _, _, value in lines[:4])
    found = None
    for match in _SIGNATURE.finditer(body):
        found = match  # the last: Git signs all that stands before it
    message = body if found is None else body[: found.start()]
    return TagObject(target, kind, name, tagger.rpartition(">")[0] + ">", message, found is not None)


def judge_tag(tag: str, found: TagObject, model: str, version: str) -> list[Problem]:
    """Whether a version's tag object says what its ref says.

    Args:
        tag: the ref's short name, ``NAME@vX.Y.Z``.
        found: the object that it names.
        model, version: what the short name says.
    """
    problems = []
    if found.name != tag:
        problems.append(
            Problem(
                "tag",
                tag,
                f"the tag object calls itself {quoted(found.name)}: the ref was made to name another tag",
                f"git show-ref {tag}   (compare with another clone)",
            )
        )
    if found.kind != "commit":
        problems.append(Problem("tag", tag, f"it points at a {quoted(found.kind)}, and a version is a commit"))
    said = found.trailers
    for key, wanted in (("Model", model), ("Version", version)):
        value = said.get(f"Modelver-{key}")
        if value is not None and value != wanted:
            problems.append(
                Problem("tag", tag, f"its message says Modelver-{key}: {quoted(value)}, its name says {wanted}")
            )
    return problems


def judge_trailers(tag: str, said: Mapping[str, str], sidecar: bytes | None, document: Mapping[str, Any] | None,
                   sha256: Callable[[bytes], str]) -> list[Problem]:  # fmt: skip
    """Whether the digests in a version's tag are those of the files at its commit.

    Args:
        tag: the tag's name.
        said: its trailers.
        sidecar: the sidecar's bytes; None where the commit has none.
        document: the same, parsed; None where it can't be.
        sha256: of bytes, hex.
    """
    if "Modelver-Sidecar" not in said:
        return []
    problems = []
    match = _SHA256.match(said["Modelver-Sidecar"])
    if sidecar is None:
        problems.append(Problem("sidecar", tag, "the tag names a sidecar, and its commit holds none"))
    elif match is None or match[1] != sha256(sidecar):
        problems.append(
            Problem("sidecar", tag, "the sidecar at the tag's commit is not the one that the tag was made of: "
                    f"it has sha256 {sha256(sidecar)}, the tag says {quoted(said['Modelver-Sidecar'])}")
        )  # fmt: skip
    if document is not None:
        weights, previous = document["weights"]["sha256"], document["previous"]
        if said.get("Modelver-Weights") != f"sha256:{weights}":
            problems.append(
                Problem("sidecar", tag, f"the tag says that the weights are {quoted(said.get('Modelver-Weights'))}, "
                        f"the sidecar that they are sha256:{weights}")
            )  # fmt: skip
        if said.get("Modelver-Previous") != previous:
            problems.append(
                Problem("sidecar", tag, f"the tag says that it follows {quoted(said.get('Modelver-Previous'))}, "
                        f"the sidecar says {quoted(previous)}")
            )  # fmt: skip
    return problems


def judge_sidecar(
    path: str, model: str, version: str, document: Mapping[str, Any], recorded: bytes, built: Mapping[str, Any],
    built_bytes: bytes,
) -> list[Problem]:  # fmt: skip
    """Whether a sidecar speaks of this version, and is what recording the commit's files again gives.

    Args:
        path: the sidecar's, for people.
        model, version: what the tag says.
        document, recorded: the sidecar, parsed and as it lies there.
        built, built_bytes: what recording again gives.
    """
    problems = []
    for key, wanted in (("model", model), ("version", version)):
        if document[key] != wanted:
            problems.append(Problem("sidecar", path, f"it says {key} {quoted(document[key])}, the tag says {wanted}"))
    if recorded != built_bytes:
        keys = [key for key in {**built, **document} if document.get(key) != built.get(key)]
        keys = [key for key in keys if key not in ("model", "version")] if problems else keys
        more = f" and {len(keys) - 4} more" if len(keys) > 4 else ""
        if keys or not problems:
            differ = f"{', '.join(keys[:4])}{more} differ" if keys else "the same values are written in another form"
            problems.append(Problem("sidecar", path, f"it is not what recording this commit gives: {differ}"))
    return problems


def judge_manifests(
    folder: str,
    files: tuple[bytes, Sequence[FileEntry]],
    tensors: tuple[bytes, Sequence[TensorEntry]] | None,
    weights: Out,
    document: Mapping[str, Any] | None,
) -> list[Problem]:
    """Whether the manifests are as modelver writes them, and agree with DVC's pointer, the sidecar and each other.

    Args:
        folder: the model's, for people.
        files, tensors: each manifest's bytes and entries; no tensors for a plain model.
        weights: DVC's pointer.
        document: the sidecar; None where it can't be read.
    """
    problems: list[Problem] = []
    listed, entries = f"{folder}/files.jsonl", files[1]

    def wrong(path: str, message: str) -> None:
        problems.append(Problem("manifest", path, message))

    if files[0] != dump_files(entries):
        wrong(listed, "it is not written as modelver writes it")
    hashed = dvc_dir_hash(entries) if weights.is_dir else (entries[0].md5 if len(entries) == 1 else "")
    if hashed != weights.md5:
        wrong(listed, f"it lists other files than {weights.pointer} names ({weights.md5})")
    facts = document["weights"] if document is not None else {}
    digest = tree_digest(entries) if weights.is_dir else (entries[0].sha256 if len(entries) == 1 else "")
    size = sum(entry.bytes for entry in entries)
    for name, here, said in (
        ("sha256", digest, facts.get("sha256")),
        ("bytes", size, facts.get("bytes")),
        ("files", len(entries), facts.get("files")),
    ):
        if document is not None and here != said:
            wrong(listed, f"it gives {name} {here}, the sidecar says {said}")
    named = {e.path: match[1] for e in entries if (match := _NAMED_BY_CONTENT.fullmatch(e.path))}
    for entry in entries:
        if named.get(entry.path, entry.sha256) != entry.sha256:
            wrong(listed, f"{entry.path} is named by another digest than {entry.sha256}")
    if tensors is not None:
        _judge_tensors(f"{folder}/tensors.jsonl", tensors, [p for p in named if p.startswith("tensors/")], wrong)
    return problems


def _judge_tensors(
    path: str, tensors: tuple[bytes, Sequence[TensorEntry]], own: Iterable[str], wrong: Callable[[str, str], None]
) -> None:
    data, entries = tensors
    if data != dump_tensors(entries):
        wrong(path, "it is not written as modelver writes it")
    listed = {entry.sha256 for entry in entries}
    for name in own:
        if name.removeprefix("tensors/") not in listed:
            wrong(path, f"it does not list the tensor of {name}")


def judge_signature(
    tag: str, state: str, names: Sequence[str], why: str, *, must: bool, listed: object = None
) -> list[Problem]:
    """Whether a tag's signature will do.

    Args:
        tag: its name.
        state: ``good``, ``bad``, ``unknown`` or ``unsigned``.
        names: whose it is.
        why: Git's words where it is not good.
        must: it must be signed by a known key.
        listed: the file that says whose signatures count, if the user gave one.
    """
    if state == "bad":
        return [Problem("signature", tag, f"its signature is bad: {printable(why) or 'Git refuses it'}")]
    if not must or state == "good":
        return []
    if state == "unsigned":
        return [Problem("signature", tag, "it is not signed")]
    who = ", ".join(names) or printable(why) or "a key that this machine does not have"
    where = f"nobody whom {listed} names" if listed is not None else "nobody whom this machine knows"
    return [Problem("signature", tag, f"it is signed by {where}: {who}")]


def judge_signers(
    tag: str, names: Sequence[str], wanted: Sequence[str], *, signed: bool = True, mend: str = ""
) -> list[Problem]:
    """Whether a decision's tag is signed by one of those whom ``params.yaml`` lets decide.

    Args:
        tag: its name.
        names: whose signature it has.
        wanted: who may decide.
        signed: whether it has one at all.
        mend: the command by which one of them decides anew; empty where there is none.
    """
    if not set(names).isdisjoint(wanted):
        return []
    said = f"it is signed by {', '.join(names) or 'nobody whom Git can vouch for'}" if signed else "it is not signed"
    hint = f"{mend}   (by one of them)" if mend else ""
    return [Problem("signature", tag, f"{said}, and only {', '.join(wanted)} may decide there", hint)]


def judge_tensors(path: str, listed: Sequence[TensorEntry], found: Iterable[tuple[TensorEntry, bool]]) -> list[Problem]:
    """Whether a tensor manifest is what the weights give.

    Args:
        path: the manifest's.
        listed: its entries.
        found: each tensor of the weights, and whether a manifest must list it (small constants need not be).
    """
    problems = []
    missing = {entry.name: entry for entry in listed}
    for entry, must in found:
        said = missing.pop(entry.name, None)
        if said is None:
            if must:
                problems.append(Problem("manifest", path, f"it lacks the tensor {quoted(entry.name)}"))
        elif said != entry:
            fields = [name for name in entry.__slots__ if getattr(said, name) != getattr(entry, name)]
            problems.append(
                Problem("manifest", path, f"of tensor {quoted(entry.name)} it says another {', '.join(fields)} than "
                        "the weights do")
            )  # fmt: skip
    problems += [Problem("manifest", path, f"the weights have no tensor {quoted(name)}") for name in missing]
    return problems


def quoted(value: object) -> str:
    """A value of untrusted origin, fit for a message."""
    return "nothing" if value is None else shorten(printable(repr(value)), 100)
