"""What a newcomer met: hints that fail where they are typed, options that are passed over, settings that get lost."""

import subprocess
import sys

import pytest

import models

_INTERRUPTED = """
import os, signal, sys
from modelver.cli.start import main

class Interrupting:
    def find_spec(self, name, *_):
        if name == sys.argv[1]:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupting())
sys.argv[2:] = []
main()
"""


@pytest.mark.parametrize("module", ["typer", "modelver.cli.tag", "modelver.errors"])
def test_interrupted_while_the_command_line_loads(empty_repo, module):
    done = subprocess.run(
        [sys.executable, "-P", "-c", _INTERRUPTED, module],
        cwd=empty_repo.root, env=empty_repo.env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (130, "error: interrupted\n")


def test_the_next_command_works_where_it_is_typed(empty_repo):
    models.onnx(empty_repo.root.parent / "m.onnx")
    folder = empty_repo.root / "a folder" / "below"
    folder.mkdir(parents=True)
    done = empty_repo.mv("-C", str(folder), "add", "m", str(empty_repo.root.parent / "m.onnx"))
    command = next(line for line in done.err.splitlines() if line.startswith("next: "))
    command = command.removeprefix("next: ").split(", then")[0]
    empty_repo.run("sh", "-c", f'cd "{folder}" && {command}')
    assert empty_repo.git("status", "--porcelain") == ""
    assert "m@v1.0.0" in empty_repo.mv("tag", "m").out


@pytest.mark.parametrize("name", ["weights.pt", "m.onnx"])
def test_data_for_a_model_that_no_stage_exports(empty_repo, name):
    (empty_repo.root / "weights.pt").write_bytes(b"\x80\x04 no archive")
    models.onnx(empty_repo.root / "m.onnx")
    (empty_repo.root / "rows.csv").write_text("a,b\n1,2\n")
    done = empty_repo.refused("add", "m", name, "--data", "rows.csv")
    assert "--framework" in empty_repo.hint(done)
    assert "torch" in done.err


def test_attributes_that_git_turned_to_crlf_are_no_change(empty_repo):
    path = empty_repo.root / ".gitattributes"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    before = path.read_bytes()
    assert "gitattributes" not in empty_repo.mv("init").out
    assert path.read_bytes() == before


def test_a_remote_that_dvc_cannot_write_down(empty_repo):
    empty_repo.mv("init", "--remote", "../first")
    before = (empty_repo.root / ".dvc" / "config").read_bytes()
    assert b"first" in before
    done = empty_repo.refused("init", "--remote", "../sto-r\u00e4ge")
    assert "ASCII" in done.err
    assert (empty_repo.root / ".dvc" / "config").read_bytes() == before


def test_diff_is_as_wide_as_one_asks(tagged_repo):
    name = "encoder.layers.11.attention.output.dense_with_a_name_that_eighty_columns_cannot_hold.weight"
    source = models.safetensors(tagged_repo.root.parent / "named.safetensors", 2, names=("body.weight", name))
    tagged_repo.mv("add", "m", str(source))
    narrow, wide = (tagged_repo.mv("diff", "v1", **env).out for env in ({}, {"COLUMNS": "300"}))
    assert max(map(len, narrow.splitlines())) <= 80
    assert name in wide
    assert name not in narrow


def test_the_library_collects_and_backs_up(tagged_repo, tmp_path):
    import modelver
    from modelver.core.retention import Policy
    from modelver.operations.gc import GcRequest

    cache = tagged_repo.root / ".dvc" / "cache" / "files" / "md5" / "ab" / ("c" * 30)
    cache.parent.mkdir(exist_ok=True)
    cache.write_bytes(b"nobody's")
    repository = modelver.open(tagged_repo.root)
    assert [item.md5 for item in repository.gc(GcRequest(Policy(grace=0)), dry_run=True).items] == ["ab" + "c" * 30]
    assert cache.exists()
    repository.gc(GcRequest(Policy(grace=0)))
    assert not cache.exists()
    assert repository.backup(tmp_path / "backup").versions == ("m@v1.0.0",)
    assert (tmp_path / "backup" / "modelver-backup.json").is_file()
