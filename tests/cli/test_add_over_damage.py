"""`modelver add` where DVC's cache holds a damaged object of a file that is added again."""

import hashlib
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from sandbox import Sandbox

import models


def objects(repo: Sandbox) -> dict[str, bytes]:
    """Every object of DVC's cache: the hash that its path says → its bytes."""
    top = repo.root / ".dvc" / "cache" / "files" / "md5"
    found = {path.parent.name + path.name: path.read_bytes() for path in top.glob("*/*")}
    assert found
    return found


def damaged(repo: Sandbox) -> set[str]:
    """The objects whose bytes have another MD5 than their path says."""
    found = objects(repo)
    return {name for name, data in found.items() if hashlib.md5(data).hexdigest() != name.removesuffix(".dir")}


def flip(repo: Sandbox, md5: str) -> None:
    """One bit of an object's last byte; size and permissions stay."""
    place = repo.root / ".dvc" / "cache" / "files" / "md5" / md5[:2] / md5[2:]
    data = bytearray(place.read_bytes())
    data[-1] ^= 1
    place.chmod(0o644)
    place.write_bytes(data)
    place.chmod(0o444)


def largest(repo: Sandbox) -> str:
    """The largest file in the cache."""
    found = objects(repo)
    return max((name for name in found if not name.endswith(".dir")), key=lambda name: len(found[name]))


def test_a_damaged_object_is_healed_and_never_vouched_for(tagged_repo: Sandbox) -> None:
    """`add` took an object of the right size as whole and remembered the digest that it should have had: `verify`
    and `tag`, which read that memory, then said that damaged weights were right."""
    whole = objects(tagged_repo)
    md5 = largest(tagged_repo)
    flip(tagged_repo, md5)
    assert damaged(tagged_repo) == {md5}
    tagged_repo.mv("verify", "m@v1.0.0", status=1)

    tagged_repo.change("m", 1)

    assert damaged(tagged_repo) == set()
    assert objects(tagged_repo) == whole
    tagged_repo.mv("verify", "m@v1.0.0")
    tagged_repo.mv("verify", "m@v1.0.0", "--full")


def test_damage_that_add_has_no_bytes_for_is_still_found(tagged_repo: Sandbox) -> None:
    """What the next content does not share can't be healed by it, and `verify` says so as before."""
    md5 = largest(tagged_repo)
    flip(tagged_repo, md5)
    shutil.rmtree(tagged_repo.root / "models/m/weights")  # else it is healed from there
    tagged_repo.change("m", 2)
    assert damaged(tagged_repo) == {md5}
    tagged_repo.mv("verify", "m@v1.0.0", status=1)
    tagged_repo.commit("next")
    tagged_repo.mv("tag", "m")
    tagged_repo.mv("verify", "m@latest")


def test_a_shared_file_is_whole_in_the_version_tagged_next(tagged_repo: Sandbox) -> None:
    """Two checkpoints share a tensor; the next version is tagged over healed objects only."""
    incoming = tagged_repo.root.parent / "big"
    incoming.mkdir()
    big = {"shared": np.arange(1 << 19, dtype="float32"), "own": np.zeros(3, dtype="float32")}
    save_file(big, str(incoming / "a.safetensors"))
    save_file({**big, "own": np.ones(3, dtype="float32")}, str(incoming / "b.safetensors"))
    tagged_repo.mv("add", "big", str(incoming / "a.safetensors"))
    tagged_repo.commit("big")
    tagged_repo.mv("tag", "big")
    md5 = largest(tagged_repo)
    flip(tagged_repo, md5)
    # what `add` would link from the working tree is not there, so that nothing but the source has the bytes
    weights = tagged_repo.root / "models" / "big" / "weights"
    for path in weights.iterdir():
        path.unlink()

    tagged_repo.mv("add", "big", str(incoming / "b.safetensors"))

    assert damaged(tagged_repo) == set()
    tagged_repo.commit("next")
    tagged_repo.mv("tag", "big")
    tagged_repo.mv("verify", "big@v1.0.0", "--full")
    tagged_repo.mv("verify", "big@latest", "--full")
    merged = {k: v for path in weights.glob("*.safetensors") for k, v in load_file(str(path)).items()}
    assert (merged["shared"] == big["shared"]).all()
    assert merged["own"].tolist() == [1, 1, 1]


@pytest.mark.parametrize("kind", ["listing", "cut", "zeros"])
def test_other_damage_to_what_is_added_again(tagged_repo: Sandbox, kind: str) -> None:
    whole = objects(tagged_repo)
    md5 = largest(tagged_repo) if kind != "listing" else next(name for name in whole if name.endswith(".dir"))
    place = tagged_repo.root / ".dvc" / "cache" / "files" / "md5" / md5[:2] / md5[2:]
    place.chmod(0o644)
    if kind == "listing":
        place.write_bytes(place.read_bytes().replace(b"relpath", b"RELPATH"))
    elif kind == "cut":
        place.write_bytes(place.read_bytes()[:-1])
    else:
        place.write_bytes(bytes(len(whole[md5])))
    tagged_repo.change("m", 1)
    assert objects(tagged_repo) == whole
    tagged_repo.mv("verify", "m@v1.0.0", "--full")


@pytest.mark.parametrize(
    ("kind", "harm"), [("file", "flipped"), ("folder", "cut"), ("folder", "listing"), ("data", "flipped")]
)
def test_dvc_add_takes_no_damage_for_the_users_file(empty_repo: Sandbox, kind: str, harm: str) -> None:
    """`dvc add` put the damaged object in the place of the good file, and called it added."""
    name = "rows.npz" if kind == "data" else "llm/a.bin" if kind == "folder" else "llm.bin"
    path = empty_repo.root / name
    path.parent.mkdir(exist_ok=True)
    np.savez(path, x=np.ones((40, 3), dtype=np.float32))
    if name.endswith(".bin"):
        path.with_name(f"{path.name}.npz").rename(path)
    good = path.read_bytes()
    command = ("add", "llm", name.split("/")[0])
    if kind == "data":
        models.onnx(empty_repo.root / "q.onnx")
        command = ("add", "q", "q.onnx", "--framework", "onnx", "--data", name)
    empty_repo.mv(*command)
    md5 = hashlib.md5(good).hexdigest()
    if harm == "listing":
        md5 = next(name for name in objects(empty_repo) if name.endswith(".dir"))
    if harm == "flipped":
        flip(empty_repo, md5)
    else:
        place = empty_repo.root / ".dvc" / "cache" / "files" / "md5" / md5[:2] / md5[2:]
        place.chmod(0o644)
        place.write_bytes(b"[]" if harm == "listing" else good[:-1])
        place.chmod(0o444)
    empty_repo.mv(*command)
    assert path.read_bytes() == good
    assert damaged(empty_repo) == set()
