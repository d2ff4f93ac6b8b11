"""`modelver tag` where stages make the weights: current, committed, and nothing else."""

import pytest


@pytest.fixture
def pipeline(empty_repo):
    """A plain model that a stage makes of code, params and tracked data."""
    box = empty_repo
    box.write("make.py", "import sys\nprint('weights', open('rows.csv').read(), sys.argv)\n")
    box.write("rows.csv", "1\n")
    box.dvc("add", "-q", "rows.csv")
    text = (box.root / "params.yaml").read_text()
    box.write("params.yaml", text + "train:\n  depth: 3\n  seed: 1\n")
    stage = "  train:\n    cmd: python make.py > w.bin\n    deps: [make.py, rows.csv]\n"
    stage += "    params: [train.depth]\n    outs: [w.bin]\n"
    text = (box.root / "dvc.yaml").read_text()
    box.write("dvc.yaml", text.replace("stages:\n", "stages:\n" + stage, 1))
    box.dvc("repro", "-q", "train")
    box.mv("add", "p", "w.bin")
    box.commit("pipeline")
    return box


def retrain(box, depth: int) -> None:
    text = (box.root / "params.yaml").read_text()
    box.write("params.yaml", text.replace("depth: 3", f"depth: {depth}"))
    box.write("make.py", (box.root / "make.py").read_text() + f"print({depth})\n")


def test_tagged_with_its_lineage(pipeline):
    pipeline.mv("tag", "p")
    shown = pipeline.mv("show", "p@v1", "--format", "json").json()
    assert [s["stage"] for s in shown["lineage"]] == ["train"]
    assert shown["params"] == {"params.yaml": {"train.depth": 3}}


def test_stale_pipeline(pipeline):
    pipeline.mv("tag", "p")
    retrain(pipeline, 4)
    pipeline.commit("deeper")
    done = pipeline.refused("tag", "p")
    assert "stage train" in done.err
    pipeline.mend(done)
    pipeline.mv("tag", "p")
    assert "p@v1.0.1" in pipeline.tags()
    assert "dvc.lock" in pipeline.git("diff", "--name-only", "HEAD^", "HEAD")


def test_one_command_brings_all_of_a_models_stages_up_to_date(pipeline):
    """Also those that do not stand behind each other: `dvc repro validate@p` alone would leave assess@p for later."""
    text = (pipeline.root / "dvc.yaml").read_text()
    stages = text.partition("  train:")[2].partition("    outs: [w.bin]\n")[0]
    own = "".join(
        f"  {group}:\n    foreach: [p]\n    do:\n      cmd: echo '{{\"ok\":true}}' > models/${{item}}/{file}\n"
        f"      deps: [w.bin]\n      outs:\n      - models/${{item}}/{file}:\n          cache: false\n"
        for group, file in (("assess", "assessment.json"), ("validate", "validation.json"))
    )
    artifacts = "artifacts:" + text.partition("artifacts:")[2]
    pipeline.write("dvc.yaml", f"stages:\n  train:{stages}    outs: [w.bin]\n{own}{artifacts}")
    pipeline.dvc("repro", "-q")
    pipeline.commit("assessed and validated")
    pipeline.mv("tag", "p")
    retrain(pipeline, 4)
    pipeline.commit("deeper")
    pipeline.mend(pipeline.refused("tag", "p"))
    pipeline.mv("tag", "p")
    assert "p@v1.0.1" in pipeline.tags()


def test_repro_runs_it(pipeline):
    pipeline.mv("tag", "p")
    retrain(pipeline, 4)
    pipeline.commit("deeper")
    pipeline.mv("tag", "p", "--repro")
    assert "p@v1.0.1" in pipeline.tags()


@pytest.mark.parametrize(
    ("file", "old", "new"), [("make.py", "import sys", "import sys "), ("params.yaml", "depth: 3", "depth: 4")]
)
def test_uncommitted_code_and_params(pipeline, file, old, new):
    text = (pipeline.root / file).read_text()
    pipeline.write(file, text.replace(old, new))
    pipeline.dvc("repro", "-q", "train")
    done = pipeline.refused("tag", "p")
    assert file in done.err
    pipeline.run("sh", "-c", pipeline.hint(done) + " -m code")
    pipeline.mv("tag", "p")


def test_an_uncommitted_data_pointer(pipeline):
    (pipeline.root / "rows.csv").chmod(0o644)
    pipeline.write("rows.csv", "2\n")
    pipeline.dvc("add", "-q", "rows.csv")
    pipeline.dvc("repro", "-q", "train")
    assert "rows.csv.dvc" in pipeline.refused("tag", "p").err


def test_params_that_no_stage_reads_do_not_matter(pipeline):
    text = (pipeline.root / "params.yaml").read_text()
    pipeline.write("params.yaml", text.replace("seed: 1", "seed: 2"))
    before = pipeline.git("diff")
    pipeline.mv("tag", "p")
    assert pipeline.git("diff") == before


def test_failed_validation(tagged_repo):
    tagged_repo.change("m", 2)
    check = '{"name": "parity", "ok": false, "message": "far off", "hint": ""}'
    tagged_repo.write("models/m/validation.json", f'{{"ok": false, "metrics": {{}}, "checks": [{check}]}}')
    tagged_repo.commit("validated")
    assert "parity: far off" in tagged_repo.refused("tag", "m").err
