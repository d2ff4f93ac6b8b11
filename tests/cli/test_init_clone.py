"""`modelver init` in a clone: there is nothing to commit, but weights to bring."""


def test_where_only_hooks_were_installed_the_next_step_is_the_weights(tagged_repo, tmp_path):
    clone = tagged_repo.clone(tmp_path / "clone")
    done = clone.mv("init")
    assert [line.split(":")[0] for line in done.out.splitlines()] == [
        "hook post-checkout",
        "hook post-merge",
        "hook post-rewrite",
        "hook post-commit",
        "hook post-index-change",
        "hook pre-push",
    ]
    assert "next: modelver restore" in done.err
    assert "git" not in done.err
    assert clone.git("status", "--porcelain") == ""
    assert "everything is in place" in clone.mv("init").out
    clone.write("params.yaml", "")
    assert "next: git add" in clone.mv("init").err
