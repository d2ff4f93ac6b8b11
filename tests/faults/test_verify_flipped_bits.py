"""Any single flipped bit of what a version consists of is found: weights, sidecar, manifests, pointers, lock file.

The files lie in Git, so a flipped bit means another commit, and a tag that was moved to it. Here whoever did that keeps
the tag's message, or writes the digests in it anew, and the clone remembers nothing of the tag: what is found is found
in the version itself.
"""

import hashlib
import json
import os
import random
import shutil
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from sandbox import InProcess, Sandbox, environment, start

from modelver.adapters.yaml import load_mapping
from modelver.errors import ModelverError
from modelver.operations.project import Project
from modelver.operations.verify import VerifyRequest, verify

TRAIN = """\
import pathlib
folder = pathlib.Path("out")
folder.mkdir(exist_ok=True)
(folder / "a.bin").write_bytes(pathlib.Path("data/rows").read_bytes() * 3)
(folder / "b.txt").write_text("labels")
"""
STAGES = """\
  rows:
    cmd: mkdir data && seq 7 > data/rows
    params: [rows]
    outs: [data]
  train:
    cmd: python train.py
    deps: [data, train.py]
    outs: [out]
"""
FLIPS = int(os.environ.get("FLIPS", "0"))
PLACES = [
    ("m", "models/m/metadata.yaml", "old message"),
    ("m", "models/m/metadata.yaml", "new message"),
    ("m", "models/m/files.jsonl", "old message"),
    ("m", "models/m/tensors.jsonl", "old message"),
    ("m", "models/m/weights.dvc", "old message"),
    ("p", "models/p/metadata.yaml", "old message"),
    ("p", "models/p/metadata.yaml", "new message"),
    ("p", "models/p/files.jsonl", "old message"),
    ("p", "dvc.lock", "old message"),
]
"""Model, file, and whether the tag's message is kept, or its digests written anew (it has none but the sidecar's)."""

places = pytest.mark.parametrize(("model", "path", "message"), PLACES, ids=[f"{path}-{how}" for _, path, how in PLACES])


@pytest.fixture(scope="session")
def flips_template(tmp_path_factory) -> Path:
    """The ingested model ``m``, and the plain model ``p`` that two stages make; both v1.0.0."""
    tmp = tmp_path_factory.mktemp("flips")
    box = start(tmp / "repo", environment(tmp / "home"))
    box.add_model("m", 1)
    box.write("train.py", TRAIN)
    for file, more in (("params.yaml", "rows: 7\n"), ("dvc.yaml", "")):
        box.write(file, (box.root / file).read_text().replace("stages:\n", "stages:\n" + STAGES, 1) + more)
    box.dvc("repro", "-q", "train")
    box.mv("add", "p", "out")
    box.commit("a pipeline")
    box.mv("tag", "m")
    box.mv("tag", "p")
    shutil.rmtree(box.root / ".git/modelver")
    return tmp


@pytest.fixture
def box(flips_template, tmp_path, monkeypatch) -> Sandbox:
    shutil.copytree(flips_template / "repo", tmp_path / "repo", symlinks=True)
    box = InProcess(tmp_path / "repo", environment(tmp_path / "home"))
    for key in {*os.environ} - {*box.env}:
        monkeypatch.delenv(key)
    for key, value in box.env.items():
        monkeypatch.setenv(key, value)
    return box


def problems(box: Sandbox, model: str, **options) -> list[dict]:
    (box.root / ".git/modelver/known-tags.jsonl").unlink(missing_ok=True)
    report = verify(Project.open(box.root), VerifyRequest(ref=f"{model}@v1.0.0", **options))
    (version,) = report.versions
    return [problem.to_dict() for problem in version.problems]


class Forger:
    """Commits a changed file under a version's tag, by writing Git's objects as Git writes them."""

    def __init__(self, box: Sandbox, model: str, path: str) -> None:
        self.box = box
        self.model = model
        self.path = path
        self.tag = f"{model}@v1.0.0"
        self.content = box.run("git", "cat-file", "blob", f"{self.tag}:{path}").out.encode()
        folders = [path.rsplit("/", n)[0] for n in range(1, path.count("/") + 1)]
        self.trees = [(name, self.raw("tree", f"{self.tag}:{folder}")) for name, folder in self.steps(folders)]
        self.commit = self.raw("commit", f"{self.tag}^{{commit}}")
        self.object = self.raw("tag", self.tag)
        assert hashlib.sha1(b"tag %d\0" % len(self.object) + self.object).hexdigest() == box.git("rev-parse", self.tag)

    def steps(self, folders: list[str]) -> list[tuple[str, str]]:
        """(name of the changed entry, folder that holds it), innermost first; the top folder is empty."""
        names = self.path.split("/")[::-1]
        return list(zip(names, [*folders, ""], strict=True))

    def raw(self, kind: str, name: str) -> bytes:
        return subprocess.run(
            ["git", "cat-file", kind, name], cwd=self.box.root, env=self.box.env, capture_output=True, check=True
        ).stdout

    def store(self, kind: bytes, data: bytes) -> str:
        whole = kind + b" %d\0" % len(data) + data
        ident = hashlib.sha1(whole).hexdigest()
        place = self.box.root / ".git/objects" / ident[:2] / ident[2:]
        place.parent.mkdir(exist_ok=True)
        if not place.exists():
            place.write_bytes(zlib.compress(whole, 1))
        return ident

    def forge(self, content: bytes, message: bool) -> None:
        """Move the tag to a commit with this content; with ``message``, to a tag whose digests are those of it."""
        ident = self.store(b"blob", content)
        for name, tree in self.trees:
            at = tree.index(b" " + name.encode() + b"\0") + len(name) + 2
            ident = self.store(b"tree", tree[:at] + bytes.fromhex(ident) + tree[at + 20 :])
        commit = self.store(b"commit", b"tree " + ident.encode() + self.commit[45:])
        text = self.rewritten(content) if message else self.object
        tag = self.store(b"tag", b"object " + commit.encode() + text[47:])
        (self.box.root / ".git/refs/tags" / self.tag).write_text(tag + "\n")

    def rewritten(self, content: bytes) -> bytes:
        if not self.path.endswith("metadata.yaml"):
            return self.object
        lines = self.object.split(b"\n")
        facts = {b"Modelver-Sidecar: ": hashlib.sha256(content).hexdigest()}
        try:
            document = load_mapping(content, "")
            facts[b"Modelver-Weights: "] = str(document["weights"]["sha256"])
            if document["previous"] is not None:
                lines.append(f"Modelver-Previous: {document['previous']}".encode())
        except (ModelverError, KeyError, TypeError):
            pass
        for start_, digest in facts.items():
            lines = [start_ + b"sha256:" + digest.encode() if line.startswith(start_) else line for line in lines]
        return b"\n".join(lines)


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def undetected(box: Sandbox, model: str, path: str, bits: list[int], message: str) -> list[str]:
    forger = Forger(box, model, path)
    missed = []
    for bit in bits:
        content = flipped(forger.content, bit)
        forger.forge(content, message == "new message")
        if not problems(box, model):
            place = bit // 8
            missed.append(f"{path}, bit {bit}: {content[max(place - 30, 0) : place + 30]!r}")
    forger.forge(forger.content, False)
    assert problems(box, model) == []
    return missed


def test_as_they_were_made_nothing_is_wrong(box):
    assert problems(box, "m") == problems(box, "p") == []
    assert "stage: train" in box.git("show", "p@v1.0.0:models/p/metadata.yaml")


@places
def test_a_flipped_bit_of_a_sample_is_found(box, model, path, message):
    size = len(Forger(box, model, path).content)
    bits = random.Random(f"{path} {message}").sample(range(size * 8), 12)
    assert undetected(box, model, path, bits, message) == []


def every(size: int) -> list[int]:
    """All bits; with FLIPS in the environment, so many of them drawn at random."""
    bits = range(size * 8)
    return sorted(random.sample(bits, min(FLIPS, len(bits)))) if FLIPS else list(bits)


@pytest.mark.slow
@places
def test_every_flipped_bit_is_found(box, model, path, message):
    size = len(Forger(box, model, path).content)
    assert undetected(box, model, path, every(size), message) == []


def in_cache(box: Sandbox, model: str, bits: Callable[[int], list[int]]) -> list[str]:
    """Flip bits of each object of a model's weights; what was not found."""
    report = verify(Project.open(box.root), VerifyRequest(ref=f"{model}@v1.0.0", full=True))
    count = report.versions[0].checked["local"]
    listed = box.git("show", f"{model}@v1.0.0:models/{model}/files.jsonl").splitlines()
    hashes = {json.loads(line)["md5"] for line in listed}
    paths = [p for p in (box.root / ".dvc/cache").rglob("*") if p.is_file()]
    pointer = load_mapping(box.git("show", f"{model}@v1.0.0:models/{model}/metadata.yaml").encode(), "")["weights"][
        "md5"
    ]
    own = [p for p in paths if p.parent.name + p.name in {*hashes, pointer}]
    assert len(own) == count >= 3
    missed = []
    for path in own:
        path.chmod(0o644)
        whole = path.read_bytes()
        for bit in bits(len(whole)):
            path.write_bytes(flipped(whole, bit))
            found = [problem["kind"] for problem in problems(box, model)]
            if found != ["weights"]:
                missed.append(f"{path.name}, bit {bit}: {found}")
        path.write_bytes(whole)
    assert problems(box, model) == []
    return missed


@pytest.mark.parametrize("model", ["m", "p"])
def test_a_flipped_bit_of_the_weights_is_found(box, model):
    draw = random.Random(model)
    assert in_cache(box, model, lambda size: draw.sample(range(size * 8), 3)) == []


@pytest.mark.slow
@pytest.mark.parametrize("model", ["m", "p"])
def test_every_flipped_bit_of_the_weights_is_found(box, model):
    assert in_cache(box, model, every) == []
