"""The workflows that `init --ci` writes: their own shell steps, played against a bare repository and a DVC remote.

GitHub's and GitLab's APIs can't be had here: ``gh`` and ``curl`` are small scripts that keep the comments in a folder.
"""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from sandbox import Done, InProcess, Sandbox, environment, start

import models
import modelver

WORKFLOWS = {"github": ".github/workflows/modelver.yml", "gitlab": ".gitlab/modelver.yml"}
SHA = re.compile(r"[0-9a-f]{40}")

GH = """\
#!{python}
import json, pathlib, re, sys
state = pathlib.Path({state!r})
args = sys.argv[1:]
with (state / "calls").open("a") as calls:
    calls.write(json.dumps(args) + "\\n")
if (state / "down").exists():
    sys.exit("HTTP 403: Resource not accessible by integration")
comments = json.loads((state / "comments").read_text())
body = [pathlib.Path(a.removeprefix("body=@")).read_text() for a in args if a.startswith("body=@")]
path = next(a for a in args if a.startswith("repos/"))
method = args[args.index("--method") + 1] if "--method" in args else "GET"
if method == "GET":
    # The workflow's --jq does this.
    ours = [c for c in comments if c["user"] == "github-actions[bot]"]
    print(*[c["id"] for c in ours if c["body"].startswith("<!-- modelver:check")], sep="\\n")
elif method == "PATCH":
    number = int(path.rpartition("/")[2])
    next(c for c in comments if c["id"] == number)["body"] = body[0]
else:
    comments.append({{"id": 100 + len(comments), "user": "github-actions[bot]", "body": body[0]}})
(state / "comments").write_text(json.dumps(comments))
"""

CURL = """\
#!{python}
import json, pathlib, sys
state = pathlib.Path({state!r})
args = sys.argv[1:]
with (state / "calls").open("a") as calls:
    calls.write(json.dumps(args) + "\\n")
if (state / "down").exists() or "PRIVATE-TOKEN: comment-token" not in args:
    sys.exit("curl: (22) The requested URL returned error: 403")
comments = json.loads((state / "comments").read_text())
body = [pathlib.Path(a.removeprefix("body@")).read_text() for a in args if a.startswith("body@")]
method = args[args.index("--request") + 1] if "--request" in args else "GET"
if method == "GET":
    print(json.dumps(comments))
elif method == "PUT":
    number = int(args[-1].rpartition("/")[2])
    next(c for c in comments if c["id"] == number)["body"] = body[0]
else:
    comments.append({{"id": 100 + len(comments), "user": "bot", "body": body[0]}})
(state / "comments").write_text(json.dumps(comments))
"""


@dataclass
class Forge:
    """A forge: the bare repository, the comments on the one pull request, and runners that play the workflow."""

    provider: str
    work: Sandbox

    @property
    def top(self) -> Path:
        return self.work.root.parent

    @property
    def state(self) -> Path:
        return self.top / "forge"

    def set_up(self) -> None:
        self.state.mkdir()
        (self.state / "comments").write_text('[{"id": 1, "user": "reader", "body": "<!-- modelver --> looks good"}]')
        bin_dir = self.top / "bin"
        bin_dir.mkdir()
        for name, text in (("gh", GH), ("curl", CURL)):
            (bin_dir / name).write_text(text.format(python=sys.executable, state=str(self.state)))
        (bin_dir / "modelver").write_text(f'#!/bin/sh\nexec {sys.executable} -P -m modelver "$@"\n')
        for path in bin_dir.iterdir():
            path.chmod(0o755)

    def comments(self) -> list[str]:
        """Texts of our comments; the reader's own must never change."""
        found = json.loads((self.state / "comments").read_text())
        assert found[0]["body"] == "<!-- modelver --> looks good"
        return [comment["body"] for comment in found[1:]]

    def remote_tags(self) -> set[str]:
        lines = self.work.git("ls-remote", "--tags", "--refs", "origin").splitlines()
        return {line.partition("refs/tags/")[2] for line in lines}

    def steps(self, job: str) -> str:
        """The shell of a job's last step, out of the workflow that is committed."""
        document = yaml.safe_load((self.work.root / WORKFLOWS[self.provider]).read_text())
        if self.provider == "github":
            return str(document["jobs"][job]["steps"][-1]["run"])
        return str("\n".join(document[f"modelver-{job}"]["script"]))

    def play(self, job: str, branch: str) -> Done:
        """Run a job's shell in a fresh clone without weights, with the variables that the forge sets."""
        runner = self.top / "runner"
        shutil.rmtree(runner, ignore_errors=True)
        remote = self.top / "remote.git"
        self.work.git("clone", "-q", "--branch", branch, f"file://{remote}", str(runner))
        (self.top / "scratch").mkdir(exist_ok=True)
        env = {
            **self.work.env,
            "PATH": f"{self.top / 'bin'}:{self.work.env['PATH']}",
            **(self._github() if self.provider == "github" else self._gitlab()),
        }
        shell = ["bash", "-e"] if self.provider == "github" else ["bash", "-eo", "pipefail"]
        done = subprocess.run([*shell, "-c", self.steps(job)], cwd=runner, env=env, capture_output=True, text=True)
        assert "Traceback" not in done.stderr, done.stderr
        return Done(done.returncode, done.stdout, done.stderr)

    def _github(self) -> dict[str, str]:
        return {
            "RUNNER_TEMP": str(self.top / "scratch"),
            "GITHUB_STEP_SUMMARY": str(self.top / "scratch" / "summary.md"),
            "GITHUB_BASE_REF": "main",
            "GITHUB_REPOSITORY": "someone/models",
            "PULL_REQUEST": "7",
            "GH_TOKEN": "t",
        }

    def _gitlab(self) -> dict[str, str]:
        return {
            "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main",
            "CI_MERGE_REQUEST_IID": "7",
            "CI_API_V4_URL": "https://gitlab.example/api/v4",
            "CI_PROJECT_ID": "3",
            "CI_SERVER_HOST": "gitlab.example",
            "CI_SERVER_URL": f"file://{self.top}",
            "CI_PROJECT_PATH": "remote",
            "MODELVER_COMMENT_TOKEN": "comment-token",
            "MODELVER_PUSH_TOKEN": "push-token",
        }

    def push(self, branch: str) -> None:
        self.work.dvc("push", "-q")
        self.work.git("push", "-q", "origin", f"HEAD:refs/heads/{branch}")

    def merge(self) -> None:
        """As the forge's button does: a merge commit on the default branch."""
        self.work.git("checkout", "-q", "main")
        self.work.git("merge", "-q", "--no-ff", "-m", "Merge the pull request", "pr")
        self.work.git("push", "-q", "origin", "main")


@pytest.fixture(scope="session")
def forge_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``work`` with both workflows and m@v1.0.0 pushed, Git's remote ``remote.git``, DVC's remote ``storage``."""
    tmp = tmp_path_factory.mktemp("forge")
    box = start(tmp / "work", environment(tmp / "home"))
    box.mv("init", "--remote", "../storage")
    # Made relative again: this repository is copied together with its remotes.
    box.dvc("remote", "modify", "storage", "url", "../storage")
    for provider in WORKFLOWS:
        box.mv("init", "--ci", provider)
    box.mv("add", "m", str(models.onnx(tmp / "incoming" / "m.onnx", 1)))
    box.commit("m")
    box.mv("tag", "m")
    box.git("init", "-q", "--bare", str(tmp / "remote.git"))
    box.git("remote", "add", "origin", "../remote.git")
    box.dvc("push", "-q")
    box.git("push", "-q", "origin", "main", "--tags")
    return tmp


@pytest.fixture(params=sorted(WORKFLOWS))
def forge(request: pytest.FixtureRequest, forge_template: Path, tmp_path: Path) -> Forge:
    for name in ("work", "remote.git", "storage"):
        shutil.copytree(forge_template / name, tmp_path / name, symlinks=True)
    work = InProcess(tmp_path / "work", environment(tmp_path / "home"))
    # A fresh clone finds the storage by the path in the repository: relative to its own place, beside it.
    work.git("checkout", "-qb", "pr")
    forge = Forge(request.param, work)
    forge.set_up()
    return forge


def bring(forge: Forge, seed: int, **shape: Any) -> None:
    forge.work.mv("add", "m", str(models.onnx(forge.top / "incoming" / "m.onnx", seed, **shape)))


def test_from_branch_to_tag(forge):
    work = forge.work
    bring(forge, 2, outputs=2)
    work.commit("another output")
    forge.push("pr")
    refused = forge.play("check", "pr")
    assert refused.status == 1
    assert "modelver record m" in forge.comments()[0]

    work.mv("record", "m")
    work.commit("record it")
    forge.push("pr")
    passed = forge.play("check", "pr")
    assert passed.status == 0, passed.err
    (comment,) = forge.comments()  # updated in place
    assert "v1.1.0" in comment
    assert "outputs.y1" in comment
    assert forge.remote_tags() == {"m@v1.0.0"}

    forge.merge()
    tagged = forge.play("tag", "main")
    assert tagged.status == 0, tagged.err
    assert forge.remote_tags() == {"m@v1.0.0", "m@v1.1.0"}
    work.git("fetch", "-q", "origin", "--tags")
    assert work.git("rev-parse", "m@v1.1.0^{commit}") == work.git("rev-parse", "origin/main"), "no commit of its own"
    assert work.mv("list", "m", "--format", "json").json()[0]["version"] == "v1.1.0"
    assert "push-token" not in tagged.out + tagged.err

    again = forge.play("tag", "main")
    assert (again.status, again.out) == (0, "")


def test_a_pull_request_without_models_gets_no_comment_but_an_old_one_is_updated(forge):
    forge.work.write("docs.txt", "words\n")
    forge.work.commit("words")
    forge.push("pr")
    assert forge.play("check", "pr").status == 0
    assert forge.comments() == []
    bring(forge, 2)
    forge.work.commit("weights")
    forge.push("pr")
    assert forge.play("check", "pr").status == 1
    forge.work.git("revert", "--no-edit", "HEAD")
    forge.push("pr")
    assert forge.play("check", "pr").status == 0
    assert "no model changed" in forge.comments()[0]


def test_what_is_refused_ends_with_1(forge):
    """A bump that is too small, then a version that is taken; without a record it is `test_from_branch_to_tag`."""
    bring(forge, 1, input_name="other")
    forge.work.mv("record", "m", "--bump", "patch", "--reason", "why not")
    forge.work.commit("too small")
    forge.push("pr")
    assert forge.play("check", "pr").status == 1
    assert "too small a step" in forge.comments()[0]
    forge.work.mv("record", "m", "--bump", "major")
    forge.work.commit("large enough")
    other = forge.work.git("commit-tree", "HEAD^{tree}", "-p", "main", "-m", "faster")
    forge.work.git("tag", "-a", "m@v2.0.0", "-m", "faster", other)
    forge.work.git("push", "-q", "origin", "m@v2.0.0")
    forge.push("pr")
    assert forge.play("check", "pr").status == 1
    assert "exists already" in forge.comments()[0]


def test_weights_that_nobody_pushed_are_not_tagged(forge):
    bring(forge, 2)
    forge.work.mv("record", "m")
    forge.work.commit("record")
    forge.work.git("push", "-q", "origin", "HEAD:refs/heads/pr")  # and no dvc push
    forge.merge()
    done = forge.play("tag", "main")
    assert done.status == 1  # `dvc fetch` itself ends with 0
    assert "hint: dvc push" in done.err
    assert forge.remote_tags() == {"m@v1.0.0"}


def test_weights_that_are_damaged_on_the_remote_are_not_tagged(forge):
    """DVC's own pull of a flipped object ends with 0."""
    bring(forge, 2)
    forge.work.mv("record", "m")
    forge.work.commit("record")
    before = {path for path in (forge.top / "storage").rglob("*") if path.is_file()}
    forge.push("pr")
    new = [p for p in (forge.top / "storage").rglob("*") if p.is_file() and p not in before and p.suffix != ".dir"]
    for path in new:
        path.chmod(0o644)
        path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])
    forge.merge()
    done = forge.play("tag", "main")
    assert done.status == 1, done.err
    assert "damaged" in done.err
    assert forge.remote_tags() == {"m@v1.0.0"}


def test_what_was_merged_unchecked_is_not_tagged_either(forge):
    bring(forge, 2)
    forge.work.mv("record", "m")
    path = forge.work.root / "models/m/metadata.yaml"
    path.write_text(path.read_text().replace("producer: tests", "producer: someone else"))
    forge.work.commit("by hand")
    forge.push("pr")
    forge.merge()
    done = forge.play("tag", "main")
    assert done.status == 2
    assert "modelver record m" in done.err
    assert forge.remote_tags() == {"m@v1.0.0"}


def test_the_verdict_counts_where_comments_are_not_allowed(forge):
    """As on a pull request from a fork."""
    (forge.state / "down").touch()
    bring(forge, 2)
    forge.work.commit("weights")
    forge.push("pr")
    done = forge.play("check", "pr")
    assert done.status == 1
    assert "could not be posted" in done.out


def test_a_check_that_can_give_no_verdict_fails_and_leaves_the_comment(forge):
    forge.work.write("dvc.yaml", "artifacts: [\n")
    forge.work.commit("broken")
    forge.work.git("push", "-q", "origin", "HEAD:refs/heads/pr")
    assert forge.play("check", "pr").status == 2
    assert forge.comments() == []
    assert not (forge.state / "calls").exists()


def test_several_models_are_tagged_together_or_not_at_all(forge):
    bring(forge, 2)
    forge.work.mv("record", "m")
    forge.work.mv("add", "n", str(models.onnx(forge.top / "incoming" / "n.onnx", 3)))
    forge.work.mv("record", "n")
    forge.work.commit("two")
    forge.push("pr")
    forge.merge()
    storage = forge.top / "storage"
    shutil.move(storage, forge.top / "away")
    shutil.copytree(forge.top / "away", storage)
    pointer = yaml.safe_load((forge.work.root / "models/n/weights.dvc").read_text())["outs"][0]["md5"]
    (storage / "files/md5" / pointer[:2] / pointer[2:]).unlink()
    assert forge.play("tag", "main").status != 0
    assert forge.remote_tags() == {"m@v1.0.0"}
    shutil.rmtree(storage)
    shutil.move(forge.top / "away", storage)
    assert forge.play("tag", "main").status == 0
    assert forge.remote_tags() == {"m@v1.0.0", "m@v1.0.1", "n@v1.0.0"}


def test_recorded_goes_with_nothing_that_chooses_a_version(model_repo):
    for option in ("--force-new", "--repro", "--bump=major", "--version=v9.0.0"):
        model_repo.refused("tag", "--recorded", option)
    model_repo.refused("tag", "--fetch")
    assert model_repo.mv("tag", "--recorded", "--format", "json").json() == []
    model_repo.mv("record", "m")
    model_repo.commit("record")
    before = model_repo.fingerprint()
    assert model_repo.mv("tag", "--recorded", "--dry-run").out == "m@v1.0.0\n"
    assert model_repo.fingerprint() == before
    assert model_repo.mv("tag", "--recorded").out == "m@v1.0.0\n"


@pytest.mark.parametrize("provider", sorted(WORKFLOWS))
def test_init_writes_a_workflow_once_and_never_over_a_changed_one(empty_repo, provider):
    path = empty_repo.root / WORKFLOWS[provider]
    dry = empty_repo.mv("init", "--ci", provider, "--dry-run")
    assert f"  {WORKFLOWS[provider]}: written\n" in dry.out
    assert not path.exists()
    empty_repo.mv("init", "--ci", provider)
    written = path.read_bytes()
    assert f"modelver=={modelver.__version__}".encode() in written
    assert empty_repo.mv("init", "--ci", provider).out == "everything is in place\n"
    path.write_bytes(written + b"# mine\n")
    refused = empty_repo.refused("init", "--ci", provider)
    empty_repo.mend(refused)
    assert path.read_bytes() == written


def test_a_workflow_of_an_older_modelver_that_nobody_changed_is_renewed(empty_repo):
    from modelver.operations import ci

    path = empty_repo.root / WORKFLOWS["github"]
    path.parent.mkdir(parents=True)
    path.write_bytes(ci._signed("jobs: {}  # of an older modelver\n", "github"))
    assert ".github/workflows/modelver.yml: extended" in empty_repo.mv("init", "--ci", "github").out
    assert path.read_bytes() == ci.workflow("github")


def test_gitlabs_own_file_is_left_alone(empty_repo):
    own = empty_repo.write(".gitlab-ci.yml", "stages: [test]\n")
    assert "local: .gitlab/modelver.yml" in empty_repo.mv("init", "--ci", "gitlab").out
    assert own.read_text() == "stages: [test]\n"
    own.write_text("include: [{local: .gitlab/modelver.yml}]\n")
    assert empty_repo.mv("init", "--ci", "gitlab").out == "everything is in place\n"


def test_other_ci_is_bad_input(empty_repo):
    done = empty_repo.refused("init", "--ci", "jenkins")
    assert "jenkins" in done.err
    assert "github" in done.err  # what there is


def test_github_workflow_asks_for_no_more_than_it_needs():
    from modelver.operations import ci

    document = yaml.safe_load(ci.workflow("github"))
    assert document["permissions"] == {"contents": "read"}
    assert document["jobs"]["check"]["permissions"] == {"contents": "read", "pull-requests": "write"}
    assert document["jobs"]["tag"]["permissions"] == {"contents": "write"}
    for job in document["jobs"].values():
        for step in job["steps"]:
            if "uses" in step:
                action, _, revision = step["uses"].partition("@")
                assert action in ("actions/checkout", "actions/setup-python")
                assert SHA.fullmatch(revision)
            else:
                assert "${{" not in step["run"], "what a pull request says must not become shell"
