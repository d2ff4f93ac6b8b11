"""`dvc repro` here and `modelver stage export` there, under another locale, time zone, home and hash seed."""

import combined
import pytest
from combined import PIPELINES
from sandbox import Sandbox

from modelver.core.manifest import dvc_dir_hash, load_files

pytestmark = pytest.mark.xdist_group("four-frameworks")

ELSEWHERE = {"LANG": "C", "LC_ALL": "POSIX", "TZ": "Asia/Kathmandu", "PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "2"}


def exported(box: Sandbox, model: str) -> dict[str, bytes]:
    folder = box.root / "models" / model
    records = [folder / name for name in ("tensors.jsonl", "files.jsonl", "source.json")]
    weights = [path for path in sorted((folder / "weights").rglob("*")) if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in (*records, *weights)}


@pytest.mark.parametrize("model", PIPELINES)
def test_the_bytes_are_those_of_the_other_folder(ran, declared: Sandbox, tmp_path, model):
    there, _ = ran
    place = tmp_path / "a much longer folder's name" / "below"
    place.mkdir(parents=True)
    declared.run("cp", "-r", str(declared.root), str(place / "repo"))
    here = Sandbox(place / "repo", {**declared.env, **ELSEWHERE, "HOME": str(tmp_path)})
    source = combined.SOURCES[model]
    if not (there.root / source).exists():
        source = "trees.txt"
    for name in (source, "test.npz"):
        (here.root / name).write_bytes((there.root / name).read_bytes())
    here.mv("stage", "export", model)
    assert exported(here, model) == exported(there, model)
    md5 = dvc_dir_hash(load_files((here.root / f"models/{model}/files.jsonl").read_bytes(), "files.jsonl"))
    assert md5 in (there.root / "dvc.lock").read_text()
