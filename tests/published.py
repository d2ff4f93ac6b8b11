"""A place to publish to: a bare Git repository and a DVC remote, looked at past modelver and DVC."""

import hashlib
import os
from pathlib import Path
from typing import Any, Protocol

from sandbox import Sandbox
from swift import Swift


class Storage(Protocol):
    """The objects of a DVC remote, by name."""

    def objects(self) -> dict[str, bytes]: ...

    def put(self, md5: str, data: bytes) -> None: ...

    def delete(self, md5: str) -> None: ...


class FolderStorage:
    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, md5: str) -> Path:
        return self.root / "files" / "md5" / md5[:2] / md5[2:]

    def objects(self) -> dict[str, bytes]:
        found = {}
        for place, _, names in os.walk(self.root / "files" / "md5"):
            found.update({Path(place).name + name: (Path(place) / name).read_bytes() for name in names})
        return found

    def put(self, md5: str, data: bytes) -> None:
        self.path(md5).chmod(0o644)
        self.path(md5).write_bytes(data)

    def delete(self, md5: str) -> None:
        self.path(md5).unlink()


class BucketStorage:
    def __init__(self, swift: Swift, bucket: str, prefix: str = "dvc") -> None:
        self.client: Any = swift.client()
        self.bucket = bucket
        self.prefix = prefix

    def _key(self, md5: str) -> str:
        return f"{self.prefix}/files/md5/{md5[:2]}/{md5[2:]}"

    def objects(self) -> dict[str, bytes]:
        listed = self.client.list_objects_v2(Bucket=self.bucket, Prefix=f"{self.prefix}/").get("Contents", [])
        keys = [entry["Key"] for entry in listed]
        bodies = {key: self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read() for key in keys}
        return {"".join(key.split("/")[-2:]): data for key, data in bodies.items()}

    def read(self, md5: str) -> bytes:
        data: bytes = self.client.get_object(Bucket=self.bucket, Key=self._key(md5))["Body"].read()
        return data

    def put(self, md5: str, data: bytes) -> None:
        self.client.put_object(Bucket=self.bucket, Key=self._key(md5), Body=data)

    def delete(self, md5: str) -> None:
        self.client.delete_object(Bucket=self.bucket, Key=self._key(md5))


class Hub:
    """A bare repository that is ``origin``."""

    def __init__(self, path: Path, box: Sandbox) -> None:
        self.path = path
        self.box = box

    def git(self, *args: str, status: int | None = 0) -> str:
        return self.box.run("git", "-C", str(self.path), *args, status=status).out.rstrip("\n")

    def tags(self) -> list[str]:
        return self.git("tag", "--list").splitlines()

    def refs(self) -> dict[str, str]:
        lines = self.git("for-each-ref", "--format=%(refname) %(objectname)").splitlines()
        return dict(line.split(" ") for line in lines)

    def clone(self, to: Path) -> Sandbox:
        self.box.run("git", "clone", "-q", str(self.path), str(to))
        return Sandbox(to, self.box.env)


def with_hub(box: Sandbox) -> Hub:
    """Give the repository a bare ``origin`` beside it, by a relative path; nothing is pushed."""
    path = box.root.parent / "hub.git"
    box.run("git", "init", "-q", "--bare", "-b", "main", str(path))
    box.git("remote", "add", "origin", "../hub.git")
    return Hub(path, box)


def with_folder(box: Sandbox) -> FolderStorage:
    """Give it a folder beside it as its DVC remote, by a relative path, committed."""
    root = box.root.parent / "storage"
    box.write(".dvc/config", "[core]\n    remote = storage\n['remote \"storage\"']\n    url = ../../storage\n")
    box.git("add", "--", ".dvc/config")
    box.git("commit", "-qm", "remote", "--", ".dvc/config")
    return FolderStorage(root)


def needed(box: Sandbox, version: str, model: str = "m") -> dict[str, bytes]:
    """The objects of an ingested model's version, out of its own files: name → bytes.

    Told by the manifest that Git has, and the pointer; the bytes are those of DVC's cache, checked by ``md5sum``'s
    algorithm here.
    """
    import json

    import yaml

    tag = f"{model}@{version}"
    pointer = yaml.safe_load(box.git("show", f"{tag}:models/{model}/weights.dvc"))
    lines = box.git("show", f"{tag}:models/{model}/files.jsonl").splitlines()
    names = [pointer["outs"][0]["md5"], *(json.loads(line)["md5"] for line in lines)]
    found = {}
    for name in names:
        data = (box.root / ".dvc/cache/files/md5" / name[:2] / name[2:]).read_bytes()
        assert hashlib.md5(data).hexdigest() == name.removesuffix(".dir")
        found[name] = data
    return found


def cached(box: Sandbox, md5: str) -> Path:
    """Where DVC's cache has an object."""
    return box.root / ".dvc/cache/files/md5" / md5[:2] / md5[2:]


def spoil_cache(box: Sandbox, md5: str, data: bytes | None) -> None:
    """Overwrite an object of the cache, or delete it."""
    path = cached(box, md5)
    if data is None:
        path.unlink()
        return
    path.chmod(0o644)
    path.write_bytes(data)
    path.chmod(0o444)


def harmed(data: bytes, how: str) -> bytes | None:
    """Bytes with a flipped bit, cut short, too long, empty, or None for deleted."""
    middle = len(data) // 2
    return {
        "flip": data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :],
        "truncate": data[:-1],
        "empty": b"",
        "extend": data + b"\0",
        "delete": None,
    }[how]


def harm(storage: Storage, md5: str, how: str) -> None:
    data = harmed(storage.objects()[md5], how)
    if data is None:
        storage.delete(md5)
    else:
        storage.put(md5, data)
