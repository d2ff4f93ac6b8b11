"""`modelver yank`: a version is withdrawn, and what runs it is named."""

import pytest
from test_promote import gto, trailer


def test_a_yank_is_a_tag_that_gto_reads_and_latest_passes_over(released):
    head = released.git("rev-parse", "HEAD")
    done = released.mv("yank", "v1.0.2", "--reason", "trained on the test set", "--format", "json").json()
    assert (done["tag"], done["version"], done["running"]) == ("m@v1.0.2!", "v1.0.2", [])
    assert released.git("cat-file", "-t", "m@v1.0.2!") == "tag"
    assert released.git("rev-parse", "m@v1.0.2!^{commit}") == released.git("rev-parse", "m@v1.0.2^{commit}")
    assert gto(released, "show")["m"]["version"] == "v1.0.1"
    assert gto(released, "history")[0]["event"] == "deregistration"
    assert released.mv("show", "latest", "--format", "json").json()["version"] == "v1.0.1"
    assert released.mv("show", "v1", "--format", "json").json()["version"] == "v1.0.1"
    assert released.mv("show", "v1.0.2", "--format", "json").json()["version"] == "v1.0.2"
    assert trailer(released, "m@v1.0.2!", "Modelver-Action") == "yank"
    assert trailer(released, "m@v1.0.2!", "Modelver-Reason") == "trained on the test set"
    event = released.mv("log", "m", "--format", "json").json()[0]
    assert (event["action"], event["version"], event["reason"]) == ("yank", "v1.0.2", "trained on the test set")
    assert released.git("rev-parse", "HEAD") == head


def test_environments_that_run_it_are_named_and_the_hint_takes_them_back(released):
    released.mv("promote", "v1.0.0", "prod")
    released.mv("promote", "v1.0.1", "prod")
    released.mv("promote", "v1.0.1", "qa")
    done = released.mv("yank", "v1.0.1")
    assert "warning: prod still runs m@v1.0.1" in done.err
    assert "warning: qa still runs m@v1.0.1" in done.err
    (running,) = released.mv("list", "--env", "prod", "--format", "json").json()
    assert (running["version"], running["yanked"]) == ("v1.0.1", True)
    released.mend(done)
    assert gto(released, "show")["m"]["stage"] == {"prod": "v1.0.0"}
    refused = released.refused("promote", "v1.0.1", "staging")
    assert "m@v1.0.1 is yanked" in refused.err
    released.mend(refused)


def test_a_yank_is_made_once(released):
    before = released.fingerprint()
    assert "would make m@v1.0.0!" in released.mv("yank", "v1.0.0", "-n").out
    assert released.fingerprint() == before
    released.mv("yank", "v1.0.0")
    refused = released.refused("yank", "v1.0.0")
    assert "yanked already" in refused.err
    released.mend(refused)


@pytest.mark.parametrize("ref", ["latest", "m@latest", "v1", "m@v1.0"])
def test_a_name_that_moves_on_withdraws_nothing(released, ref):
    """Given twice it would withdraw two versions."""
    before = released.git("for-each-ref")
    refused = released.refused("yank", ref)
    assert released.git("for-each-ref") == before
    released.mend(refused)
    assert [tag for tag in released.tags() if tag.endswith("!")] == ["m@v1.0.2!"]


def test_it_counts_after_the_versions_own_tag_whatever_the_clock_says(released):
    released.mv("yank", "v1.0.0", GIT_COMMITTER_DATE="2001-01-01T00:00:00Z")
    dates = [
        int(released.git("for-each-ref", "--format=%(taggerdate:unix)", f"refs/tags/{tag}"))
        for tag in ("m@v1.0.0", "m@v1.0.0!")
    ]
    assert dates[0] < dates[1]
    assert "v1.0.0" not in [v["version"] for v in gto(released, "show", "m") if v["is_active"]]


@pytest.mark.parametrize("ref", ["HEAD", "v9", "m@nothing"])
def test_what_is_no_version_is_not_yanked(released, ref):
    before = released.git("for-each-ref")
    released.refused("yank", ref)
    assert released.git("for-each-ref") == before


def test_a_yank_on_the_remote_comes_first(released, tmp_path):
    where = str(tmp_path / "origin.git")
    released.git("init", "-q", "--bare", where)
    released.git("remote", "add", "origin", where)
    released.mv("yank", "v1.0.0")
    released.git("push", "-q", "--no-verify", "origin", "main", "--tags")
    released.git("tag", "-d", "m@v1.0.0!")
    refused = released.refused("promote", "v1.0.0", "prod")
    assert "origin has m@v1.0.0!, which is not known here" in refused.err
    released.mend(refused)
    assert "is yanked" in released.refused("promote", "v1.0.0", "prod").err
