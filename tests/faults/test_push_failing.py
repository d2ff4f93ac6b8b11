"""A DVC remote that fails, or whose storage is killed midway: the version is published whole, or no tag goes out."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from published import BucketStorage, Hub, needed, with_hub
from sandbox import Sandbox

import models

pytestmark = pytest.mark.s3

MODES = ("503", "reset", "truncate")
CASES = [(mode, n) for mode in MODES for n in range(1, 21)]
SAMPLE = [("503", 1), ("reset", 20), ("truncate", 4)]
HERE = ("--dvc-remote", "here")
"""Where this clone is told to push, by `.dvc/config.local`: to another place than others have it from."""

BESIDE = 14
"""Files beside the weights, each an object of its own: the rarest failures too come several times in one push."""


class Case:
    """A version of many objects to publish, to a place of its own in a bucket, through whichever endpoint.

    Attributes:
        log: what failed, a line for each request; the hub adds a line ``tag`` as the tag comes in.
    """

    def __init__(self, box: Sandbox, swift) -> None:
        self.box, self.swift = box, swift
        source = box.root.parent / "source"
        models.safetensors(source / "model.safetensors")
        for number in range(BESIDE):
            (source / f"part{number}.json").write_text(f"[{number}]\n")
        box.mv("add", "m", str(source))
        box.commit("m")
        self.hub: Hub = with_hub(box)
        self.log = box.root.parent / "log"
        hook = self.hub.path / "hooks" / "pre-receive"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\necho tag >> '{self.log}'\n")
        hook.chmod(0o755)
        self.bucket = swift.configure(box)
        box.mv("tag", "m")
        self.needed = needed(box, "v1.0.0")
        assert len(self.needed) == BESIDE + 3  # and the listing, the weights, their index
        self.number = 0

    def start(self) -> BucketStorage:
        """An empty place, no tag on the hub, and nothing failed yet."""
        self.number += 1
        for ref in self.hub.refs():
            self.hub.git("update-ref", "-d", ref)
        self.log.unlink(missing_ok=True)
        self.use(self.swift.endpoint)
        return BucketStorage(self.swift, self.bucket, f"case-{self.number}")

    def use(self, endpoint: str) -> None:
        self.box.write(
            ".dvc/config.local",
            f"['remote \"here\"']\n    url = s3://{self.bucket}/case-{self.number}\n    endpointurl = {endpoint}\n",
        )

    def failed(self) -> int:
        """Requests that failed before the tag came to the hub, or in all if none did."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return lines.index("tag") if "tag" in lines else len(lines)

    def check(self, status: int, storage: BucketStorage) -> None:
        """All, or no tag; and the rerun finishes."""
        if status == 0:
            assert self.hub.tags() == ["m@v1.0.0"]
            assert storage.objects() == self.needed
        else:
            assert status == 3
            assert self.hub.refs() == {}
            for name, data in storage.objects().items():
                assert data == self.needed[name], "half of it under its name"
        self.use(self.swift.endpoint)
        self.box.mv("push", "m@v1.0.0", *HERE)
        assert self.hub.tags() == ["m@v1.0.0"]
        assert storage.objects() == self.needed


@pytest.fixture
def case(empty_repo: Sandbox, swift) -> Case:
    return Case(empty_repo, swift)


def play(case: Case, cases: list[tuple[str, int]]) -> None:
    ended = []
    for mode, n in cases:
        storage = case.start()
        with case.swift.faulty("faulty_filter:factory", n=n, mode=mode, log=case.log) as way:
            case.use(way.endpoint)
            begin = time.monotonic()
            done = case.box.mv("push", *HERE, status=None)
            failed = case.failed()
            ended.append((mode, n, done.status, failed, round(time.monotonic() - begin, 1)))
        assert failed >= 2, f"{mode}, every {n}th: of a push so small {failed} requests fail before the tag is out"
        if done.status:
            assert "error: DVC remote here" in done.err, done.err
        case.check(done.status, storage)
    print(f"{len(cases)} cases: {ended}")


def test_some_faults(case: Case) -> None:
    play(case, SAMPLE)


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_every_nth_request_fails(case: Case, mode: str) -> None:
    play(case, [(m, n) for m, n in CASES if m == mode])


def test_storage_killed_midway(empty_repo: Sandbox, swift, tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    box = empty_repo
    rng = np.random.default_rng(7)
    tensors = {f"layer{n}": rng.standard_normal((512, 1024), dtype=np.float32) for n in range(12)}
    save_file(tensors, str(tmp_path / "big.safetensors"))
    box.mv("add", "m", str(tmp_path / "big.safetensors"))
    box.commit("add")
    hub = with_hub(box)
    storage = BucketStorage(swift, swift.configure(box))
    box.mv("tag", "m")
    wanted = needed(box, "v1.0.0")
    # by a proxy of its own: one that has seen so many failures does not ask the storage again for a minute
    with swift.faulty("faulty_filter:factory", n=0) as way:
        place = f"url = s3://{storage.bucket}/dvc\n    endpointurl = {way.endpoint}"
        local = box.write(".dvc/config.local", f"['remote \"here\"']\n    {place}\n")
        running = subprocess.Popen(
            [sys.executable, "-P", "-m", "modelver", "push", *HERE, "--jobs", "2"], cwd=box.root, env=box.env,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            end = time.monotonic() + 60
            while running.poll() is None and time.monotonic() < end:
                if storage.client.list_objects_v2(Bucket=storage.bucket).get("KeyCount", 0) >= 2:
                    break
                time.sleep(0.01)
            swift.kill_storage()
            out, err = running.communicate(timeout=300)
        finally:
            swift.start_storage()
            running.kill()
    local.unlink()
    assert running.returncode == 3, f"{out}\n{err}"
    assert "error: DVC remote here" in err
    assert hub.refs() == {}
    done = box.mv("push", "--format", "json").json()
    assert 0 < done["objects"]["uploaded"] < len(wanted), "what had been stored is not sent again"
    # by name: Swift's listing may lack an object for a while that was stored while a server was down
    assert {md5: storage.read(md5) for md5 in wanted} == wanted
    assert hub.tags() == ["m@v1.0.0"]
