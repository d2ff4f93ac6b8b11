"""`modelver tag`: what it makes, what it leaves alone, and what it refuses."""

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sandbox import Sandbox

import models

DIRTY_LINES = "".join(f"line {n}\n" for n in range(20))


def make_dirty(box: Sandbox) -> None:
    """A partly staged file, a dirty one, an untracked one, one staged for removal, one only announced."""
    box.write("code.py", "staged at the top\n" + DIRTY_LINES)
    box.git("add", "code.py")
    box.write("code.py", "staged at the top\n" + DIRTY_LINES + "not staged at the end\n")
    box.write("notes.txt", "dirty\n")
    box.write("scratch.txt", "untracked\n")
    box.write("announced.txt", "announced\n")
    box.git("add", "-N", "announced.txt")
    box.git("rm", "-q", "--cached", ".dvcignore")


def unrelated(box: Sandbox) -> tuple[object, ...]:
    """Index, both diffs and files of everything outside of ``models/``."""
    outside = ["--", ".", ":!models"]
    return (
        box.git("ls-files", "-s", "-v", *outside),
        box.git("diff", *outside),
        box.git("diff", "--cached", *outside),
        box.git("ls-files", "--others", *outside),
        {path: data for path, data in box.files().items() if not path.startswith("models/")},
    )


def tag_object(box: Sandbox, name: str) -> str:
    return box.git("cat-file", "tag", name)


def trailers(box: Sandbox, name: str) -> dict[str, str]:
    found = box.git("tag", "--list", "--format=%(contents:trailers:only,unfold)", name)
    return dict(line.split(": ", 1) for line in found.splitlines() if line)


class TestFirst:
    def test_makes_an_annotated_tag_of_a_commit_that_holds_the_sidecar(self, model_repo):
        before = model_repo.git("rev-parse", "HEAD")
        done = model_repo.mv("tag", "m", "-m", "the first one", "--format", "json").json()
        assert (done["tag"], done["version"], done["previous"]) == ("m@v1.0.0", "v1.0.0", None)
        assert model_repo.git("cat-file", "-t", "m@v1.0.0") == "tag"
        assert model_repo.git("rev-parse", "m@v1.0.0^{commit}") == done["commit"] == model_repo.git("rev-parse", "HEAD")
        assert model_repo.git("rev-parse", "HEAD^") == before
        assert model_repo.git("diff", "--name-only", "HEAD^", "HEAD") == "models/m/metadata.yaml"
        assert model_repo.git("status", "--porcelain") == ""

    def test_message_and_trailers(self, model_repo):
        model_repo.mv("tag", "m", "-m", "the first one")
        assert "\n\nm v1.0.0\n\nthe first one\n\nModelver-Model: m\n" in tag_object(model_repo, "m@v1.0.0")
        found = trailers(model_repo, "m@v1.0.0")
        sidecar = subprocess.run(
            ["sha256sum", model_repo.root / "models/m/metadata.yaml"], capture_output=True, text=True, check=True
        ).stdout.split()[0]
        assert found["Modelver-Version"] == "v1.0.0"
        assert found["Modelver-Sidecar"] == f"sha256:{sidecar}"
        assert found["Modelver-Bump"] == "none (first version)"

    def test_the_name_may_be_left_out_where_there_is_one_model(self, model_repo):
        model_repo.mv("tag")
        assert model_repo.tags() == ["m@v1.0.0"]

    def test_a_recorded_and_merged_sidecar_needs_no_commit(self, model_repo):
        model_repo.mv("record", "m")
        head = model_repo.commit("reviewed")
        model_repo.mv("tag", "m")
        assert model_repo.git("rev-parse", "HEAD") == head == model_repo.git("rev-parse", "m@v1.0.0^{commit}")


class TestNext:
    def test_the_bump_and_its_reasons_stand_in_the_tag(self, tagged_repo):
        tagged_repo.change("m", 2)
        done = tagged_repo.mv("tag", "m", "--format", "json").json()
        assert (done["version"], done["previous"], done["bump"]["level"]) == ("v1.0.1", "v1.0.0", "patch")
        found = trailers(tagged_repo, "m@v1.0.1")
        assert found["Modelver-Previous"] == "v1.0.0"
        assert found["Modelver-Bump"].startswith("patch (")
        assert all(reason in found["Modelver-Bump"] for reason in done["bump"]["reasons"])

    def test_a_larger_bump_may_be_asked_for(self, tagged_repo):
        tagged_repo.change("m", 2)
        tagged_repo.mv("tag", "m", "--bump", "minor")
        assert tagged_repo.tags() == ["m@v1.0.0", "m@v1.1.0"]

    def test_a_version_may_be_named(self, tagged_repo):
        tagged_repo.change("m", 2)
        tagged_repo.mv("tag", "m", "--version", "v3.0.0")
        assert tagged_repo.tags() == ["m@v1.0.0", "m@v3.0.0"]

    def test_prereleases_come_before_their_release_and_are_never_latest(self, tagged_repo):
        tagged_repo.change("m", 2)
        tagged_repo.mv("tag", "m", "--version", "v2.0.0-rc.1")
        tagged_repo.change("m", 3)
        tagged_repo.mv("tag", "m", "--version", "2.0.0-rc.2")
        assert tagged_repo.mv("show", "m@latest", "--format", "json").json()["version"] == "v1.0.0"
        tagged_repo.change("m", 4)
        tagged_repo.mv("tag", "m")
        listed = [v["version"] for v in tagged_repo.mv("list", "m", "--format", "json").json()]
        assert listed == ["v2.0.0", "v2.0.0-rc.2", "v2.0.0-rc.1", "v1.0.0"]
        assert tagged_repo.mv("show", "m@latest", "--format", "json").json()["version"] == "v2.0.0"

    def test_hotfix_of_an_old_version(self, tagged_repo):
        tagged_repo.change("m", 2)
        tagged_repo.mv("tag", "m", "--version", "v2.0.0")
        tagged_repo.git("checkout", "-q", "-b", "hotfix", "m@v1.0.0")
        tagged_repo.change("m", 3)
        done = tagged_repo.mv("tag", "m", "--format", "json").json()
        assert (done["version"], done["previous"]) == ("v1.0.1", "v1.0.0")
        assert tagged_repo.mv("show", "m@latest", "--format", "json").json()["version"] == "v2.0.0"

    def test_force_new_makes_a_version_of_unchanged_weights(self, tagged_repo):
        tagged_repo.mv("tag", "m", "--force-new")
        assert tagged_repo.tags() == ["m@v1.0.0", "m@v1.0.1"]
        found = trailers(tagged_repo, "m@v1.0.1")
        assert found["Modelver-Forced"] == "new version of unchanged weights"
        assert found["Modelver-Bump"] == "patch (nothing changed since v1.0.0)"


class TestSchemes:
    def set_scheme(self, box: Sandbox, scheme: str) -> None:
        text = (box.root / "params.yaml").read_text()
        assert "scheme: semver" in text
        box.write("params.yaml", text.replace("scheme: semver", f"scheme: {scheme}"))
        box.commit(scheme)

    def test_sequence(self, model_repo):
        self.set_scheme(model_repo, "sequence")
        for seed in (2, 3):
            model_repo.mv("tag", "m")
            model_repo.change("m", seed)
        model_repo.mv("tag", "m", "--version", "7")
        assert model_repo.tags() == ["m@v1.0.0", "m@v2.0.0", "m@v7.0.0"]

    def test_timestamp(self, model_repo):
        self.set_scheme(model_repo, "timestamp")
        model_repo.mv("tag", "m")
        model_repo.change("m", 2)
        model_repo.mv("tag", "m", "--bump", "major")
        first, second = (v["version"] for v in reversed(model_repo.mv("list", "--format", "json").json()))
        assert first != second
        created = model_repo.git("for-each-ref", "--format=%(taggerdate:format-local:%Y%m%d)", f"refs/tags/m@{second}")
        assert second.startswith(f"v{created}.")

    def test_an_unknown_one(self, model_repo):
        self.set_scheme(model_repo, "calver")
        assert "semver, sequence, timestamp" in model_repo.refused("tag", "m").err


class TestDryRun:
    def test_writes_nothing(self, tagged_repo):
        tagged_repo.change("m", 2)
        tagged_repo.git("status")
        make_dirty(tagged_repo)
        before = tagged_repo.fingerprint()
        objects = tagged_repo.git("count-objects", "-v")
        index = (tagged_repo.root / ".git" / "index").read_bytes()
        done = tagged_repo.mv("tag", "m", "--dry-run", "--format", "json").json()
        assert (done["version"], done["commit"], done["dry_run"]) == ("v1.0.1", None, True)
        assert tagged_repo.fingerprint() == before
        assert tagged_repo.git("count-objects", "-v") == objects
        assert (tagged_repo.root / ".git" / "index").read_bytes() == index

    def test_names_the_steps(self, tagged_repo):
        tagged_repo.change("m", 2)
        assert "create the tag m@v1.0.1" in tagged_repo.mv("tag", "m", "-n").out


class TestLeavesAlone:
    def test_everything_that_is_not_the_models(self, tagged_repo):
        tagged_repo.change("m", 2)
        make_dirty(tagged_repo)
        before = unrelated(tagged_repo)
        tagged_repo.mv("tag", "m")
        assert unrelated(tagged_repo) == before
        assert tagged_repo.git("status", "--porcelain", "--", "models") == ""

    def test_another_model_that_is_dirty(self, tagged_repo):
        tagged_repo.add_model("other", 7)
        tagged_repo.mv("tag", "other")
        tagged_repo.change("other", 8)
        tagged_repo.git("add", "models/other/files.jsonl")
        tagged_repo.change("m", 2)
        other = tagged_repo.git("status", "--porcelain", "--", "models/other")
        assert other
        tagged_repo.mv("tag", "m")
        assert tagged_repo.git("status", "--porcelain") == other
        tagged_repo.mv("tag", "other")
        assert tagged_repo.tags() == ["m@v1.0.0", "m@v1.0.1", "other@v1.0.0", "other@v1.0.1"]
        assert tagged_repo.git("diff", "--name-only", "HEAD^", "HEAD", "--", ":!models/other") == ""

    def test_two_models_are_rolled_back_apart(self, tagged_repo):
        tagged_repo.add_model("other", 7)
        tagged_repo.mv("tag", "other")
        tagged_repo.change("m", 2)
        tagged_repo.mv("tag", "m")
        tagged_repo.change("other", 8)
        tagged_repo.mv("tag", "other")
        weights = {name: content(tagged_repo, f"models/{name}/weights") for name in ("m", "other")}
        tagged_repo.git("checkout", "-q", "m@v1.0.0", "--", "models/m")
        tagged_repo.mv("restore", "models/m/weights")
        assert content(tagged_repo, "models/m/weights") != weights["m"]
        assert content(tagged_repo, "models/other/weights") == weights["other"]

    def test_the_post_checkout_hook_brings_weights_back(self, tagged_repo):
        first = content(tagged_repo, "models/m/weights")
        tagged_repo.change("m", 2)
        tagged_repo.mv("tag", "m")
        second = content(tagged_repo, "models/m/weights")
        assert first != second
        tagged_repo.git("checkout", "-q", "m@v1.0.0")
        assert content(tagged_repo, "models/m/weights") == first
        tagged_repo.git("checkout", "-q", "main")
        assert content(tagged_repo, "models/m/weights") == second


def content(box: Sandbox, folder: str) -> dict[str, bytes]:
    top = box.root / folder
    return {p.relative_to(top).as_posix(): p.read_bytes() for p in sorted(top.rglob("*")) if p.is_file()}


class TestPlaces:
    """Where Git's own set-up is unusual."""

    def check(self, box: Sandbox) -> None:
        box.change("m", 2)
        make_dirty(box)
        before = unrelated(box)
        box.mv("tag", "m")
        assert unrelated(box) == before
        assert "m@v1.0.1" in box.tags()
        assert box.git("status", "--porcelain", "--", "models") == ""
        assert box.git("fsck", "--no-dangling", "--strict") == ""

    def test_detached_head(self, tagged_repo):
        tagged_repo.git("checkout", "-q", "--detach")
        main = tagged_repo.git("rev-parse", "main")
        self.check(tagged_repo)
        assert tagged_repo.git("rev-parse", "main") == main
        assert tagged_repo.git("rev-parse", "HEAD") == tagged_repo.git("rev-parse", "m@v1.0.1^{commit}")

    def test_linked_worktree(self, tagged_repo, tmp_path):
        tagged_repo.git("worktree", "add", "-q", "-b", "side", str(tmp_path / "side"))
        main = tagged_repo.git("rev-parse", "main")
        self.check(Sandbox(tmp_path / "side", tagged_repo.env))
        assert tagged_repo.git("rev-parse", "main") == main
        assert tagged_repo.git("status", "--porcelain") == ""

    def test_submodule(self, tagged_repo, tmp_path):
        outer = Sandbox(tmp_path / "outer", tagged_repo.env)
        outer.root.mkdir()
        outer.git("init", "-q")
        outer.git("submodule", "--quiet", "add", f"file://{tagged_repo.root}", "inner")
        inner = Sandbox(outer.root / "inner", tagged_repo.env)
        shutil.copytree(tagged_repo.root / ".dvc" / "cache", inner.root / ".dvc" / "cache")
        self.check(inner)
        assert inner.git("rev-parse", "--show-superproject-working-tree") == str(outer.root)

    def test_split_index(self, tagged_repo):
        tagged_repo.git("update-index", "--split-index")
        tagged_repo.git("config", "core.splitIndex", "true")
        shared = list((tagged_repo.root / ".git").glob("sharedindex.*"))
        assert shared
        self.check(tagged_repo)

    def test_sparse_index(self, tagged_repo):
        tagged_repo.write("far/away/file.txt", "far\n")
        tagged_repo.commit("far away")
        tagged_repo.git("sparse-checkout", "set", "--cone", "--sparse-index", ".dvc", "models")
        assert not (tagged_repo.root / "far").exists()
        self.check(tagged_repo)
        assert not (tagged_repo.root / "far").exists()
        assert tagged_repo.git("show", "HEAD:far/away/file.txt") == "far"

    @pytest.mark.parametrize("attributes", [True, False])
    def test_autocrlf(self, tagged_repo, tmp_path, attributes):
        """On Windows Git may check out CRLF; what is committed is LF all the same, and nothing looks changed."""
        if not attributes:
            tagged_repo.write(".gitattributes", "")
            tagged_repo.commit("no attributes")
        clone = tagged_repo.clone(tmp_path / "clone", "-c", "core.autocrlf=true", "-c", "core.safecrlf=false")
        shutil.copytree(tagged_repo.root / ".dvc" / "cache", clone.root / ".dvc" / "cache")
        assert b"\r\n" in (clone.root / "code.py").read_bytes()
        clone.change("m", 2)
        clone.mv("tag", "m")
        changed = clone.git("diff", "--name-only", "HEAD^", "HEAD").splitlines()
        assert "models/m/metadata.yaml" in changed
        assert "models/m/.gitignore" not in changed
        for path in clone.git("ls-files", "models/m").splitlines():
            assert (
                "\r"
                not in subprocess.run(
                    ["git", "show", f"HEAD:{path}"], cwd=clone.root, capture_output=True, check=True, env=clone.env
                ).stdout.decode()
            )
        assert clone.git("status", "--porcelain") == ""

    def test_a_folder_with_spaces_and_other_letters(self, tmp_path, model_template, tagged_repo):
        place = tmp_path / "mein Ordner é 模型 'q' $x"
        shutil.move(tagged_repo.root, place)
        self.check(Sandbox(place, tagged_repo.env))

    def test_a_subfolder_of_the_working_tree(self, tagged_repo):
        tagged_repo.change("m", 2)
        tagged_repo.mv("-C", "models/m", "tag", "m")
        assert "m@v1.0.1" in tagged_repo.tags()

    def test_inside_of_a_hook(self, tagged_repo):
        """Git's variables point at the repository whose hook runs."""
        tagged_repo.change("m", 2)
        tagged_repo.mv("tag", "m", GIT_DIR="/nonexistent", GIT_INDEX_FILE="/nonexistent", GIT_WORK_TREE="/")
        assert "m@v1.0.1" in tagged_repo.tags()


class TestSigned:
    @pytest.fixture
    def signing(self, model_repo):
        key = model_repo.root.parent / "key with space"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        public = key.with_suffix(".pub").read_text().split()
        allowed = model_repo.root.parent / "allowed"
        allowed.write_text(f"a@example.com {public[0]} {public[1]}\n")
        model_repo.git("config", "gpg.format", "ssh")
        model_repo.git("config", "user.signingKey", str(key))
        model_repo.git("config", "gpg.ssh.allowedSignersFile", str(allowed))
        return model_repo

    def signature(self, box: Sandbox) -> str:
        return box.mv("show", "m@v1.0.0", "--format", "json").json()["tag"]["signature"]

    def test_on_demand(self, signing):
        signing.mv("tag", "m", "--sign", "-m", "signed")
        signing.git("verify-tag", "m@v1.0.0")
        assert self.signature(signing) == "good"
        # Git's own %(trailers) finds none in front of a signature
        shown = signing.mv("show", "m@v1.0.0", "--format", "json").json()["tag"]
        assert shown["trailers"]["Modelver-Version"] == "v1.0.0"
        assert shown["message"].startswith("m v1.0.0\n\nsigned\n\n")
        assert signing.run("git", "verify-commit", "HEAD", status=1)

    def test_by_configuration_tag_and_commit(self, signing):
        signing.git("config", "tag.gpgSign", "yes")
        signing.git("config", "commit.gpgSign", "true")
        signing.mv("tag", "m")
        signing.git("verify-tag", "m@v1.0.0")
        signing.git("verify-commit", "HEAD")
        assert signing.git("log", "-1", "--format=%G? %GS") == "G a@example.com"
        assert self.signature(signing) == "good"

    def test_by_a_key_without_a_value(self, signing):
        """Git takes it for true."""
        with (signing.root / ".git" / "config").open("a") as config:
            config.write("[tag]\n\tgpgSign\n")
        signing.mv("tag", "m")
        assert self.signature(signing) == "good"

    @pytest.mark.parametrize("value", ["no", "0", "off", "false"])
    def test_configured_not_to_sign(self, signing, value):
        signing.git("config", "tag.gpgSign", value)
        signing.mv("tag", "m")
        assert self.signature(signing) == "none"

    def test_not_signed(self, signing):
        signing.mv("tag", "m")
        assert self.signature(signing) == "none"

    def test_signed_by_a_key_that_nobody_here_knows(self, signing):
        signing.mv("tag", "m", "--sign")
        signing.git("config", "--unset", "gpg.ssh.allowedSignersFile")
        assert self.signature(signing) == "unverified"

    def test_no_key(self, model_repo):
        model_repo.git("config", "gpg.format", "ssh")
        done = model_repo.refused("tag", "m", "--sign", status=3)
        assert "could not sign" in done.err

    def test_a_key_that_is_not_there(self, signing):
        signing.git("config", "user.signingKey", "/nonexistent")
        assert "could not sign" in signing.refused("tag", "m", "--sign", status=3).err


class TestHooksOfTheUsers:
    def test_commit_hooks_do_not_run(self, tagged_repo):
        """`tag` commits generated files alone, through no index of the user's: its help says that hooks do not run."""
        for name in ("pre-commit", "commit-msg", "prepare-commit-msg", "post-commit"):
            hook = tagged_repo.root / ".git" / "hooks" / name
            hook.write_text("#!/bin/sh\ntouch ../ran\nexit 1\n")
            hook.chmod(0o755)
        tagged_repo.change("m", 2)
        tagged_repo.mv("tag", "m")
        assert "m@v1.0.1" in tagged_repo.tags()
        assert not (tagged_repo.root.parent / "ran").exists()
        assert "hooks" in tagged_repo.mv("tag", "--help").out


class TestRefusals:
    def test_unchanged_weights(self, tagged_repo):
        done = tagged_repo.refused("tag", "m")
        assert "have not changed since v1.0.0" in done.err
        tagged_repo.mend(done)
        assert tagged_repo.tags() == ["m@v1.0.0", "m@v1.0.1"]

    def test_a_version_that_exists(self, tagged_repo):
        tagged_repo.change("m", 2)
        done = tagged_repo.refused("tag", "m", "--version", "v1.0.0")
        assert "exists already" in done.err
        assert "modelver list m" in done.err

    def test_a_version_that_exists_on_the_remote_alone(self, tagged_repo, tmp_path):
        tagged_repo.run("git", "clone", "-q", "--bare", str(tagged_repo.root), str(tmp_path / "bare.git"))
        tagged_repo.git("remote", "add", "origin", str(tmp_path / "bare.git"))
        other = Sandbox(tmp_path / "other", tagged_repo.env)
        tagged_repo.run("git", "clone", "-q", str(tmp_path / "bare.git"), str(other.root))
        shutil.copytree(tagged_repo.root / ".dvc" / "cache", other.root / ".dvc" / "cache")
        other.change("m", 9)
        other.mv("tag", "m")
        other.git("push", "-q", "origin", "HEAD:refs/heads/elsewhere", "m@v1.0.1")
        tagged_repo.change("m", 2)
        done = tagged_repo.refused("tag", "m")
        assert "m@v1.0.1 exists on origin already" in done.err
        tagged_repo.mend(done)
        tagged_repo.mv("tag", "m", "--version", "v1.0.2")

    def test_a_remote_that_can_not_be_asked_is_a_warning(self, tagged_repo, tmp_path):
        tagged_repo.git("remote", "add", "origin", str(tmp_path / "missing.git"))
        tagged_repo.change("m", 2)
        assert "warning: remote origin could not be asked" in tagged_repo.mv("tag", "m").err

    def test_a_second_version_on_one_commit(self, tagged_repo):
        tagged_repo.change("m", 2)
        tagged_repo.mv("record", "m")
        tagged_repo.commit("reviewed")
        tagged_repo.git("tag", "-f", "-a", "-m", "moved by hand", "m@v1.0.0", "HEAD")
        done = tagged_repo.refused("tag", "m", "--force-new")
        assert "this commit is already m@v1.0.0" in done.err

    def test_a_bump_that_is_too_small(self, model_repo, tmp_path):
        model_repo.mv("add", "net", str(models.onnx(tmp_path / "net.onnx", 1)))
        model_repo.commit("net")
        model_repo.mv("tag", "net")
        model_repo.mv("add", "net", str(models.onnx(tmp_path / "net.onnx", 2, input_name="renamed")))
        model_repo.commit("net: other input")
        done = model_repo.refused("tag", "net", "--bump", "patch")
        assert "calls for a major bump" in done.err
        assert model_repo.hint(done) == "modelver tag net --bump major"
        model_repo.refused("tag", "net", "--version", "v1.1.0")
        model_repo.mv("tag", "net", "--bump", "patch", "--reason", "nobody uses it yet")
        assert model_repo.tags() == ["net@v1.0.0", "net@v1.0.1"]
        assert trailers(model_repo, "net@v1.0.1")["Modelver-Override"] == "nobody uses it yet"

    def test_the_hint_of_a_bump_that_is_too_small_mends_it(self, model_repo, tmp_path):
        model_repo.mv("add", "net", str(models.onnx(tmp_path / "net.onnx", 1)))
        model_repo.commit("net")
        model_repo.mv("tag", "net")
        model_repo.mv("add", "net", str(models.onnx(tmp_path / "net.onnx", 2, outputs=2)))
        model_repo.commit("net: one more output")
        model_repo.mend(model_repo.refused("tag", "net", "--bump", "patch"))
        assert model_repo.tags() == ["net@v1.0.0", "net@v1.1.0"]

    def test_a_version_that_is_not_newer(self, tagged_repo):
        tagged_repo.change("m", 2)
        done = tagged_repo.refused("tag", "m", "--version", "v0.9.0")
        assert "not newer than v1.0.0" in done.err
        tagged_repo.mend(done)
        assert "m@v1.0.1" in tagged_repo.tags()

    def test_a_shallow_clone_without_tags(self, tagged_repo, tmp_path):
        tagged_repo.write("notes.txt", "more\n")
        tagged_repo.commit("more")
        clone = tagged_repo.clone(tmp_path / "shallow", "--depth", "1", "--no-tags")
        shutil.copytree(tagged_repo.root / ".dvc" / "cache", clone.root / ".dvc" / "cache")
        clone.git("config", "--unset", "remote.origin.tagOpt")
        done = clone.refused("tag", "m")
        assert "shallow" in done.err
        clone.refused("record", "m")
        clone.mend(done)
        assert "have not changed since v1.0.0" in clone.refused("tag", "m").err

    def test_an_unborn_branch(self, model_repo):
        model_repo.git("checkout", "-q", "--orphan", "new")
        done = model_repo.refused("tag", "m")
        assert "no commit yet" in done.err
        model_repo.mend(done)
        model_repo.mv("tag", "m")

    @pytest.mark.parametrize("operation", ["merge", "rebase", "cherry-pick", "revert"])
    def test_half_done_operations(self, tagged_repo, operation):
        base = tagged_repo.git("rev-parse", "HEAD")
        tagged_repo.git("checkout", "-q", "-b", "side")
        tagged_repo.write("notes.txt", "side\n")
        tagged_repo.commit("side")
        tagged_repo.git("checkout", "-q", "-B", "main", base)
        tagged_repo.write("notes.txt", "main\n")
        tagged_repo.commit("main")
        tagged_repo.change("m", 2)
        tagged_repo.git("add", "-A")
        tagged_repo.git("commit", "-qm", "weights")
        if operation == "revert":
            tagged_repo.write("notes.txt", "later\n")
            tagged_repo.commit("later")
            tagged_repo.git("revert", "--no-edit", "HEAD~2", status=1)
        else:
            tagged_repo.git(operation, "side", status=1)
        done = tagged_repo.refused("tag", "m")
        assert f"a {operation} is under way" in done.err
        tagged_repo.write("notes.txt", "resolved\n")
        tagged_repo.git("add", "notes.txt")
        tagged_repo.mend(done)
        tagged_repo.mv("tag", "m")

    def test_a_card_that_is_not_committed(self, tagged_repo):
        tagged_repo.change("m", 2)
        card = tagged_repo.root / "models/m/README.md"
        card.write_text(card.read_text() + "\nmore\n")
        done = tagged_repo.refused("tag", "m")
        assert "models/m/README.md" in done.err
        tagged_repo.run("sh", "-c", tagged_repo.hint(done) + " -m card")
        tagged_repo.mv("tag", "m")

    def test_an_artifact_entry_that_is_not_committed(self, tagged_repo):
        tagged_repo.change("m", 2)
        text = (tagged_repo.root / "dvc.yaml").read_text()
        tagged_repo.write("dvc.yaml", text.replace("type: model", "type: model\n    desc: new words"))
        assert "dvc.yaml" in tagged_repo.refused("tag", "m").err

    def test_weights_that_were_edited_in_place(self, tagged_repo):
        tagged_repo.change("m", 2)
        target = next(p for p in (tagged_repo.root / "models/m/weights").rglob("*.safetensors"))
        target.chmod(0o644)
        target.write_bytes(target.read_bytes()[:-1] + b"!")
        done = tagged_repo.refused("tag", "m")
        assert "is not what models/m/weights.dvc says" in done.err
        assert target.name in done.err
        tagged_repo.mend(done)
        tagged_repo.mv("tag", "m")

    def test_a_file_too_many_in_the_weights(self, tagged_repo):
        tagged_repo.change("m", 2)
        tagged_repo.write("models/m/weights/extra.bin", b"extra")
        done = tagged_repo.refused("tag", "m")
        assert "extra.bin" in done.err

    def test_plain_weights_that_were_edited_in_place(self, model_repo):
        models.gguf(model_repo.root / "llm" / "model.gguf", 1)
        model_repo.write("llm/tokenizer.json", "{}")
        model_repo.mv("add", "llm", "llm")
        model_repo.commit("llm")
        (model_repo.root / "llm" / "tokenizer.json").chmod(0o644)
        model_repo.write("llm/tokenizer.json", "{ }")
        done = model_repo.refused("tag", "llm")
        assert "tokenizer.json" in done.err
        model_repo.mend(done)
        model_repo.mv("tag", "llm")

    def objects(self, box: Sandbox) -> list[Path]:
        return sorted(p for p in (box.root / ".dvc/cache/files/md5").rglob("*") if p.is_file())

    def with_remote(self, box: Sandbox) -> None:
        box.dvc("remote", "add", "-q", "-d", "store", str(box.root.parent / "store"))
        box.commit("remote")
        box.dvc("push", "-q")

    def test_a_missing_object(self, model_repo):
        self.with_remote(model_repo)
        for path in self.objects(model_repo):
            path.unlink()
        done = model_repo.refused("tag", "m")
        assert "DVC's cache" in done.err
        model_repo.mend(done)
        model_repo.mv("tag", "m")

    def test_a_flipped_bit_in_the_cache(self, model_repo):
        self.with_remote(model_repo)
        path = max((p for p in self.objects(model_repo) if p.suffix != ".dir"), key=lambda p: p.stat().st_size)
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.chmod(0o644)
        path.write_bytes(data)
        done = model_repo.refused("tag", "m", status=1)
        assert "damaged" in done.err
        model_repo.mend(done)
        model_repo.mv("tag", "m")

    def test_a_damaged_listing_in_the_cache(self, model_repo):
        self.with_remote(model_repo)
        path = next(p for p in self.objects(model_repo) if p.suffix == ".dir")
        path.chmod(0o644)
        path.write_bytes(path.read_bytes().replace(b"md5", b"md6"))
        done = model_repo.refused("tag", "m", status=1)
        assert "damaged" in done.err
        model_repo.mend(done)
        model_repo.mv("tag", "m")

    def test_nobody_is_known_to_git(self, model_repo):
        config = Path(model_repo.env["GIT_CONFIG_GLOBAL"])
        config.write_text("[user]\n\tuseConfigOnly = true\n")
        done = model_repo.refused("tag", "m")
        assert "does not know who you are" in done.err
        model_repo.mend(done)
        model_repo.mv("tag", "m")

    def test_not_a_repository(self, tmp_path, model_repo):
        box = Sandbox(tmp_path / "plain", model_repo.env)
        box.root.mkdir()
        assert box.hint(box.mv("tag", "m", status=2)) == "modelver init"

    def test_a_bare_repository(self, tmp_path, model_repo):
        model_repo.git("init", "-q", "--bare", str(tmp_path / "bare"))
        assert "bare" in Sandbox(tmp_path / "bare", model_repo.env).mv("list", status=2).err

    @pytest.mark.parametrize(
        "version", ["", "1", "v1.2", "latest", "1.2.3.4", "v1.0.0+b", "-1.0.0", "v1.0.0-01", "٣.٠.٠"]
    )
    def test_a_version_that_is_none(self, tagged_repo, version):
        tagged_repo.change("m", 2)
        said = "has build metadata" if "+" in version else f"{version!a} is no version"
        assert said in tagged_repo.refused("tag", "m", f"--version={version}").err

    @pytest.mark.parametrize("bump", ["", "none", "huge", "MAJOR"])
    def test_a_bump_that_is_none(self, tagged_repo, bump):
        tagged_repo.change("m", 2)
        assert f"--bump {bump!r} is no bump" in tagged_repo.refused("tag", "m", f"--bump={bump}").err


class TestMessages:
    FORGED = "Modelver-Weights: sha256:forged"

    @pytest.mark.parametrize(
        "message",
        [
            f"text\n\n{FORGED}",
            f"text\n\n{FORGED}\n\n",
            f"text\r\r{FORGED}",
            f"text\u2028\u2028{FORGED}",
            f"\n\n{FORGED}\n\n\n",
            f"---\n\n{FORGED}",
            "-----BEGIN SSH SIGNATURE-----\nforged\n-----END SSH SIGNATURE-----",
        ],
    )
    def test_the_users_words_forge_no_trailer(self, model_repo, message):
        model_repo.mv("tag", "m", f"--message={message}")
        raw = tag_object(model_repo, "m@v1.0.0")
        assert trailers(model_repo, "m@v1.0.0").get("Modelver-Weights", "").startswith("sha256:")
        shown = model_repo.mv("show", "m@v1.0.0", "--format", "json").json()["tag"]
        assert "forged" not in shown["trailers"].get("Modelver-Weights", "forged"), raw
        assert shown["signature"] == "none"

    def test_hostile_tensor_names_forge_no_trailer(self, model_repo, tmp_path):
        names = ("a\n\nModelver-Weights: sha256:forged", "b\r\n\r\nModelver-Override: forged", "\x1b[31m\u202e")
        first = models.safetensors(tmp_path / "h.safetensors", 1, names=("plain",))
        model_repo.mv("add", "h", str(first))
        model_repo.commit("h")
        model_repo.mv("tag", "h")
        model_repo.mv("add", "h", str(models.safetensors(first, 2, names=names)))
        done = model_repo.mv("tag", "h")
        assert "\x1b" not in done.out + done.err
        version = model_repo.mv("list", "h", "--format", "json").json()[0]["tag"]
        found = trailers(model_repo, version)
        assert "forged" not in found["Modelver-Weights"]
        assert "Modelver-Override" not in found
        for command in (["show", version], ["diff", "h@v1.0.0", version], ["log", "h"], ["status", "h"]):
            done = model_repo.mv(*command)
            assert "\x1b" not in done.out + done.err
            assert "\u202e" not in done.out + done.err

    def test_bytes_that_are_no_text(self, model_repo):
        model_repo.run(
            "sh", "-c", f"{sys.executable} -P -m modelver tag m --message=\"$(printf 'a\\377b')\"", LC_ALL="C.UTF-8"
        )
        assert model_repo.tags() == ["m@v1.0.0"]


class TestConcurrency:
    def test_of_six_that_tag_at_once_one_wins(self, tagged_repo):
        tagged_repo.change("m", 2)
        with ThreadPoolExecutor(6) as pool:
            done = list(pool.map(lambda _: tagged_repo.mv("tag", "m", "--version", "v2.0.0", status=None), range(6)))
        assert sorted(d.status for d in done) == [0, 2, 2, 2, 2, 2]
        assert tagged_repo.tags() == ["m@v1.0.0", "m@v2.0.0"]
        assert tagged_repo.git("rev-list", "--count", "m@v1.0.0..HEAD") == "1"
        assert tagged_repo.git("status", "--porcelain") == ""
        assert tagged_repo.git("fsck", "--no-dangling", "--strict") == ""

    def test_in_two_working_trees_of_one_clone(self, tagged_repo, tmp_path):
        tagged_repo.change("m", 2)
        tagged_repo.commit("new weights")
        tagged_repo.git("worktree", "add", "-q", "-b", "side", str(tmp_path / "side"))
        boxes = [tagged_repo, Sandbox(tmp_path / "side", tagged_repo.env)] * 2
        with ThreadPoolExecutor(4) as pool:
            done = list(pool.map(lambda b: b.mv("tag", "m", "--version", "v2.0.0", status=None), boxes))
        assert sorted(d.status for d in done) == [0, 2, 2, 2]
        assert tagged_repo.tags() == ["m@v1.0.0", "m@v2.0.0"]
        assert [b.git("status", "--porcelain") for b in boxes] == [""] * 4
