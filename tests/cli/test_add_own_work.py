"""`modelver add` over what the user put into a model's folder: kept, or replaced with --force."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from sandbox import Sandbox

import models

WEIGHTS = "models/m/weights"


def following(box: Sandbox, seed: int = 2) -> str:
    return str(models.safetensors(box.root.parent / "incoming" / "next.safetensors", seed))


def shard(box: Sandbox) -> Path:
    return next((box.root / WEIGHTS).glob("*.safetensors"))


def kept(box: Sandbox) -> dict[str, bytes | str]:
    """Everything but DVC's cache, which may grow."""
    return {path: data for path, data in box.files().items() if not path.startswith(".dvc/cache/")}


def own_file(box: Sandbox) -> str:
    box.write(f"{WEIGHTS}/notes.txt", "mine\n")
    return "notes.txt"


def edited_shard(box: Sandbox) -> str:
    """In another inode: DVC's cache is not what is edited."""
    path = shard(box)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.unlink()
    path.write_bytes(data)
    return path.name


def deep_file(box: Sandbox) -> str:
    box.write(f"{WEIGHTS}/a/b/c.bin", "mine\n")
    return "a/b/c.bin"


def own_link(box: Sandbox) -> str:
    (box.root / WEIGHTS / "link").symlink_to("../README.md")
    return "weights/link"


def link_to_a_folder(box: Sandbox) -> str:
    (box.root / WEIGHTS / "link").symlink_to("..")
    return "weights/link"


def link_in_its_place(box: Sandbox) -> str:
    elsewhere = box.root / "elsewhere"
    (box.root / WEIGHTS).rename(elsewhere)
    (box.root / WEIGHTS).symlink_to("../../elsewhere")
    return WEIGHTS


def file_in_its_place(box: Sandbox) -> str:
    shutil.rmtree(box.root / WEIGHTS)
    box.write(WEIGHTS, "mine\n")
    return WEIGHTS


@pytest.mark.parametrize(
    "make",
    [own_file, edited_shard, deep_file, own_link, link_to_a_folder, link_in_its_place, file_in_its_place],
)
def test_work_in_the_weights_folder(model_repo: Sandbox, make: Callable[[Sandbox], str]) -> None:
    name = make(model_repo)
    done = model_repo.refused("add", "m", following(model_repo))
    assert name in done.err
    assert "--force" in model_repo.hint(done)


@pytest.mark.parametrize("make", [own_file, link_in_its_place, file_in_its_place])
def test_by_force_it_goes(model_repo: Sandbox, make: Callable[[Sandbox], str]) -> None:
    make(model_repo)
    model_repo.mend(model_repo.refused("add", "m", following(model_repo)))
    assert (model_repo.root / WEIGHTS).is_dir()
    assert not (model_repo.root / WEIGHTS).is_symlink()
    model_repo.commit("next", "models")
    assert model_repo.mv("status", "m", "--format", "json").json()[0]["obstacles"] == []


def test_work_where_a_new_model_would_lie(empty_repo: Sandbox) -> None:
    empty_repo.write("models/new/weights/mine.txt", "mine\n")
    done = empty_repo.refused("add", "new", following(empty_repo))
    assert "models/new/weights/mine.txt" in done.err
    empty_repo.mv("add", "new", following(empty_repo), "--force")
    assert not (empty_repo.root / "models/new/weights/mine.txt").exists()


def test_what_git_tracks_there_is_not_replaced(empty_repo: Sandbox) -> None:
    empty_repo.write("models/new/weights/mine.txt", "mine\n")
    empty_repo.commit("mine")
    done = empty_repo.refused("add", "new", following(empty_repo), "--force")
    assert "Git tracks models/new/weights/mine.txt" in done.err


def test_what_the_cache_holds_is_replaced_without_asking(model_repo: Sandbox) -> None:
    """The version that is there, one that was added and not committed, and a file copied out of the cache."""
    model_repo.change("m", 2)
    (model_repo.root / WEIGHTS / "copy").write_bytes(shard(model_repo).read_bytes())
    model_repo.change("m", 3)
    assert not (model_repo.root / WEIGHTS / "copy").exists()


def test_the_last_copy_of_a_version_goes_into_the_cache(tagged_repo: Sandbox) -> None:
    """The cache lost the version's objects, and nobody has pushed them: what lies in the working tree is all."""
    shutil.rmtree(tagged_repo.root / ".dvc" / "cache")
    tagged_repo.mv("verify", "m@v1.0.0", status=1)
    tagged_repo.change("m", 2)
    assert tagged_repo.mv("verify", "m@v1.0.0", "--full", "--format", "json").json()["ok"]


def test_a_damaged_object_holds_nothing(tagged_repo: Sandbox) -> None:
    """An object of that name is there, but its bytes are gone: the copy in the working tree is the only one."""
    for path in (tagged_repo.root / ".dvc" / "cache" / "files" / "md5").glob("*/*"):
        if not path.name.endswith(".dir"):
            data = path.read_bytes()
            path.unlink()
            path.write_bytes(bytes(len(data)))
    tagged_repo.change("m", 2)
    assert tagged_repo.mv("verify", "m@v1.0.0", "--full", "--format", "json").json()["ok"]


@pytest.mark.parametrize("name", ["source.json", "files.jsonl", "tensors.jsonl", "weights.dvc"])
def test_a_generated_file_that_was_edited(model_repo: Sandbox, name: str) -> None:
    path = model_repo.root / "models/m" / name
    edited = path.read_bytes().replace(b"\n", b" \n", 1)
    path.write_bytes(edited)
    before = kept(model_repo)
    source = following(model_repo)
    done = model_repo.mv("add", "m", source, status=2)
    assert f"models/m/{name}" in done.err
    assert kept(model_repo) == before


def test_a_generated_file_that_was_edited_and_staged(model_repo: Sandbox) -> None:
    """Git's index holds the edit, so it may be replaced here, and what is edited further may not."""
    path = model_repo.root / "models/m/files.jsonl"
    edited = path.read_bytes() + b"\n"
    path.write_bytes(edited)
    model_repo.git("add", "models/m/files.jsonl")
    model_repo.mv("add", "m", following(model_repo))
    assert model_repo.run("git", "show", ":models/m/files.jsonl").out.encode() == edited
    path.write_bytes(edited + b"\n")
    model_repo.mend(model_repo.mv("add", "m", following(model_repo, 3), status=2))
    assert edited not in path.read_bytes()


def test_generated_files_of_an_earlier_add_are_generated_anew(model_repo: Sandbox) -> None:
    """Also where nothing was committed in between, and where Git makes CRLF of LF."""
    model_repo.change("m", 2)
    model_repo.change("m", 3)
    model_repo.commit("three")
    model_repo.git("config", "core.autocrlf", "true")
    model_repo.git("rm", "-q", "--cached", ".gitattributes")
    (model_repo.root / ".gitattributes").unlink()
    for name in ("source.json", "files.jsonl", "tensors.jsonl", "weights.dvc"):
        (model_repo.root / "models/m" / name).unlink()
    model_repo.git("checkout", "-q", "--", "models/m")
    assert b"\r\n" in (model_repo.root / "models/m/files.jsonl").read_bytes()
    model_repo.change("m", 4)


def test_what_people_wrote_stays(model_repo: Sandbox) -> None:
    """Settings, words and keys, none of them committed: `add` changes what it must, and keeps the rest."""
    pointer = model_repo.root / "models/m/weights.dvc"
    pointer.write_text("# ours\n" + pointer.read_text() + "  desc: from the lab\n  remote: private\nmeta:\n  team: 7\n")
    model_repo.git("add", "models/m/weights.dvc")
    texts = {
        "dvc.yaml": "# mine\n" + (model_repo.root / "dvc.yaml").read_text() + "    desc: mine\n    labels: [a, b]\n",
        "params.yaml": (model_repo.root / "params.yaml").read_text() + "own:\n  rate: 0.10  # exact\n",
        "models/m/README.md": (model_repo.root / "models/m/README.md").read_text() + "\nmine\n",
        "models/m/.gitignore": "/mine\n" + (model_repo.root / "models/m/.gitignore").read_text(),
    }
    for name, text in texts.items():
        model_repo.write(name, text)
    model_repo.mv("add", "m", following(model_repo))
    assert {name: (model_repo.root / name).read_text() for name in texts} == texts
    lines = pointer.read_text().splitlines()
    for line in ("# ours", "  desc: from the lab", "  remote: private", "meta:", "  team: 7"):
        assert line in lines
    model_repo.dvc("status", "models/m/weights.dvc")


def test_a_pointer_of_a_plain_model_keeps_what_people_wrote(empty_repo: Sandbox) -> None:
    path = models.gguf(empty_repo.root / "llm.gguf")
    empty_repo.mv("add", "llm", "llm.gguf")
    pointer = empty_repo.root / "llm.gguf.dvc"
    pointer.write_text("# ours\n" + pointer.read_text() + "  desc: from the lab\nmeta:\n  team: 7\n")
    models.gguf(path, 2)
    empty_repo.mv("add", "llm", "llm.gguf")
    lines = pointer.read_text().splitlines()
    assert [line for line in ("# ours", "  desc: from the lab", "  team: 7") if line not in lines] == []
    empty_repo.write("models/llm/files.jsonl", (empty_repo.root / "models/llm/files.jsonl").read_text() + "\n")
    models.gguf(path, 3)
    before = pointer.read_bytes()
    assert "models/llm/files.jsonl" in empty_repo.mv("add", "llm", "llm.gguf", status=2).err
    assert pointer.read_bytes() == before
    empty_repo.mv("add", "llm", "llm.gguf", "--force")


@pytest.mark.parametrize("kind", ["folder", "FIFO", "link"])
@pytest.mark.parametrize("name", ["models/new/files.jsonl", "models/new/README.md", "models/new/weights.dvc"])
def test_something_else_where_a_file_would_lie(empty_repo: Sandbox, name: str, kind: str) -> None:
    place = empty_repo.root / name
    place.parent.mkdir(parents=True)
    if kind == "folder":
        empty_repo.write(f"{name}/mine", "mine\n")
    elif kind == "FIFO":
        os.mkfifo(place)
    else:
        place.symlink_to("../../elsewhere")
    done = empty_repo.mv("add", "new", following(empty_repo), status=2 if name[-2:] != "md" or kind == "link" else 0)
    assert place.is_dir() == (kind == "folder")
    assert place.is_fifo() == (kind == "FIFO")
    assert place.is_symlink() == (kind == "link")
    assert (name in done.err) == (done.status == 2)
    assert not (empty_repo.root / "elsewhere").exists()


def test_a_gitignore_in_another_encoding_is_extended(empty_repo: Sandbox) -> None:
    before = "# f\u00fcr uns\n/mine".encode("latin-1")
    empty_repo.write("models/new/.gitignore", before)
    empty_repo.mv("add", "new", following(empty_repo))
    assert (empty_repo.root / "models/new/.gitignore").read_bytes() == before + b"\n/weights\n"
