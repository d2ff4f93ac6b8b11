"""Names and refs that mean harm: a clear refusal, exit status 2, and nothing written."""

import json
import shutil

import pytest
from sandbox import InProcess, environment

import modelver
from modelver.errors import Refused
from modelver.operations.add import AddRequest

NAMES = [
    "-d", "--delete", "../../x", "a..b", "x.lock", "@{x", "HEAD", "a\u202eb", "M", "a" * 300, "", "a\nb", "--help=x",
    "-c core.pager=id", "$(id)", "--upload-pack=id", "\x1b[31m", "--output=/tmp/x",
]  # fmt: skip
MORE_REFS = ["m@../../x", "m@--help", "m@@{x", "m#-d", "m@v1.0.0\n"]
REFS = [ref for ref in NAMES if ref not in ("HEAD", "M")] + MORE_REFS


def shielded(command: list[str], word: str) -> list[list[str]]:
    """With ``--`` in front always; without it too, where the word is then still one."""
    return [[*command, "--", word], *([] if word.startswith("-") else [[*command, word]])]


@pytest.fixture(scope="module")
def repo(model_template, tmp_path_factory):
    tmp = tmp_path_factory.mktemp("hostile")
    shutil.copytree(model_template, tmp / "repo", symlinks=True)
    box = InProcess(tmp / "repo", environment(tmp / "home"))
    box.mv("tag", "m")
    box.write("plain.bin", b"bytes")
    return box


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_names(repo, name):
    before = repo.fingerprint()
    for command in (["tag"], ["record"], ["list"], ["log"], ["status"]):
        for words in shielded(command, name):
            done = repo.mv(*words, status=2)
            assert "error" in done.err.lower()
            assert "\x1b" not in done.err
            assert "\u202e" not in done.err
    done = repo.mv("add", "--", name, "plain.bin", status=2)
    assert "error: " in done.err
    assert repo.fingerprint() == before


@pytest.mark.parametrize("ref", REFS, ids=ascii)
def test_refs(repo, ref):
    before = repo.fingerprint()
    for command in (["show"], ["diff"], ["diff", "m@v1.0.0"]):
        for words in shielded(command, ref):
            assert "error" in repo.mv(*words, status=2).err.lower()
    assert repo.fingerprint() == before


@pytest.mark.parametrize("word", ["-d", "--delete", "--exec=id", "-x"])
def test_options_that_do_not_exist(repo, word):
    for command in ("tag", "record", "list", "show", "diff", "log", "status", "add", "restore"):
        done = repo.mv(command, word, status=2)
        assert f"No such option: {word.partition('=')[0]}" in done.err


@pytest.mark.parametrize("path", ["../../x", "/etc/passwd", "/", "-d", "a\nb", ""])
def test_restore_stays_inside(repo, path):
    before = repo.fingerprint()
    repo.mv("restore", "--", path, status=None)
    assert repo.fingerprint() == before


@pytest.mark.parametrize("word", ["a\0b", "\0", "m\0", "\ud800", "m@v1.0.0\0"])
def test_what_no_command_line_can_hold(repo, word):
    library = modelver.open(repo.root)
    before = repo.fingerprint()
    calls = [
        lambda: library.tag(word), lambda: library.record(word), lambda: library.list(word), lambda: library.log(word),
        lambda: library.status(word), lambda: library.show(word), lambda: library.diff("m@v1.0.0", word),
        lambda: library.tag("m", version=word),
        lambda: library.tag("m", bump=word), lambda: library.add(AddRequest(word, repo.root / "plain.bin")),
        lambda: library.add(AddRequest("p", repo.root / word)), lambda: modelver.open(word),
        lambda: library.add(AddRequest("p", repo.root / "plain.bin", framework=word)),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(Refused):
            call()
    assert repo.fingerprint() == before


def test_a_model_of_that_case_exists(repo):
    assert "only by case" in repo.mv("add", "M", "plain.bin", status=2).err


@pytest.mark.parametrize("name", ["../../x", "-d", "a\u202eb", "HEAD", "a b", "x" * 300])
def test_names_that_somebody_wrote_into_dvc_yaml(tagged_repo, name):
    """They name no model; all other work goes on."""
    text = (tagged_repo.root / "dvc.yaml").read_text()
    tagged_repo.write("dvc.yaml", text.replace("artifacts:\n", f"artifacts:\n  {json.dumps(name)}:\n    path: x\n", 1))
    tagged_repo.commit("hostile")
    for command in (["list"], ["status"], ["show", "m@v1.0.0"], ["log"], ["list", "m"]):
        done = tagged_repo.mv(*command)
        assert "\u202e" not in done.out
    tagged_repo.mv("tag", "--", name, status=2)


@pytest.mark.parametrize("key", ["1", "null", "true", "1.5"])
def test_keys_that_are_no_text(tagged_repo, key):
    text = (tagged_repo.root / "dvc.yaml").read_text()
    tagged_repo.write("dvc.yaml", text.replace("artifacts:\n", f"artifacts:\n  {key}:\n    path: x\n", 1))
    assert [version["model"] for version in tagged_repo.mv("list", "--format", "json").json()] == ["m"]
    assert "m (ingested)" in tagged_repo.mv("status").out
    assert tagged_repo.mv("show", "m@v1.0.0", "--format", "json").json()["version"] == "v1.0.0"


def test_tags_that_others_made(tagged_repo):
    """Whatever Git accepts as a tag's name, and what is no annotated tag of a commit."""
    for name in ("V1", "v1", "release/1", "m@v1", "m@1.0.0", "m@v9.9.9+b@x", "a\u202eb", "x@v1.0.0-01"):
        tagged_repo.git("tag", "-a", "-m", "by hand", name)
    tagged_repo.git("tag", "m@v5.0.0")
    tagged_repo.git("tag", "-a", "-m", "a tree", "m@v6.0.0", "HEAD^{tree}")
    assert [v["version"] for v in tagged_repo.mv("list", "--format", "json").json()] == ["v1.0.0"]
    tagged_repo.git("tag", "-a", "-m", "by hand", "m@v7.0.0", "HEAD~1")
    assert "holds no sidecar" in tagged_repo.mv("show", "m@v7.0.0", status=2).err
    tagged_repo.mv("list")
    tagged_repo.mv("log")
