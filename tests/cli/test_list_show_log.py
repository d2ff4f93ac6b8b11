"""`list`, `show` and `log`; what GTO and DVC read; how the command line behaves as a program among programs."""

import json
import os
import pty
import signal
import subprocess
import sys
import time

import pytest

from modelver.cli import main

MODELVER = [sys.executable, "-P", "-m", "modelver"]


@pytest.fixture
def two_versions(tagged_repo):
    tagged_repo.change("m", 2)
    tagged_repo.mv("tag", "m", "-m", "the second")
    return tagged_repo


class TestList:
    def test_json(self, two_versions):
        found = two_versions.mv("list", "m", "--format", "json").json()
        assert [v["version"] for v in found] == ["v1.0.1", "v1.0.0"]
        first = found[0]
        assert list(first) == ["model", "version", "tag", "commit", "created", "environments", "yanked"]
        assert first["commit"] == two_versions.git("rev-parse", "m@v1.0.1^{commit}")
        fields = "--format=%(taggerdate:format-local:%Y-%m-%dT%H:%M:%SZ)"
        assert first["created"] == two_versions.git("for-each-ref", fields, "refs/tags/m@v1.0.1")
        assert (first["model"], first["tag"], first["environments"], first["yanked"]) == ("m", "m@v1.0.1", [], False)

    def test_no_versions(self, model_repo):
        assert model_repo.mv("list", "--format", "json").json() == []
        assert "modelver tag" in model_repo.mv("list").err

    def test_a_model_that_is_not_there(self, two_versions):
        assert "there is no model" in two_versions.mv("list", "n", status=2).err

    def test_all_models_are_named_where_they_are_few(self, tagged_repo):
        tagged_repo.add_model("wine", 2)
        for words in (("list", "nope"), ("log", "nope"), ("status", "nope")):
            assert tagged_repo.hint(tagged_repo.mv(*words, status=2)) == "there are m, wine"
        for words in (("show", "nope"), ("get", "nope", "-o", "x")):
            assert tagged_repo.hint(tagged_repo.mv(*words, status=2)) == "there are m, m@v1.0.0"
        tagged_repo.mv("tag", "wine")
        for words in (("show", "nope"), ("get", "nope", "-o", "x")):
            assert tagged_repo.hint(tagged_repo.mv(*words, status=2)) == "there are m, wine, m@v1.0.0, wine@v1.0.0"

    def test_lightweight_tags_are_no_versions(self, two_versions):
        two_versions.git("tag", "m@v9.0.0")
        assert len(two_versions.mv("list", "--format", "json").json()) == 2

    def test_environments_and_yanks_that_gto_made(self, two_versions):
        two_versions.git("tag", "-a", "-m", "prod", "m#prod#1", "m@v1.0.0^{commit}")
        two_versions.git("tag", "-a", "-m", "bad", "m@v1.0.1!", "m@v1.0.1^{commit}")
        newer, older = two_versions.mv("list", "--format", "json").json()
        assert (newer["yanked"], newer["environments"]) == (True, [])
        assert (older["yanked"], older["environments"]) == (False, ["prod"])
        assert two_versions.mv("show", "m#prod", "--format", "json").json()["version"] == "v1.0.0"
        assert two_versions.mv("show", "latest", "--format", "json").json()["version"] == "v1.0.0"


class TestShow:
    def test_holds_the_sidecar_whole_and_the_facts_of_the_tag(self, two_versions):
        shown = two_versions.mv("show", "v1.0.1", "--format", "json").json()
        tag = shown.pop("tag")
        sidecar = two_versions.git("show", "m@v1.0.1:models/m/metadata.yaml")
        for key in shown:
            assert f"\n{key}:" in f"\n{sidecar}"
        assert tag["name"] == "m@v1.0.1"
        assert tag["tagger"] == "A U Thor <a@example.com>"
        assert tag["signature"] == "none"
        assert tag["message"].startswith("m v1.0.1\n\nthe second\n\nModelver-Model: m")
        assert tag["trailers"]["Modelver-Previous"] == "v1.0.0"

    @pytest.mark.parametrize("ref", ["v1", "v1.0", "1.0.1", "latest", "m@latest", "HEAD", "main", "m@v1.0.1"])
    def test_refs(self, two_versions, ref):
        assert two_versions.mv("show", ref, "--format", "json").json()["version"] == "v1.0.1"

    def test_the_working_tree(self, two_versions):
        shown = two_versions.mv("show", "--format", "json").json()
        assert shown["tag"] is None

    @pytest.mark.parametrize("ref", ["v9", "m@v1.0.9", "nope", "m#prod", "HEAD~99"])
    def test_unknown_refs(self, two_versions, ref):
        assert "error: " in two_versions.mv("show", ref, status=2).err


class TestLog:
    def test_newest_first(self, two_versions):
        found = two_versions.mv("log", "m", "--format", "json").json()
        assert [(e["action"], e["version"]) for e in found] == [("version", "v1.0.1"), ("version", "v1.0.0")]
        assert found[0]["message"].startswith("m v1.0.1\n\nthe second")
        assert len(two_versions.mv("log", "-m", "1", "--format", "json").json()) == 1

    def test_the_words_of_a_tag_are_told(self, two_versions):
        two_versions.change("m", 3)
        two_versions.mv("tag", "m", "-m", "better on hills\nand in rain")
        two_versions.git("tag", "-a", "m@v9.0.0", "-m", "by \x1b[31mhand")
        shown = two_versions.mv("log", "m").out.splitlines()
        assert shown[1].endswith("by \\x1b[31mhand")
        assert [line.split("A U Thor")[1].strip() for line in shown[2:]] == ["better on hills", "the second", ""]
        notes = [e["note"] for e in two_versions.mv("log", "m", "--format", "json").json()]
        assert notes == ["by \x1b[31mhand", "better on hills\nand in rain", "the second", ""]
        assert "message    better on hills and in rain\n" in two_versions.mv("show", "v1.0.2").out
        assert "message" not in two_versions.mv("show", "v1.0.0").out


class TestOtherTools:
    def test_gto(self, two_versions):
        shown = json.loads(two_versions.run("gto", "show", "m", "--json").out)
        assert [row["version"] for row in shown] == ["v1.0.1", "v1.0.0"]
        history = json.loads(two_versions.run("gto", "history", "m", "--json").out)
        assert {row["version"] for row in history if row["event"] == "registration"} == {"v1.0.0", "v1.0.1"}
        reference = json.loads(two_versions.run("gto", "check-ref", "m@v1.0.1", "--json").out)
        assert (reference["artifact"], reference["version"], reference["tag"]) == ("m", "v1.0.1", "m@v1.0.1")

    def test_dvc_artifacts_get(self, two_versions, tmp_path):
        got = tmp_path / "got"
        dvc = [sys.executable, "-P", "-m", "dvc", "artifacts", "get", str(two_versions.root), "m"]
        two_versions.run(*dvc, "--rev", "v1.0.0", "-o", str(got))
        two_versions.git("checkout", "-q", "m@v1.0.0")
        weights = two_versions.root / "models/m/weights"
        expected = {p.relative_to(weights): p.read_bytes() for p in weights.rglob("*") if p.is_file()}
        assert {p.relative_to(got): p.read_bytes() for p in got.rglob("*") if p.is_file()} == expected


class TestStartUp:
    HEAVY = ("dvc", "dvc_data", "onnx", "onnxruntime", "numpy", "sklearn", "git", "pandas", "torch", "ruamel")

    @pytest.mark.parametrize("words", [["--version"], ["--help"], ["list"], ["list", "m", "--format", "json"], ["log"]])
    def test_nothing_heavy_is_loaded(self, two_versions, words):
        code = (
            "import sys\nfrom modelver.cli.main import run\nstatus = run(sys.argv[1:])\n"
            f"print([m for m in {self.HEAVY!r} if m in sys.modules], file=sys.stderr)\nsys.exit(status)"
        )
        done = two_versions.run(sys.executable, "-P", "-c", code, *words)
        assert done.err.splitlines()[-1] == "[]"


class TestManners:
    def complete(self, box, line: str) -> list[str]:
        words = line.split(" ")
        done = box.run(
            *MODELVER, _MODELVER_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=str(len(words) - 1), status=None
        )
        assert done.err == ""
        return done.out.split()

    def test_completion(self, two_versions):
        assert self.complete(two_versions, "modelver tag ") == ["m"]
        assert self.complete(two_versions, "modelver list ") == ["m"]
        assert {"m@v1.0.0", "m@v1.0.1", "m@latest"} <= set(self.complete(two_versions, "modelver show m"))
        assert {"v1.0.0", "v1.0.1"} == set(self.complete(two_versions, "modelver show v"))
        assert "restore" in self.complete(two_versions, "modelver re")

    def test_completion_where_there_is_no_repository(self, two_versions, tmp_path):
        place = tmp_path / "nowhere"
        place.mkdir()
        two_versions.root = place
        assert self.complete(two_versions, "modelver show ") == []

    def test_the_reader_goes_away(self, two_versions):
        for number in range(60):
            two_versions.git("tag", "-a", "-m", "x", f"m@v2.0.{number}", "m@v1.0.0^{commit}")
        shell = f"{sys.executable} -P -m modelver list --format json | head -1"
        done = two_versions.run("sh", "-c", shell)
        assert done.out == "[\n"
        assert done.err == ""

    def test_no_escape_codes_where_there_is_no_terminal(self, two_versions):
        for words in (["list"], ["show", "v1"], ["log"], ["status"], ["diff", "v1.0.0", "v1.0.1"], ["--help"]):
            done = two_versions.mv(*words, TERM="xterm-256color")
            assert "\x1b" not in done.out + done.err
        assert "\x1b" not in two_versions.mv("show", "nope", status=2, TERM="xterm-256color").err

    @pytest.mark.parametrize("no_color", ["1", ""])
    def test_colour_on_a_terminal_unless_unwanted(self, two_versions, no_color):
        leader, follower = pty.openpty()
        env = {**two_versions.env, "TERM": "xterm", "NO_COLOR": no_color}
        subprocess.run([*MODELVER, "show", "nope"], cwd=two_versions.root, env=env, stderr=follower, check=False)
        os.close(follower)
        said = os.read(leader, 10_000)
        os.close(leader)
        assert b"error:" in said
        assert (b"\x1b[" in said) == (not no_color)

    @pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-16"])
    def test_a_terminal_that_can_not_show_everything(self, two_versions, encoding):
        two_versions.git("config", "user.name", "J\u00fcrgen \u6a21\u578b")
        two_versions.git("tag", "-a", "-m", "\u6a21\u578b", "m@v3.0.0", "m@v1.0.0^{commit}")
        for words in (["log"], ["show", "v1.0.0"], ["log", "--format", "json"], ["show", "\u00fc"], ["tag", "\u6a21"]):
            done = subprocess.run(
                [*MODELVER, *words], cwd=two_versions.root, capture_output=True, check=False,
                env={**two_versions.env, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"},
            )  # fmt: skip
            assert b"Traceback" not in done.stderr, done.stderr
            assert done.returncode in (0, 2)

    def test_interrupted(self, model_repo):
        """Ctrl-C while Git works: 130, and nothing has changed."""
        folder = model_repo.root.parent / "slow"
        folder.mkdir()
        (folder / "git").write_text(
            '#!/bin/sh\ncase " $* " in *" mktag "*) touch "$READY"; sleep 30;; esac\nexec "$GIT" "$@"\n'
        )
        (folder / "git").chmod(0o755)
        git = subprocess.run(["sh", "-c", "command -v git"], capture_output=True, text=True, check=True).stdout.strip()
        ready = folder / "ready"
        env = {**model_repo.env, "PATH": f"{folder}:{model_repo.env['PATH']}", "GIT": git, "READY": str(ready)}
        before = model_repo.fingerprint()
        process = subprocess.Popen(
            [*MODELVER, "tag", "m"], cwd=model_repo.root, env=env, stderr=subprocess.PIPE, start_new_session=True
        )
        while not ready.exists() and process.poll() is None:
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=30)
        assert process.returncode == 130
        assert b"Traceback" not in errors
        assert model_repo.fingerprint() == before
        model_repo.mv("tag", "m")

    def test_statuses_and_usage(self, model_repo):
        assert model_repo.mv("nonsense", status=2).err
        assert model_repo.mv("list", "--format", "xml", status=2).err
        assert model_repo.mv("-C", "/nonexistent", "list", status=2).err
        assert model_repo.mv("--version").out.startswith("modelver ")

    def test_in_process(self, model_repo, monkeypatch, capsys):
        monkeypatch.chdir(model_repo.root)
        assert main.run(["list", "--format", "json"]) == 0
        assert capsys.readouterr().out == "[]\n"
        assert main.run(["show", "nope"]) == 2


def test_a_replaced_commit_is_shown_as_it_was_tagged(tagged_repo):
    before = tagged_repo.mv("show", "v1", "--format", "json").json()
    card = tagged_repo.root / "models/m/metadata.yaml"
    card.write_text(card.read_text().replace("version: v1.0.0", "version: v9.9.9"))
    tagged_repo.git("commit", "-qam", "another truth")
    tagged_repo.git("replace", "m@v1.0.0^{commit}", "HEAD")
    tagged_repo.git("checkout", "-q", "--detach", "HEAD~1")
    assert "v9.9.9" in tagged_repo.git("show", "m@v1.0.0:models/m/metadata.yaml")
    assert tagged_repo.mv("show", "v1", "--format", "json").json() == before
