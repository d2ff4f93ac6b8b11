"""gc on a DVC remote, where others push at the same time and no lock reaches them."""

import itertools
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tracked import Tracked, make_template, md5_of, tracked

from modelver.adapters.dvc import DvcRemote
from modelver.adapters.dvc.retired import RetiredObjects
from modelver.adapters.dvc.stores import FolderStore, temporary_name
from modelver.core.retention import Policy
from modelver.errors import ExternalFailure
from modelver.operations import gc_remote as module
from modelver.operations.gc import GcRequest, Looker
from modelver.operations.gc_remote import gc_remote
from modelver.operations.project import Project

KEPT, GONE = b"kept", b"gone"


@pytest.fixture(scope="session")
def remote_template(tmp_path_factory) -> Path:
    return make_template(tmp_path_factory.mktemp("gcr") / "template")


@pytest.fixture
def box(remote_template, tmp_path, monkeypatch) -> Tracked:
    made = tracked(remote_template, tmp_path / "w")
    real = FolderStore.stat

    def by_modification(self, path):
        """A file's change time can't be set back, so it is left out of its age: `grow_old` works by the other."""
        found = real(self, path)
        return None if found is None else (*found[:2], (self._root / path).stat().st_mtime)

    monkeypatch.setattr(FolderStore, "stat", by_modification)
    for name in [name for name in os.environ if name.startswith(("GIT_", "DVC_"))]:
        monkeypatch.delenv(name)
    for name, value in made.env.items():
        monkeypatch.setenv(name, value)
    return made


def abandoned(box: Tracked, content: bytes | dict[str, bytes] = GONE) -> str:
    """Data on the remote that no commit names any more; the commit that did."""
    box.put("d", content)
    box.upload()
    commit = box.git("rev-parse", "HEAD")
    box.git("reset", "-q", "--hard", "HEAD~1")
    box.git("reflog", "expire", "--expire=now", "--all")
    box.git("update-ref", "-d", "ORIG_HEAD")
    grow_old(box)
    return commit


def grow_old(box: Tracked) -> None:
    """Make everything on the remote decades old."""
    for place in box.store.glob("??/*"):
        os.utime(place, (1, 1))


def age(box: Tracked, seconds: int) -> None:
    """Make everything that was set aside so much older."""
    top = box.store.parent / "modelver" / "retired"
    for place in list(top.iterdir()):
        place.rename(top / str(int(place.name) - seconds))


def test_what_nothing_needs_is_set_aside_then_removed(box):
    box.put("e", KEPT)
    abandoned(box, {"a": GONE, "b": KEPT})
    listing = next(name for name in box.held(box.store) if name.endswith(".dir"))
    before = box.held()
    result = box.collect_remote(grace=3600)
    assert {item.md5 for item in result.items} == {md5_of(GONE), listing}
    assert result.purged == ()
    assert box.held(box.store) == {md5_of(KEPT)}
    assert box.aside() == {md5_of(GONE), listing}
    assert box.collect_remote(grace=3600).idle
    age(box, 4000)
    answer = box.mv("gc", "--remote", "--grace", "1h", "--yes", "--format", "json").json()
    assert {item["md5"] for item in answer["purged"]} == {md5_of(GONE), listing}
    assert answer["set_aside"] == answer["put_back"] == answer["removed"] == []
    assert (box.held(box.store), box.aside()) == ({md5_of(KEPT)}, set())
    assert box.held() == before  # the cache is another matter


def test_a_dry_run_says_what_the_run_does(box):
    """Without a grace period that is other than with one; also of what an earlier run set aside."""
    abandoned(box, {"a": GONE, "b": KEPT})
    box.collect_remote(grace=3600)
    age(box, 4000)
    shutil.rmtree(box.cache)
    abandoned(box, b"more")
    said = box.mv("gc", "--remote", "--grace", "0", "--dry-run").out.splitlines()
    assert said[-1].startswith("would remove for good 4 objects, ")
    assert "aside" not in said[-1]
    assert [line.split()[:4] for line in said if line.startswith("(")] == [["(no", "commit", "tells)", "4"]]
    planned, real = (
        box.mv("gc", "--remote", "--grace", "0", option, "--format", "json").json() for option in ("--dry-run", "--yes")
    )
    assert planned["set_aside"] == real["set_aside"] == []
    assert {item["md5"] for item in planned["purged"]} == {item["md5"] for item in real["purged"]}
    assert planned["bytes"] == real["bytes"]
    assert box.held(box.store) == box.aside() == set()


def test_what_is_needed_again_is_put_back(box):
    commit = abandoned(box, {"a": GONE, "b": KEPT})
    names = box.held(box.store)
    box.collect_remote(grace=3600)
    assert box.aside() == names
    box.git("push", "-q", "../git", f"{commit}:refs/tags/v1")
    age(box, 10**6)
    result = box.collect_remote(grace=3600)
    assert {item.md5 for item in result.put_back} == names
    assert (box.held(box.store), box.aside()) == (names, set())
    assert result.purged == ()


def test_what_was_uploaded_again_meanwhile_stays_once(box):
    commit = abandoned(box)
    box.collect_remote(grace=3600)
    box.upload()
    box.git("tag", "v1", commit)
    box.collect_remote(grace=3600)
    assert (box.held(box.store), box.aside()) == ({md5_of(GONE)}, set())


@pytest.mark.parametrize("wrong", [GONE[:1], GONE[::-1], GONE + b"x", b""])
def test_what_was_set_aside_takes_the_place_of_a_wrong_upload(box, wrong):
    """Torn, or of the right size and other bytes: nothing else on the remote has what the version needs."""
    commit = abandoned(box)
    box.collect_remote(grace=3600)
    spoilt = box.store / md5_of(GONE)[:2] / md5_of(GONE)[2:]
    spoilt.parent.mkdir(exist_ok=True)
    spoilt.write_bytes(wrong)
    box.git("tag", "v1", commit)
    age(box, 10**6)
    box.collect_remote(grace=3600)
    assert spoilt.read_bytes() == GONE
    assert box.aside() == set()


def test_where_both_are_wrong_both_stay(box):
    commit = abandoned(box, {"a": GONE, "b": KEPT})
    names = box.held(box.store)
    listing = next(name for name in names if name.endswith(".dir"))
    box.collect_remote(grace=3600)
    (aside,) = (box.store.parent / "modelver" / "retired").glob(f"*/{listing[:2]}/{listing[2:]}")
    aside.chmod(0o644)
    data = aside.read_bytes()
    aside.write_bytes(data[::-1])
    there = box.store / listing[:2] / listing[2:]
    there.parent.mkdir(exist_ok=True)
    there.write_bytes(data.upper())
    box.git("tag", "v1", commit)
    age(box, 10**6)
    box.collect_remote(grace=3600)
    (left,) = (path for path in (box.store.parent / "modelver" / "retired").rglob("*") if path.is_file())
    assert left.read_bytes() == data[::-1]
    assert there.read_bytes() == data.upper()
    assert {path.parent.name + path.name for path in box.store.glob("??/*")} == names


def test_young_objects_on_the_remote_stay(box):
    """Somebody has uploaded them, and is about to push the tag."""
    abandoned(box)
    shutil.rmtree(box.store)
    box.upload()
    result = box.collect_remote(grace=3600)
    assert (result.items, result.young) == ((), 1)
    assert box.held(box.store) == {md5_of(GONE)}


def halves(box: Tracked) -> dict[str, float]:
    """Halves of objects, as killed uploads leave them, and files of others': name → seconds since the last write."""
    folder = box.store / "ab"
    folder.mkdir(parents=True)
    names = {
        temporary_name("c" * 30): 3 * 86_400.0,
        temporary_name("d" * 30 + ".dir"): 3 * 86_400.0,
        temporary_name("e" * 30): 3_600.0,
        f".{'f' * 30}.shortuuid.tmp": 3 * 86_400.0,
        "notes.tmp": 3 * 86_400.0,
    }
    for name, seconds in names.items():
        (folder / name).write_bytes(b"half")
        os.utime(folder / name, (time.time() - seconds,) * 2)
    return names


def test_what_killed_uploads_have_left_goes_once_nobody_can_be_writing_it(box):
    """Without a grace period, too, a day is waited: another one's upload may be under way."""
    names = [*halves(box)]
    planned = gc_remote(Project.open(box.root), GcRequest(Policy(0)), confirm=lambda _: True, dry_run=True)
    assert (planned.halves, planned.halves_bytes, planned.idle) == (2, 8, False)
    assert sorted(path.name for path in (box.store / "ab").iterdir()) == sorted(names)
    assert box.collect_remote(grace=7 * 86_400).idle
    done = box.collect_remote(grace=0)
    assert (done.halves, done.halves_bytes) == (2, 8)
    assert sorted(path.name for path in (box.store / "ab").iterdir()) == sorted(names[2:])
    assert box.collect_remote(grace=0).idle


def test_a_clock_that_is_ahead_makes_no_half_old(box, monkeypatch):
    names = [*halves(box)]
    (box.store / "ab" / names[2]).touch()
    real = module.time.time

    class Ahead:
        @staticmethod
        def time() -> float:
            return real() + 2 * 86_400

    monkeypatch.setattr(module, "time", Ahead)
    assert box.collect_remote(grace=0).halves == 2
    assert (box.store / "ab" / names[2]).exists()


def test_a_clock_that_is_ahead_makes_nothing_old(box, monkeypatch):
    """The storage says when an object was written; this machine's clock says it is next month."""
    abandoned(box)
    shutil.rmtree(box.store)
    box.upload()
    real = module.time.time

    class Ahead:
        @staticmethod
        def time() -> float:
            return real() + 40 * 86_400

    monkeypatch.setattr(module, "time", Ahead)
    box.collect_remote(grace=14 * 86_400)
    assert box.held(box.store) == {md5_of(GONE)}
    assert box.aside() == set()


def test_what_another_clone_published_stays(box):
    """This one has never heard of it."""
    other = Tracked(box.clone(box.root.parent / "other").root, box.env)
    other.git("remote", "set-url", "origin", str(box.root.parent / "git"))
    other.put("d", KEPT)
    other.upload()
    other.git("tag", "-a", "-m", "x", "v1")
    other.git("push", "-q", "origin", "v1")
    abandoned(box)
    box.collect_remote()
    assert box.held(box.store) == {md5_of(KEPT)}
    assert box.tags() == []


def test_unpushed_work_of_this_clone_stays(box):
    box.put("d", KEPT, commit=False)
    box.upload()
    box.git("stash", "push", "-q", "--include-untracked")
    assert box.collect_remote().items == ()
    assert box.held(box.store) == {md5_of(KEPT)}


def test_a_clone_without_weights_takes_listings_from_the_remote(box):
    box.put("d", {"a": KEPT, "b": b"x"})
    abandoned(box)
    box.git("push", "-q")
    other = Tracked(box.root.parent / "other", box.env)
    box.run("git", "clone", "-q", str(box.root.parent / "git"), str(other.root))
    needed = box.held(box.store) - {md5_of(GONE)}
    other.collect_remote()
    assert box.held(box.store) == needed
    assert len(needed) == 3


def test_a_folder_that_was_set_aside_is_put_back_from_anywhere(box):
    """By a clone that has nothing of it: the listing itself lies aside."""
    commit = abandoned(box, {"a": KEPT, "b": b"x"})
    names = box.held(box.store)
    box.collect_remote(grace=3600)
    assert box.aside() == names
    box.git("push", "-q", "../git", f"{commit}:refs/tags/v1")
    other = Tracked(box.root.parent / "other", box.env)
    box.run("git", "clone", "-q", str(box.root.parent / "git"), str(other.root))
    age(box, 10**6)
    assert len(other.collect_remote(grace=3600).put_back) == 3
    assert (box.held(box.store), box.aside()) == (names, set())


def test_a_folder_that_cannot_be_listed_refuses(box):
    folder = box.put("d", {"a": KEPT})
    abandoned(box)
    for top in (box.cache, box.store):
        (top / folder[:2] / folder[2:]).unlink()
    done = box.refused("gc", "--remote", "--grace", "0", "--yes")
    assert folder in done.err
    assert md5_of(GONE) in box.held(box.store)


def test_remotes_that_are_missing_refuse(box):
    assert "no DVC remote 'other'" in box.refused("gc", "--dvc-remote", "other", "--yes").err
    shutil.move(box.root.parent / "git", box.root.parent / "away")
    box.refused("gc", "--remote", "--yes", status=3)


def test_a_dry_run_writes_nothing(box):
    abandoned(box)
    before = _files(box.store.parent)
    done = box.mv("gc", "--remote", "--grace", "0", "--dry-run")
    assert "1 object, 4 B" in done.out
    assert _files(box.store.parent) == before


def test_a_listing_goes_before_its_files_and_comes_back_after_them(box, monkeypatch):
    """DVC takes a listing as evidence that the files in it are there."""
    commit = abandoned(box, {str(n): str(n).encode() for n in range(20)})
    seen: list[str] = []
    for name in ("retire", "put_back"):
        real = getattr(RetiredObjects, name)

        def noted(self, item, *rest, real=real):
            seen.append(item if isinstance(item, str) else item.md5)
            return real(self, item, *rest)

        monkeypatch.setattr(RetiredObjects, name, noted)
    box.collect_remote(grace=3600, jobs=1)
    assert [name.endswith(".dir") for name in seen] == [True] + 20 * [False]
    seen.clear()
    box.git("tag", "v1", commit)
    box.collect_remote(grace=3600, jobs=1)
    assert [name.endswith(".dir") for name in seen] == 20 * [False] + [True]


def test_a_storage_that_fails_midway_is_told_and_the_rerun_finishes(box, monkeypatch):
    abandoned(box, {str(n): str(n).encode() for n in range(5)})
    names = box.held(box.store)
    real, calls = RetiredObjects.retire, itertools.count()

    def failing(self, *args):
        if next(calls) == 3:
            raise ExternalFailure("the storage is gone")
        return real(self, *args)

    monkeypatch.setattr(RetiredObjects, "retire", failing)
    with pytest.raises(ExternalFailure, match="gone"):
        box.collect_remote(grace=3600)
    assert box.held(box.store) | box.aside() == names
    monkeypatch.setattr(RetiredObjects, "retire", real)
    box.collect_remote(grace=3600)
    assert (box.held(box.store), box.aside()) == (set(), names)


# Every order of a push and a gc. The push's steps: it looks which objects are there and uploads the others; it
# publishes its tag; it looks once more and uploads what is missing (`dvc push` does not). gc's: see `SLOTS`.
SLOTS = ("before", "while it asks", "before it sets aside", "after it set aside", "before it puts back", "after")
ORDERS = list(itertools.combinations_with_replacement(range(len(SLOTS)), 3))
SAMPLE = random.Random(8).sample(ORDERS, 14)


@pytest.mark.parametrize("order", SAMPLE, ids=str)
def test_a_push_beside_it_comes_out_whole(box, monkeypatch, order):
    assert _beside(box, monkeypatch, order, looks_again=True) == NOTHING_MISSING


@pytest.mark.slow
@pytest.mark.parametrize("looks_again", [True, False])
@pytest.mark.parametrize("order", ORDERS, ids=str)
def test_a_push_beside_it_comes_out_whole_in_every_order(box, monkeypatch, order, looks_again):
    outcome = _beside(box, monkeypatch, order, looks_again=looks_again)
    assert (outcome if looks_again else replace(outcome, unpublished=set())) == NOTHING_MISSING


@pytest.mark.parametrize("order", SAMPLE[:4], ids=str)
def test_what_a_plain_dvc_push_lost_sight_of_is_put_back_by_the_next_gc(box, monkeypatch, order):
    outcome = _beside(box, monkeypatch, order, looks_again=False)
    assert replace(outcome, unpublished=set()) == NOTHING_MISSING


@dataclass(frozen=True)
class Outcome:
    """What a gc and a push at once leave of the version's objects.

    Attributes:
        lost: neither on the remote nor set aside.
        unpublished: not on the remote, so the version can't be got.
        unpublished_later: not even after the next gc.
        aside_later: still set aside after it; nothing may be, for all is needed.
    """

    lost: set[str]
    unpublished: set[str]
    unpublished_later: set[str]
    aside_later: set[str]


NOTHING_MISSING = Outcome(set(), set(), set(), set())


def _beside(box: Tracked, monkeypatch: pytest.MonkeyPatch, order: tuple[int, ...], *, looks_again: bool) -> Outcome:
    commit = abandoned(box, {"a": GONE, "b": KEPT})
    names = box.held(box.store)
    missing = sorted(names)[:1]  # part of it is there already, part is not
    for name in missing:
        (box.store / name[:2] / name[2:]).unlink()
    steps: list[Callable[[], object]] = [
        lambda: box.upload(*names),
        lambda: box.git("push", "-q", "../git", f"{commit}:refs/tags/v1"),
        lambda: box.upload(*names) if looks_again else None,
    ]

    def reached(slot: int) -> None:
        while len(done) < 3 and order[len(done)] <= slot:
            steps[len(done)]()
            done.append(slot)

    done: list[int] = []
    looks = itertools.count()
    look, put_back = Looker.look, RetiredObjects.all

    def looking(self):
        number = next(looks)
        if number == 2:
            reached(3)
        found = look(self)
        reached({0: 1, 1: 2, 2: 4}[number])
        return found

    reached(0)
    monkeypatch.setattr(Looker, "look", looking)
    gc_remote(Project.open(box.root), GcRequest(Policy(1800)), confirm=lambda _: True)
    reached(5)
    monkeypatch.setattr(Looker, "look", look)
    assert len(done) == 3
    assert put_back is RetiredObjects.all
    unpublished = names - box.held(box.store)
    lost = unpublished - box.aside()
    if box.aside():
        age(box, 10**6)
    gc_remote(Project.open(box.root), GcRequest(Policy(1800)), confirm=lambda _: True)
    return Outcome(lost, unpublished, names - box.held(box.store), box.aside())


@pytest.mark.parametrize("delay", [0.8, *(pytest.param(n / 4, marks=pytest.mark.slow) for n in range(20))])
def test_a_real_push_beside_it_comes_out_whole(box, model_template, tmp_path, delay):
    """`modelver push` of a version whose objects have long been on the remote, where nothing needs them; gc runs in
    another clone, once, at a moment that differs, and again and again until the push has ended."""
    top = box.root.parent
    shutil.copytree(model_template, top / "publisher", symlinks=True)
    publisher = Tracked(top / "publisher", box.env)
    publisher.write(".dvc/config", f"[core]\n    remote = store\n['remote \"store\"']\n    url = {top / 'store'}\n")
    publisher.commit("remote", ".dvc/config")
    publisher.git("remote", "add", "origin", str(top / "git"))
    publisher.git("push", "-q", "--force", "origin", "main~1:refs/heads/main")
    publisher.mv("tag", "m")
    publisher.upload()
    names = publisher.held()
    grow_old(box)
    command = [sys.executable, "-P", "-m", "modelver", "push", "--format", "json"]
    with subprocess.Popen(command, cwd=publisher.root, env=publisher.env, stdout=subprocess.PIPE) as pushing:
        time.sleep(delay)
        while pushing.poll() is None:
            box.collect_remote(grace=3600)
    assert pushing.returncode == 0
    assert "m@v1.0.0" in box.git("ls-remote", "--tags", "origin")
    assert box.held(box.store) >= names
    clone = Tracked(top / "clone", box.env)
    box.run("git", "clone", "-q", str(top / "git"), str(clone.root))
    assert clone.mv("verify", "m@v1.0.0", "--remote", "--full", status=None).status == 0


def _files(top: Path) -> dict[str, bytes]:
    return {str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()}


@pytest.mark.s3
def test_on_s3(box, swift, monkeypatch):
    """Set aside, put back and removed by the storage itself; its own clock says what is old."""
    for name, value in swift.env().items():
        monkeypatch.setenv(name, value)
    box.write(".dvc/config", "")
    swift.configure(box)
    remote = DvcRemote.open(box.root)
    commit = abandoned(box, {"a": GONE, "b": KEPT})
    kept = box.put("e", b"e")
    box.git("push", "-q")
    for md5 in box.held():
        remote.write(md5, box.cache / md5[:2] / md5[2:])
    names = box.held() - {kept}

    def there() -> set[str]:
        return {stored.md5 for stored in remote.objects()}

    aside = RetiredObjects(remote)
    assert box.collect_remote(grace=3600).items == ()
    for md5 in names:
        stored = remote.stat(md5)
        assert stored is not None
        aside.retire(md5, stored.bytes, 1)
    assert (there(), {item.md5 for item in aside.all()}) == ({kept}, names)
    box.git("tag", "v1", commit)
    box.collect_remote(grace=3600)
    assert (there(), list(aside.all())) == ({kept, *names}, [])
    for md5 in there():
        found = remote.digest(md5)
        assert found is not None
        assert found[0].md5 == md5.removesuffix(".dir")
    box.git("tag", "-d", "v1")
    box.collect_remote()
    assert (there(), list(aside.all())) == ({kept}, [])
