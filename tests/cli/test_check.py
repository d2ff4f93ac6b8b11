"""`modelver check` in fresh clones without weights: what it lets through, what it refuses, and with which words."""

import shutil
from pathlib import Path

import pytest
from sandbox import Done, InProcess, Sandbox, environment, start

import models
from modelver.cli import render_check
from modelver.core.bump import Bump
from modelver.core.diff import Diff
from modelver.core.diff_sections import Entry, Section
from modelver.operations.check import CheckReport, ModelCheck
from modelver.operations.check_model import Finding

GITHUB_LIMIT = 65_536

TRAIN = """\
  train:
    cmd: cat seed.txt params.yaml > p.bin
    deps: [seed.txt]
    params: [train.rate]
    outs: [p.bin]
"""


@pytest.fixture(scope="session")
def shared_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``work`` with m@v1.0.0 (ONNX, ingested) on main, pushed to the bare ``remote.git``; no DVC remote is needed."""
    tmp = tmp_path_factory.mktemp("shared")
    box = start(tmp / "work", environment(tmp / "home"))
    box.mv("add", "m", str(models.onnx(tmp / "incoming" / "m.onnx", 1)))
    box.write("docs.txt", "words\n")
    box.commit("m")
    box.mv("tag", "m")
    box.git("init", "-q", "--bare", str(tmp / "remote.git"))
    box.git("remote", "add", "origin", "../remote.git")
    box.git("push", "-q", "--no-verify", "origin", "main", "--tags")
    return tmp


def branch_of(template: Path, tmp: Path) -> Sandbox:
    """A copy of a template's ``work`` and ``remote.git``, on the new branch ``pr`` of main."""
    for name in ("work", "remote.git"):
        shutil.copytree(template / name, tmp / name, symlinks=True)
    box = InProcess(tmp / "work", environment(tmp / "home"))
    box.git("fetch", "-q", "origin")
    box.git("checkout", "-qb", "pr", "main")
    return box


@pytest.fixture
def work(shared_template: Path, tmp_path: Path) -> Sandbox:
    """A clone with weights, on the branch ``pr`` of main; pushes go to a remote of its own."""
    return branch_of(shared_template, tmp_path)


def bring(work: Sandbox, seed: int, **shape: object) -> None:
    """The next weights of m, not committed."""
    work.mv("add", "m", str(models.onnx(work.root.parent / "incoming" / "m.onnx", seed, **shape)))  # type: ignore[arg-type]


def in_ci(work: Sandbox, *args: str, status: int = 0, **env: str) -> Done:
    """Push the branch and check it in a clone of its own, which has no weights."""
    work.git("push", "-qf", "origin", "HEAD:refs/heads/pr")
    target = work.root.parent / "ci"
    shutil.rmtree(target, ignore_errors=True)
    clone = Sandbox(target, work.env)
    work.git("clone", "-q", "--branch", "pr", str(work.root.parent / "remote.git"), str(target))
    before = clone.fingerprint()
    done = clone.mv("check", *args, status=status, **env)
    assert clone.fingerprint() == before, "check wrote into the clone"
    return done


def verdicts(done: Done) -> dict[str, bool]:
    (model,) = done.json()["models"]
    return {check["name"]: check["ok"] for check in model["checks"]}


def failed(done: Done) -> dict[str, str]:
    """Check → hint, of those that said no."""
    return {c["name"]: c["hint"] for model in done.json()["models"] for c in model["checks"] if not c["ok"]}


def test_a_recorded_version_passes_and_the_report_shows_what_changed(work):
    bring(work, 2, outputs=2)
    work.mv("record", "m")
    work.commit("more outputs")
    done = in_ci(work, "origin/main", "--format", "json")
    (model,) = done.json()["models"]
    assert done.json()["ok"] is True
    assert (model["version"], model["previous"], model["bump"]["level"]) == ("v1.1.0", "v1.0.0", "minor")
    assert all(verdicts(done).values())
    assert {"sidecar", "manifests", "version"} <= verdicts(done).keys()
    assert [entry["name"] for entry in model["diff"]["signature"]["added"]] == ["outputs.y1"]
    text = in_ci(work, "origin/main", "--format", "markdown").out
    assert text.startswith("<!-- modelver:check -->\n")
    assert "outputs.y1" in text
    assert len(text) < GITHUB_LIMIT


def test_weights_that_were_not_recorded_are_refused_and_the_hint_mends_it(work):
    bring(work, 2)
    work.commit("weights only")
    done = in_ci(work, "--format", "json", status=1)
    assert failed(done) == {"sidecar": "modelver record m"}
    assert "hint: modelver record m" in done.err
    work.mv("record", "m")
    work.commit("record")
    assert in_ci(work).out.count("NO") == 0


def test_a_bump_that_is_too_small_is_refused_and_the_hint_mends_it(work):
    bring(work, 1, input_name="other")
    work.mv("record", "m", "--bump", "patch", "--reason", "nobody uses it")
    work.commit("too small")
    done = in_ci(work, "--format", "json", status=1)
    assert failed(done) == {"version": "modelver record m --bump major"}
    work.run("sh", "-c", failed(done)["version"])
    work.commit("large enough")
    assert in_ci(work, "--format", "json").json()["models"][0]["version"] == "v2.0.0"


def test_a_version_that_is_taken_on_the_remote_alone_is_refused(work):
    bring(work, 2)
    work.mv("record", "m", "--version", "v1.5.0")
    work.commit("record")
    other = work.git("commit-tree", "HEAD^{tree}", "-p", "main", "-m", "on another branch")
    work.git("tag", "-a", "m@v1.5.0", "-m", "someone was faster", other)
    work.git("push", "-q", "--no-verify", "origin", "m@v1.5.0")
    work.git("tag", "-d", "m@v1.5.0")
    done = work.mv("check", "--format", "json", status=1)
    assert list(failed(done)) == ["version"]
    assert "exists already on origin" in done.out
    assert "version" in failed(in_ci(work, "--format", "json", status=1))


def test_a_remote_that_cannot_be_asked_is_told_and_stops_nothing(work):
    bring(work, 2)
    work.mv("record", "m")
    work.commit("record")
    work.git("remote", "set-url", "origin", str(work.root.parent / "nowhere"))
    done = work.mv("check", "origin/main", "--format", "json")
    assert "could not be asked" in " ".join(done.json()["notes"])


def test_a_clone_without_tags_is_no_place_to_judge(work):
    bring(work, 2)
    work.mv("record", "m")
    work.commit("record")
    work.git("tag", "-d", "m@v1.0.0")
    assert failed(work.mv("check", "origin/main", "--format", "json", status=1))["version"] == "git fetch origin --tags"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("version: v1.1.0", "version: v1.3.0", None),  # larger than needed is the author's right
        ("version: v1.1.0", "version: v0.9.0", "not newer"),
        ("previous: v1.0.0", "previous: v0.1.0", "previous differs"),
        ("kind: ingested", "kind: 'ingested'", "another form"),
        ("kind: ingested", "kind: magic", "kind"),
        ("schema: modelver/sidecar/1", "schema: [", "metadata.yaml"),
    ],
)
def test_a_sidecar_written_by_hand_is_held_against_what_recording_gives(work, old, new, says):
    bring(work, 2, outputs=2)
    work.mv("record", "m")
    path = work.root / "models/m/metadata.yaml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    work.commit("by hand")
    done = work.mv("check", "--format", "json", status=1 if says else 0)
    if says:
        messages = [c["message"] for c in done.json()["models"][0]["checks"] if not c["ok"]]
        assert any(says in message for message in messages), messages


def test_a_published_sidecar_cannot_be_edited(work):
    path = work.root / "models/m/metadata.yaml"
    path.write_text(path.read_text().replace("bytes: ", "bytes: 1"))
    work.commit("edit")
    done = work.mv("check", "--format", "json", status=1)
    work.run("sh", "-c", failed(done)["sidecar"].split("   (")[0])
    work.commit("back")
    assert work.mv("check", "--format", "json").json()["models"] == []


def test_files_and_pointer_and_tensors_must_agree(work):
    bring(work, 2)
    work.mv("record", "m")
    work.commit("record")
    pointer = work.root / "models/m/weights.dvc"
    text = pointer.read_text()
    md5 = next(line.split(": ")[1] for line in text.splitlines() if "md5:" in line)
    pointer.write_text(text.replace(md5, "0" * 32 + ".dir"))
    work.commit("pointer to other weights")
    assert "sidecar" in failed(work.mv("check", "--format", "json", status=1))


def test_a_file_named_by_its_content_must_have_that_digest(work):
    """Of a tensor's file the name says the SHA-256; DVC's pointer says only the MD5 of the manifest's lines."""
    work.mv("add", "big", str(models.onnx(work.root.parent / "incoming" / "big.onnx", 1, width=140_000)))
    work.mv("record", "big")
    work.commit("big")
    assert all(verdicts(work.mv("check", "--format", "json")).values())
    path = work.root / "models/big/files.jsonl"
    name = next((work.root / "models/big/weights/tensors").iterdir()).name
    path.write_text(path.read_text().replace(f'"sha256": "{name}"', f'"sha256": "{"0" * 64}"'))
    work.mv("record", "big")
    work.commit("another digest")
    assert "manifests" in failed(work.mv("check", "--format", "json", status=1))


def test_words_of_the_card_need_no_new_version(work):
    card = work.root / "models/m/README.md"
    card.write_text("---\ndescription: better words\n---\n")
    work.commit("words")
    done = in_ci(work, "--format", "json")
    (model,) = done.json()["models"]
    assert model["version"] == "v1.0.0"
    assert model["notes"]
    assert "no new version" in in_ci(work).out


def test_a_tighter_licence_needs_one_though_the_weights_are_the_same(work):
    card = work.root / "models/m/README.md"
    card.write_text("---\nlicense: apache-2.0\n---\n")
    work.mv("record", "m", "--force-new")
    work.commit("a licence")
    work.mv("tag", "m", "--force-new")
    work.git("push", "-q", "--no-verify", "origin", "HEAD:main", "--tags")
    work.git("fetch", "-q")
    card.write_text("---\nlicense: cc-by-nc-4.0\n---\n")
    work.commit("not for sale")
    done = work.mv("check", "--format", "json", status=1)
    assert failed(done) == {"sidecar": "modelver record m --force-new"}
    work.run("sh", "-c", failed(done)["sidecar"])
    work.commit("record")
    assert work.mv("check", "--format", "json").json()["models"][0]["version"].startswith("v2.")


def test_changes_that_concern_no_model_pass(work):
    work.write("docs.txt", "other words\n")
    work.write("params.yaml", (work.root / "params.yaml").read_text() + "other: 1\n")
    work.commit("docs and params of no model")
    done = in_ci(work, "--format", "json")
    assert (done.json()["ok"], done.json()["models"]) == (True, [])
    assert "no model changed" in in_ci(work).out
    assert in_ci(work, "--format", "markdown").out.startswith("<!-- modelver:check none -->\n")


def test_a_model_that_is_deleted_is_reported(work):
    work.git("rm", "-rq", "models/m")
    work.write("dvc.yaml", (work.root / "dvc.yaml").read_text().split("artifacts:")[0])
    work.commit("gone")
    (model,) = in_ci(work, "--format", "json").json()["models"]
    assert (model["model"], model["change"], model["ok"]) == ("m", "deleted", True)


def test_only_commits_are_judged_and_what_is_not_committed_is_told(work):
    bring(work, 2)
    done = work.mv("check", "--format", "json")
    assert done.json()["models"] == []
    assert "models/m/weights.dvc" in " ".join(done.json()["notes"])
    work.commit("weights")
    work.mv("record", "m")  # would mend it, and is not committed
    assert failed(work.mv("check", "--format", "json", status=1)) == {"sidecar": "modelver record m"}


def test_a_plain_model_passes_without_its_weights(work):
    work.write("llm/model.gguf", models.gguf(work.root.parent / "x.gguf").read_bytes())
    work.mv("add", "llm", "llm/model.gguf")
    work.mv("record", "llm")
    work.commit("llm")
    done = in_ci(work, "--format", "json")
    assert done.json()["models"][0]["change"] == "added"
    assert all(verdicts(done).values()), done.out


def test_the_base_is_the_branch_that_ci_names(work):
    work.git("push", "-q", "origin", "main:refs/heads/release/1.x")
    bring(work, 2)
    work.mv("record", "m")
    work.commit("record")
    for variable in ("GITHUB_BASE_REF", "CI_MERGE_REQUEST_TARGET_BRANCH_NAME"):
        done = in_ci(work, "--format", "json", **{variable: "release/1.x"})
        assert done.json()["base"]["ref"] == "origin/release/1.x"
        assert "fetch-depth" in in_ci(work, status=2, **{variable: "nowhere"}).err
    assert in_ci(work, "--format", "json").json()["base"]["ref"] == "origin/HEAD"


@pytest.mark.parametrize("base", ["nowhere", "--", "-d", "", "a..b", "HEAD\n", "m@v9"])
def test_a_base_that_is_none_is_bad_input(work, base):
    assert work.mv("check", "--", base, status=2).err.startswith(("error: ", "Usage"))


def test_branches_without_common_history_are_bad_input(work):
    work.git("checkout", "-q", "--orphan", "other")
    work.git("commit", "-qm", "other")
    assert "no history in common" in work.mv("check", "main", status=2).err


@pytest.fixture(scope="session")
def pipeline_template(shared_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `shared_template`, and ``p``, a plain model that a stage of the user's makes, tagged and pushed."""
    tmp = tmp_path_factory.mktemp("pipeline")
    box = branch_of(shared_template, tmp)
    box.write("seed.txt", "1\n")
    text = (box.root / "dvc.yaml").read_text()
    box.write("dvc.yaml", text.replace("stages:\n", "stages:\n" + TRAIN, 1))
    box.write("params.yaml", (box.root / "params.yaml").read_text() + "train:\n  rate: 1\nunused: 1\n")
    box.dvc("repro", "-q", "train")
    box.mv("add", "p", "p.bin")
    box.commit("p")
    box.mv("tag", "p")
    box.git("push", "-q", "--no-verify", "origin", "HEAD:main", "--tags")
    box.git("checkout", "-qB", "main")
    box.git("branch", "-D", "pr")
    return tmp


@pytest.fixture
def pipeline(pipeline_template: Path, tmp_path: Path) -> Sandbox:
    return branch_of(pipeline_template, tmp_path)


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [("seed.txt", "1", "2"), ("params.yaml", "rate: 1", "rate: 2"), ("dvc.yaml", "cat seed.txt", "cat -u seed.txt")],
)
def test_a_stale_pipeline_is_refused_until_it_ran_and_was_recorded(pipeline, path, old, new):
    target = pipeline.root / path
    target.write_text(target.read_text().replace(old, new))
    pipeline.commit("not run")
    assert "pipeline" in failed(in_ci(pipeline, "--format", "json", status=1))
    pipeline.dvc("repro", "-q", "train")
    pipeline.mv("record", "p", "--force-new")
    pipeline.commit("run and recorded")
    done = in_ci(pipeline, "--format", "json")
    assert verdicts(done)["pipeline"], done.out


def test_parameters_that_no_stage_reads_leave_the_pipeline_alone(pipeline):
    target = pipeline.root / "params.yaml"
    target.write_text(target.read_text().replace("unused: 1", "unused: 2"))
    pipeline.commit("unused")
    assert in_ci(pipeline, "--format", "json").json()["models"] == []


def test_the_pipeline_is_judged_from_any_folder(pipeline):
    pipeline.write("seed.txt", "2\n")
    pipeline.commit("not run")
    folder = Sandbox(pipeline.root / "models", pipeline.env)
    assert "stage train" in folder.mv("status", "p").out
    assert "stage train" in folder.mv("check", status=1).out


def test_nothing_is_written_through_a_link_that_a_commit_holds(pipeline):
    victim = pipeline.root.parent / "victim"
    victim.write_text("mine\n")
    (pipeline.root / ".dvc/config.local").symlink_to(victim)
    pipeline.git("add", "-f", ".dvc/config.local")
    pipeline.write("seed.txt", "2\n")
    pipeline.commit("a link")
    (pipeline.root / ".dvc/config.local").unlink()  # DVC would read it here
    assert "pipeline" in failed(pipeline.mv("check", "--format", "json", status=1))
    assert victim.read_text() == "mine\n"


def test_a_stale_working_tree_does_not_count(pipeline):
    pipeline.write("seed.txt", "2\n")
    pipeline.dvc("repro", "-q", "train")
    pipeline.mv("record", "p")
    pipeline.commit("right")
    pipeline.write("seed.txt", "3\n")
    done = pipeline.mv("check", "--format", "json")
    assert verdicts(done)["pipeline"]
    assert "seed.txt" in " ".join(done.json()["notes"])


def test_the_library_gives_the_same_answer(work):
    import modelver

    work.write("docs.txt", "other\n")
    work.commit("docs")
    report = modelver.open(work.root).check("main")
    assert (report.ok, report.models, report.base) == (True, (), "main")


def _verdict(name: str, ok: bool, entries: int, text: str) -> ModelCheck:
    added = tuple(Entry(f"key{n}.{text}", text) for n in range(entries))
    diff = Diff(
        None, {"model": name, "version": "v1.0.0", "kind": "plain"}, Bump("none", ()), {"params": Section(added=added)}
    )
    return ModelCheck(name, "added", "v1.0.0", None, findings=(Finding("sidecar", ok, text, text),), diff=diff)


@pytest.mark.parametrize(("models_", "entries", "length"), [(1, 5000, 200), (3, 1000, 60), (400, 3, 50), (3000, 0, 5)])
def test_a_comment_is_never_longer_than_github_takes(models_, entries, length):
    text = "x|`@all <b>" * (length // 10 + 1)
    report = CheckReport(
        "main", "0" * 40, "1" * 40, tuple(_verdict(f"m{n}", n != 7, entries, text) for n in range(models_))
    )
    shown = render_check.markdown(report)
    assert len(shown) < GITHUB_LIMIT
    assert shown.startswith(render_check.MARKER)
    if models_ > 7:
        assert shown.index("`m7 ") < shown.index("`m0 "), "what failed comes first"


def test_texts_from_a_model_are_no_markup_in_the_comment():
    hostile = "--> <img src=x> @someone [a](http://x) | ` |\n# head"
    report = CheckReport("main", "0" * 40, "1" * 40, (_verdict("m", False, 1, hostile),), (hostile,))
    shown = render_check.markdown(report)
    for markup in ("<img", "\n# head", "](http"):
        assert markup not in shown.replace(f"`{hostile}`", "")


@pytest.mark.parametrize(
    ("no", "first"), [(["sidecar", "pipeline", "version"], "pipeline"), (["version", "sidecar"], "sidecar")]
)
def test_what_the_sidecar_is_made_from_is_mended_first(no, first):
    names = ("sidecar", "manifests", "pipeline", "validation", "version")
    findings = tuple(Finding(name, name not in no, "", f"mend {name}") for name in names)
    assert ModelCheck("m", "changed", findings=findings).hint == f"mend {first}"
