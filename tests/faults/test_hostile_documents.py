"""Sidecars, params and DVC's files that mean harm: a clear error or the right value, in little time and memory."""

import json
import subprocess
import sys

import pytest

SECONDS = 10

BOMB = b"a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + b"".join(
    b"a%d: &a%d [%s]\n" % (n, n, b", ".join([b"*a%d" % (n - 1)] * 9)) for n in range(1, 30)
)
DOCUMENTS = {
    "alias bomb": BOMB,
    "alias to itself": b"a: &a [*a]\n",
    "merge bomb": b"a0: &a0 {x: 1}\n"
    + b"".join(b"a%d: &a%d {<<: [%s]}\n" % (n, n, b", ".join([b"*a%d" % (n - 1)] * 9)) for n in range(1, 12)),
    "duplicate keys": b"schema: 1\nschema: 2\n",
    "python object": b"a: !!python/object/apply:os.system [touch pwned]\n",
    "python name": b"a: !!python/name:os.system\n",
    "unknown tag": b"a: !x 1\n",
    "conflict markers": b"a: 1\n<<<<<<< HEAD\nb: 1\n=======\nb: 2\n>>>>>>> x\n",
    "NUL": b"a: \0\n",
    "not UTF-8": b"a: \xff\xfe\n",
    "UTF-16": "a: 1\n".encode("utf-16"),
    "a list": b"- a\n",
    "a scalar": b"text\n",
    "deep": b"[" * 100_000,
    "deep and closed": b"a: " + b"[" * 5000 + b"]" * 5000,
    "deep blocks": b"".join(b" " * n + b"a:\n" for n in range(3000)),
    "many documents": b"a: 1\n---\nb: 2\n" * 100,
    "a key that is a list": b"? [a, b]\n: 1\n",
    "a number without end": b"a: " + b"9" * 1_000_000 + b"\n",
    "100 MB of one scalar": b"a: " + b"x" * (100 << 20),
    "30 MB of one scalar": b"a: " + b"x" * (30 << 20),
    "30 MB of small ones": b"- a\n" * (30 << 18),
    "30 MB of brackets": b"[" + b"[]," * (10 << 20) + b"]",
    "tabs": b"a:\n\tb: 1\n",
    "unfinished": b'a: "\n',
    "a directive": b"%YAML 9.9\n---\na: 1\n",
}  # fmt: skip


JSON_DOCUMENTS = {
    "empty": b"",
    "half": b"{",
    "a list": b"[]",
    "null": b"null",
    "NUL": b"\0",
    "not UTF-8": b"\xff",
    "no facts": b"{}",
    "deep lists": b"[" * 200_000,
    "deep objects": b'{"a":' * 200_000,
    "NaN": b'{"a": NaN}',
    "infinite": b'{"a": 1e999}',
    "a number without end": b"1" * 10_000,
    "10 MB of brackets": b"[" + b"[]," * (5 << 20) + b"[]]",
    "conflict markers": b"<<<<<<< HEAD\n{}\n=======\n{}\n>>>>>>> x\n",
    "100 MB": b"x" * (100 << 20),
}

RUNNER = """
import json, os, resource, sys
from pathlib import Path
from modelver.cli.main import run

resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
target, folder, commands = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
for document in sorted(folder.iterdir()):
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(document.read_bytes())
    for command in commands:  # the processor's time: a busy machine is no fault of the document's
        sys.stderr.write(f"\\0{document.name}: {command[0]}\\0")
        start = sum(os.times()[:4])
        status = run(command)
        sys.stderr.write(f"\\0{status}\\0{sum(os.times()[:4]) - start}")
sys.stderr.flush()
"""


def sweep(box, target: str, documents: dict[str, bytes], *commands: list[str]) -> dict[str, int]:
    """Put each document in place and run the commands on it, in one process that has but so much memory.

    Returns:
        ``NAME: COMMAND`` → exit status.
    """
    folder = box.root.parent / "documents"
    folder.mkdir()
    for name, data in documents.items():
        (folder / name).write_bytes(data)
    done = subprocess.run(
        [sys.executable, "-P", "-c", RUNNER, str(box.root / target), str(folder), json.dumps(commands)],
        cwd=box.root, env=box.env, capture_output=True, check=False,
    )  # fmt: skip
    words = done.stderr.decode("utf-8", "replace").split("\0")
    assert done.returncode == 0, words[-1][-3000:]
    result = {}
    for number in range(1, len(words) - 1, 4):
        what, said, status, seconds = words[number : number + 4]
        assert "Traceback" not in said, said
        assert status in ("0", "2"), f"{what}: {said}"
        assert status == "0" or said.startswith("error: "), f"{what}: {said}"
        assert len(said) < 4000, what
        assert float(seconds) < SECONDS, f"{what} took {seconds} s"
        result[what] = int(status)
    assert len(result) == len(documents) * len(commands)
    assert not (box.root / "pwned").exists()
    return result


def test_as_a_sidecar(tagged_repo):
    sweep(tagged_repo, "models/m/metadata.yaml", DOCUMENTS, ["list"], ["show"], ["status"])


@pytest.mark.parametrize("name", ["alias bomb", "duplicate keys", "python object", "30 MB of small ones", "NUL"])
def test_as_a_sidecar_that_is_committed(tagged_repo, name):
    tagged_repo.write("models/m/metadata.yaml", DOCUMENTS[name])
    tagged_repo.commit(name)
    document = {name: DOCUMENTS[name]}
    found = sweep(tagged_repo, "scratch", document, ["show", "HEAD", "--model", "m"], ["diff", "m@v1.0.0", "HEAD"])
    assert set(found.values()) == {2}


@pytest.mark.parametrize("file", ["params.yaml", "dvc.yaml", "models/m/weights.dvc", "dvc.lock"])
def test_as_a_file_that_all_models_share(tagged_repo, file):
    found = sweep(tagged_repo, file, DOCUMENTS, ["list"], ["tag", "m"])
    assert {what for what, status in found.items() if what.endswith(": tag") and status == 0} == set()
    assert {what for what, status in found.items() if what.endswith(": list") and status != 0} == set()


@pytest.mark.parametrize("file", ["source.json", "validation.json", "files.jsonl", "tensors.jsonl"])
def test_generated_files(tagged_repo, file):
    sweep(tagged_repo, f"models/m/{file}", JSON_DOCUMENTS, ["list"], ["tag", "m", "--dry-run"], ["show"])


@pytest.mark.parametrize("file", ["journal.json", "pushing.json", "known-tags.jsonl"])
def test_modelvers_own_notes(tagged_repo, file):
    """They lie in `.git`, which a folder that was copied has with it."""
    found = sweep(tagged_repo, f".git/modelver/{file}", JSON_DOCUMENTS, ["list"], ["tag", "m", "--push"])
    assert {what for what, status in found.items() if what.endswith(": list") and status != 0} == set()


def test_values_that_yaml_1_1_would_change(tagged_repo):
    """A version 1.10 is no 1.1, a country NO is not false."""
    card = tagged_repo.root / "models/m/README.md"
    card.write_bytes(b"\xef\xbb\xbf---\r\nowner: NO\r\nlicense: '1.10'\r\n---\r\n# m\r\n")
    tagged_repo.commit("card")
    shown = tagged_repo.mv("show", "--format", "json").json()
    assert (shown["owner"], shown["license"]) == ("NO", "1.10")


def test_byte_order_mark_and_crlf(tagged_repo):
    for file in ("params.yaml", "dvc.yaml", "models/m/metadata.yaml"):
        path = tagged_repo.root / file
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    tagged_repo.commit("marks")
    assert tagged_repo.mv("show", "HEAD", "--model", "m", "--format", "json").json()["version"] == "v1.0.0"
    tagged_repo.change("m", 2)
    tagged_repo.mv("status")
