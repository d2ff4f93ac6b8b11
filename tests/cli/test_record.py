"""`modelver record`: the same bytes everywhere, and nothing but the files it names."""

import shutil
import subprocess

import pytest
from sandbox import Sandbox

import models

GENERATED = ("metadata.yaml", "files.jsonl", "tensors.jsonl", "source.json", "weights.dvc")


def generated(box: Sandbox) -> dict[str, bytes]:
    return {name: (box.root / "models/m" / name).read_bytes() for name in GENERATED}


def test_writes_the_sidecar_and_neither_commits_nor_tags(model_repo):
    refs, index = model_repo.refs(), model_repo.index()
    done = model_repo.mv("record", "m", "--format", "json").json()
    assert done["version"] == "v1.0.0"
    assert (model_repo.refs(), model_repo.index()) == (refs, index)
    assert model_repo.git("status", "--porcelain", "-uall") == "?? models/m/metadata.yaml"


def test_twice_is_once(model_repo):
    model_repo.mv("record", "m")
    first = generated(model_repo)
    model_repo.mv("record", "m")
    assert generated(model_repo) == first


def test_dry_run_writes_nothing(model_repo):
    before = model_repo.fingerprint()
    model_repo.mv("record", "m", "--dry-run")
    assert model_repo.fingerprint() == before


@pytest.mark.parametrize(
    "env",
    [
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"LC_ALL": "POSIX", "TZ": "Pacific/Kiritimati"},
        {"LANG": "tr_TR.UTF-8", "LC_ALL": "tr_TR.UTF-8", "TZ": "America/St_Johns"},
        {"PYTHONHASHSEED": "1"},
        {"PYTHONHASHSEED": "4242", "HOSTNAME": "elsewhere", "USER": "somebody"},
    ],
    ids=str,
)
def test_in_another_locale_zone_and_seed(model_repo, tmp_path, env):
    model_repo.mv("record", "m")
    elsewhere = Sandbox(tmp_path / "an other/folder \u00e9", {**model_repo.env, **env})
    shutil.copytree(model_repo.root, elsewhere.root)
    for name in GENERATED:
        (elsewhere.root / "models/m" / name).unlink()
    elsewhere.git("checkout", "-q", "--", "models")
    elsewhere.mv("record", "m")
    assert generated(elsewhere) == generated(model_repo)


def test_on_another_day_by_another_umask_and_ingested_anew(model_repo, tmp_path):
    """Two people ingest the same checkpoint: all that Git holds of it is the same."""
    model_repo.mv("record", "m")
    other = Sandbox(tmp_path / "other", model_repo.env)
    other.root.mkdir()
    other.mv("init")
    other.commit("start")
    source = models.safetensors(tmp_path / "incoming" / "m.safetensors", 1)
    subprocess.run(["touch", "-d", "2001-02-03", source], check=True)
    for words in (f"add m {source}", "record m"):
        other.run("sh", "-c", f"umask 077; python -P -m modelver {words}")
    assert generated(other) == generated(model_repo)


def test_in_a_clone_without_weights(model_repo, tmp_path):
    model_repo.mv("record", "m")
    clone = model_repo.clone(tmp_path / "clone")
    assert not (clone.root / "models/m/weights").exists()
    clone.mv("record", "m")
    assert generated(clone) == generated(model_repo)


def test_a_recorded_version_is_what_tag_makes(tagged_repo):
    tagged_repo.change("m", 2)
    tagged_repo.mv("record", "m", "--version", "v1.5.0")
    head = tagged_repo.commit("reviewed")
    tagged_repo.mv("tag", "m")
    assert tagged_repo.git("rev-parse", "m@v1.5.0^{commit}") == head


def test_keys_of_a_newer_modelver_are_kept(tagged_repo):
    path = tagged_repo.root / "models/m/metadata.yaml"
    path.write_bytes(path.read_bytes() + b"added_by_others: kept\n")
    tagged_repo.commit("others")
    tagged_repo.change("m", 2)
    tagged_repo.mv("record", "m")
    assert b"added_by_others: kept\n" in path.read_bytes()


def test_refusals(tagged_repo):
    assert "have not changed" in tagged_repo.refused("record", "m").err
    assert "no model" in tagged_repo.refused("record", "n").err
