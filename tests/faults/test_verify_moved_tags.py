"""A tag that was published and is moved or deleted is found, and both ids are named."""

import shutil

import pytest
from sandbox import InProcess, Sandbox, environment
from verifying import report

from modelver.adapters.git import GitRepository
from modelver.operations import known_tags

VERSION = "m@v1.0.0"
DECISION = "m#prod#1"


@pytest.fixture(scope="session")
def published_template(model_template, tmp_path_factory):
    tmp = tmp_path_factory.mktemp("published")
    shutil.copytree(model_template, tmp / "repo", symlinks=True)
    box = Sandbox(tmp / "repo", environment(tmp / "home"))
    box.mv("tag", "m")
    box.mv("promote", "v1.0.0", "prod")
    box.git("init", "-q", "--bare", "../origin.git")
    box.git("remote", "add", "origin", "../origin.git")
    box.git("push", "-q", "--no-verify", "origin", "main", "--tags")
    box.write("notes.txt", "more\n")
    box.commit("more", "notes.txt")
    return tmp


@pytest.fixture
def published(published_template, tmp_path) -> Sandbox:
    """v1.0.0 runs in prod; both tags are on the Git remote. A second commit is there to move them to."""
    shutil.copytree(published_template / "repo", tmp_path / "repo", symlinks=True)
    shutil.copytree(published_template / "origin.git", tmp_path / "origin.git")
    box = InProcess(tmp_path / "repo", environment(tmp_path / "home"))
    box.git("status")
    return box


def clone(published, tmp_path, name: str) -> Sandbox:
    box = InProcess(tmp_path / name, published.env)
    published.run("git", "clone", "-q", str(tmp_path / "origin.git"), str(tmp_path / name))
    shutil.copytree(published.root / ".dvc/cache", box.root / ".dvc/cache")
    return box


def ident(box: Sandbox, tag: str) -> str:
    return box.git("rev-parse", f"refs/tags/{tag}")


def problems(box: Sandbox, status: int = 1, **options) -> dict[str, dict]:
    """Problems about refs, by tag, as the library finds them."""
    found_all = report(box, **options)
    assert found_all["ok"] is (status == 0)
    found = {}
    for verdict in [*found_all["versions"], *found_all["decisions"]]:
        found |= {p["what"]: p for p in verdict["problems"] if p["kind"] in ("moved", "deleted")}
    return found


def force_annotated(box, tag):
    box.git("tag", "-f", "-a", "-m", "moved", tag, "HEAD")


def force_lightweight(box, tag):
    box.git("tag", "-f", tag, "HEAD")


def update_ref(box, tag):
    box.git("update-ref", f"refs/tags/{tag}", "HEAD")


def same_commit(box, tag):
    """Only who made it, and when, is another."""
    message = box.git("tag", "-l", "--format=%(contents)", tag)
    box.git("tag", "-f", "-a", "-m", message, tag, f"{tag}^{{commit}}", GIT_COMMITTER_EMAIL="mallory@example.com")


def name_another(box, tag):
    """The ref names the tag object of another tag."""
    box.git("update-ref", f"refs/tags/{tag}", ident(box, DECISION if tag == VERSION else VERSION))


def fetch_forced(box, tag):
    """Somebody moves it on the remote, and a fetch brings that here."""
    other = box.clone(box.root.parent / "other")
    other.git("fetch", "-q", str(box.root.parent / "origin.git"), "refs/tags/*:refs/tags/*")
    force_annotated(other, tag)
    other.git("push", "-q", "-f", "--no-verify", str(box.root.parent / "origin.git"), f"refs/tags/{tag}")
    box.git("fetch", "-q", "--tags", "--force", "origin")


MOVES = [force_annotated, force_lightweight, update_ref, same_commit, name_another, fetch_forced]


@pytest.mark.parametrize("tag", [VERSION, DECISION])
@pytest.mark.parametrize("move", MOVES)
def test_a_moved_tag_is_found_and_put_back_by_the_hint(published, move, tag):
    before = ident(published, tag)
    move(published, tag)
    after = ident(published, tag)
    assert before != after
    found = problems(published)
    assert {name: p["kind"] for name, p in found.items()} == {tag: "moved"}
    assert before in found[tag]["message"]
    assert after in found[tag]["message"]
    published.run("sh", "-c", found[tag]["hint"].split("   (")[0])
    assert ident(published, tag) == before
    assert problems(published, status=0) == {}


def test_the_command_says_so_and_ends_with_1(published):
    before = ident(published, VERSION)
    force_annotated(published, VERSION)
    done = published.mv("verify", status=1)
    assert before in done.out
    assert ident(published, VERSION) in done.out
    # what runs in prod points at a commit that is no version any more
    assert done.err == f"error: not as published, or not to be restored: {VERSION}, {DECISION}\n"
    done = published.mv("verify", VERSION, "--format", "json", status=1).json()
    assert [(v["tag"], v["ok"], [p["kind"] for p in v["problems"]]) for v in done["versions"]] == [
        (VERSION, False, ["moved", "partial"])
    ]


@pytest.mark.parametrize("tag", [VERSION, DECISION])
def test_a_deleted_tag_is_found_and_made_again_by_the_hint(published, tag):
    before = ident(published, tag)
    published.git("tag", "-d", tag)
    for options in ({}, {"ref": tag}, {"model": "m"}):
        found = problems(published, **options)
        assert (found[tag]["kind"], before in found[tag]["message"]) == ("deleted", True)
    published.run("sh", "-c", found[tag]["hint"].split("   (")[0])
    assert ident(published, tag) == before
    assert problems(published, status=0) == {}


def test_a_deleted_tag_whose_object_is_gone_too_is_fetched(published):
    before = ident(published, VERSION)
    published.git("tag", "-d", VERSION)
    (published.root / ".git/objects" / before[:2] / before[2:]).unlink()
    found = problems(published)[VERSION]
    assert before in found["message"]
    published.run("sh", "-c", found["hint"].split("   (")[0].replace("REMOTE", "origin"))
    assert ident(published, VERSION) == before


def test_a_clone_remembers_what_it_verified_first(published, tmp_path):
    box = clone(published, tmp_path, "clone")
    assert problems(box, status=0) == {}
    before = ident(box, VERSION)
    force_annotated(published, VERSION)
    published.git("push", "-q", "-f", "--no-verify", "origin", f"refs/tags/{VERSION}")
    box.git("fetch", "-q", "--tags", "--force")
    found = problems(box)[VERSION]
    assert (before in found["message"], ident(box, VERSION) in found["message"]) == (True, True)


def test_a_clone_that_verified_nothing_asks_the_remote(published, tmp_path):
    box = clone(published, tmp_path, "clone")
    storage(published, tmp_path)
    storage(box, tmp_path)
    force_annotated(published, VERSION)
    published.git("push", "-q", "-f", "--no-verify", "origin", f"refs/tags/{VERSION}")
    there, here = ident(published, VERSION), ident(box, VERSION)
    found = problems(box, remote=True)[VERSION]
    assert (found["kind"], here in found["message"], there in found["message"]) == ("moved", True, True)


def storage(box: Sandbox, tmp_path) -> None:
    """A DVC remote that holds what the cache holds."""
    shutil.copytree(box.root / ".dvc/cache", tmp_path / "storage", dirs_exist_ok=True)
    if "storage" not in (box.root / ".dvc/config").read_text():  # else it came with the clone
        box.dvc("remote", "add", "-d", "storage", str(tmp_path / "storage"))
        box.commit("storage", ".dvc/config")


def test_a_tag_that_was_deleted_on_the_remote_alone(published, tmp_path):
    storage(published, tmp_path)
    assert problems(published, remote=True, status=0) == {}
    published.git("push", "-q", "--no-verify", "origin", f":refs/tags/{DECISION}")
    found = problems(published, remote=True)[DECISION]
    assert (found["kind"], ident(published, DECISION) in found["message"]) == ("deleted", True)
    assert problems(published, status=0) == {}
    published.run("sh", "-c", found["hint"] + " --no-verify")
    assert problems(published, remote=True, status=0) == {}


def test_without_its_memory_there_is_no_false_alarm(published):
    force_annotated(published, DECISION)
    assert problems(published)
    shutil.rmtree(published.root / ".git/modelver")
    assert problems(published, status=0) == {}


def test_a_change_that_was_meant_is_accepted_once(published):
    message = published.git("tag", "-l", "--format=%(contents)", VERSION)
    published.git("tag", "-f", "-a", "-m", message, VERSION, f"{VERSION}^{{commit}}")
    published.git("tag", "-d", DECISION)
    assert {*problems(published)} == {VERSION, DECISION}
    assert published.mv("verify", DECISION, "--accept").err == f"accepted: {DECISION} is gone\n"
    assert {*problems(published)} == {VERSION}
    published.mv("verify", VERSION, "--accept")
    assert problems(published, status=0) == {}
    accepted = ident(published, VERSION)
    force_annotated(published, VERSION)
    assert accepted in problems(published)[VERSION]["message"]


def test_the_loser_of_a_race_takes_what_was_published(published, tmp_path):
    """Two promote at once; who pushes second deletes the own tag and fetches the other's, as modelver advises."""
    box = clone(published, tmp_path, "clone")
    storage(published, tmp_path)
    published.mv("promote", "v1.0.0", "eu")
    box.mv("promote", "v1.0.0", "eu", GIT_COMMITTER_EMAIL="b@example.com")
    published.git("push", "-q", "--no-verify", "origin", "m#eu#2")
    refused = box.refused("promote", "v1.0.0", "us")
    box.mend(refused)
    storage(box, tmp_path)
    assert problems(box, remote=True, status=0) == {}
    assert problems(box, status=0) == {}


def test_push_notes_what_others_have(published, tmp_path):
    storage(published, tmp_path)
    published.git("push", "-q", "--no-verify", "origin", "HEAD")
    other = clone(published, tmp_path, "other")
    for box, seed in ((published, 2), (other, 3)):
        box.change("m", seed)
        box.commit(f"seed {seed}")
    published.mv("tag", "m")
    other.git("config", "remote.origin.tagOpt", "--no-tags")
    published.mv("push", "m@v1.0.1")
    before = ident(published, "m@v1.0.1")
    # it asks the remote before it tags, so the tag is made as if in the moment between
    other.run("sh", "-c", "mv ../origin.git ../away")
    other.mv("tag", "m")
    lost = ident(other, "m@v1.0.1")
    other.run("sh", "-c", "mv ../away ../origin.git")
    assert other.mv("push", "m@v1.0.1", status=None).status in (2, 3)
    assert {p["message"].count(lost) for p in problems(other, remote=True).values()} == {1}
    # whoever owns the remote moves the tag that was pushed
    published.git("push", "-q", "--no-verify", "origin", ":refs/tags/m@v1.0.1")
    found = problems(published, remote=True)["m@v1.0.1"]
    assert (found["kind"], before in found["message"]) == ("deleted", True)


def test_a_tag_that_was_taken_back_is_no_alarm(tagged_repo):
    """As `tag --push` does where somebody else was faster."""
    git = GitRepository.find(tagged_repo.root)
    tagged_repo.mv("promote", "v1.0.0", "prod")
    known_tags.dropped(git, DECISION, ident(tagged_repo, DECISION))
    tagged_repo.git("tag", "-d", DECISION)
    assert problems(tagged_repo, status=0) == {}
    known_tags.dropped(git, VERSION, "0" * 40)  # another object of that name
    tagged_repo.git("tag", "-d", VERSION)
    assert {*problems(tagged_repo)} == {VERSION}


def test_a_torn_or_foreign_memory_is_passed_over(published):
    memory = published.root / ".git/modelver/known-tags.jsonl"
    whole = memory.read_bytes()
    memory.write_bytes(b"\x00\xff not JSON\n[1]\n" + b"[" * 100_000 + b"\n" + whole[:-20])
    assert problems(published, status=0) == {}  # the last line is torn: that tag is noted anew
    before = ident(published, DECISION)
    force_annotated(published, DECISION)
    assert before in problems(published)[DECISION]["message"]


def test_it_is_no_failure_that_nothing_can_be_noted(published):
    memory = published.root / ".git/modelver/known-tags.jsonl"
    memory.unlink()
    memory.symlink_to("/nowhere/at/all")
    assert problems(published, status=0) == {}
    published.mv("yank", "v1.0.0")
    assert "m@v1.0.0!" in published.tags()
