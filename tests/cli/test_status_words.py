"""What `status` tells beside the changes: what is gone, whose files these are, names that are safe to show."""

import shutil


def status(box, *options):
    return box.mv("status", "m", *options).out


class TestGone:
    def test_weights_that_only_the_cache_has_are_named_with_what_brings_them(self, tagged_repo):
        weights = tagged_repo.root / "models/m/weights"
        before = {p.relative_to(weights): p.read_bytes() for p in weights.rglob("*") if p.is_file()}
        assert "not in the working tree" not in status(tagged_repo)
        shutil.rmtree(weights)
        note = "not in the working tree: models/m/weights; mend it: "
        line = next(line for line in status(tagged_repo).splitlines() if note in line)
        tagged_repo.mv(*line.partition(note)[2].split()[1:])
        assert {p.relative_to(weights): p.read_bytes() for p in weights.rglob("*") if p.is_file()} == before
        assert "nothing changed since" in status(tagged_repo)

    def test_variants_too(self, model_repo):
        make = "mkdir models/m/variants && echo v > models/m/variants/v"
        model_repo.dvc("stage", "add", "-q", "-n", "variants", "-o", "models/m/variants", make)
        model_repo.dvc("repro", "-q", "variants")
        model_repo.commit("variants")
        assert "not in the working tree" not in status(model_repo)
        shutil.rmtree(model_repo.root / "models/m/variants")
        assert "models/m/variants; mend it: modelver restore models/m/variants" in status(model_repo)
        model_repo.mv("restore", "models/m/variants")
        assert (model_repo.root / "models/m/variants/v").read_text() == "v\n"

    def test_a_clone_without_weights_is_told_what_it_was(self, tagged_repo, tmp_path):
        clone = tagged_repo.clone(tmp_path / "clone")
        said = clone.mv("status", "m").out
        assert "dvc pull" in said
        assert "modelver restore" not in said, "the cache has nothing to restore from"


def test_after_a_rollback_of_the_branch_it_says_whose_files_these_are(released):
    assert "these are the files" not in status(released)
    released.mv("rollback", "m", "v1.0.0", "--commit", "--reason", "worse")
    assert "note: these are the files of m@v1.0.0\n" in status(released)
    assert released.mv("status", "m", "--format", "json").json()[0]["notes"] == ["these are the files of m@v1.0.0"]
    released.change("m", 7)
    assert "these are the files" not in status(released), "other weights beside the old record"


def test_names_of_files_move_no_cursor_and_set_no_title(empty_repo):
    name = "\x1b[31mred\x1b]0;x\x07"
    empty_repo.write(f"w/{name}", "one\n")
    empty_repo.write("w/plain", "two\n")
    empty_repo.mv("add", "m", "w", "--plain")
    empty_repo.commit("m")
    (empty_repo.root / "w" / name).unlink()
    empty_repo.write(f"w/{name}", "three\n")
    for form in ("table", "markdown"):
        said = status(empty_repo, "--format", form)
        assert r"\x1b[31mred\x1b]0;x\x07" in said
        assert "\x1b" not in said
        assert "\x07" not in said
    assert name in empty_repo.mv("status", "--format", "json").json()[0]["obstacles"][0]["what"]
