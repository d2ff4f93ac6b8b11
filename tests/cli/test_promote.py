"""`modelver promote`: GTO's tags, made in order and through gates; and what ran when."""

import json
import random
import sys
import time

import pytest
from published import with_folder
from sandbox import Sandbox

POLICY = """\
modelver:
  scheme: semver
  environments:
    staging: {}
    prod: {requires: staging, gates: {accuracy: {min: 0.9}}}
    locked: {protected: true}
"""


def policy(box: Sandbox, text: str = POLICY) -> None:
    box.write("params.yaml", text)
    box.commit("environments", "params.yaml")


def gto(box: Sandbox, *args: str) -> object:
    return json.loads(box.run("gto", *args, "--json").out)


def trailer(box: Sandbox, tag: str, key: str) -> str:
    return box.git("for-each-ref", f"--format=%(contents:trailers:key={key},valueonly)", f"refs/tags/{tag}").strip()


def runs(box: Sandbox, *args: str) -> dict[str, str]:
    return {one["environment"]: one["version"] for one in box.mv("list", *args, "--format", "json").json()}


def test_a_promotion_is_a_tag_that_gto_reads(released):
    head, index = released.git("rev-parse", "HEAD"), released.index()
    released.mv("promote", "v1.0.0", "prod", "--reason", "first\nof all")
    done = released.mv("promote", "m@v1.0.1", "prod", "--format", "json").json()
    assert (done["tag"], done["before"], done["commit"]) == (
        "m#prod#2", "v1.0.0", released.git("rev-parse", "m@v1.0.1^{commit}"),
    )  # fmt: skip
    assert released.git("cat-file", "-t", "m#prod#1") == "tag"
    assert gto(released, "show")["m"]["stage"] == {"prod": "v1.0.1"}
    events = [(e["event"], e["version"], e["ref"]) for e in gto(released, "history") if e["stage"]]
    assert events == [("assignment", "v1.0.1", "m#prod#2"), ("assignment", "v1.0.0", "m#prod#1")]
    message = released.git("tag", "-l", "--format=%(contents)", "m#prod#1")
    assert message.startswith("Promote m v1.0.0 to prod\n\nfirst\nof all\n\nModelver-Model: m\n")
    wanted = {"Model": "m", "Version": "v1.0.0", "Environment": "prod", "Action": "promote", "Reason": "first of all"}
    assert {key: trailer(released, "m#prod#1", f"Modelver-{key}") for key in wanted} == wanted
    assert trailer(released, "m#prod#1", "Modelver-From") == ""
    assert trailer(released, "m#prod#2", "Modelver-From") == "v1.0.0"
    assert (released.git("rev-parse", "HEAD"), released.index()) == (head, index)
    assert not (released.root / ".git/modelver/journal.json").exists()


def test_counters_and_times_follow_on_as_gto_needs_them(released):
    """Within one second, in two environments, and after a lightweight tag that GTO itself passes over."""
    now = {"GIT_COMMITTER_DATE": "2026-03-01T12:00:00Z"}
    released.git("tag", "m#qa#7", "m@v1.0.0^{}")
    for version, environment in (("v1.0.0", "qa"), ("v1.0.0", "prod"), ("v1.0.1", "qa"), ("v1.0.1", "prod")):
        released.mv("promote", version, environment, **now)
    assert [t for t in released.tags() if "#" in t] == ["m#prod#11", "m#prod#9", "m#qa#10", "m#qa#7", "m#qa#8"]
    listed = released.git("for-each-ref", "--format=%(taggerdate:unix)", "--sort=taggerdate", "refs/tags/m#*")
    times = [int(time) for time in listed.split()]
    assert len(set(times)) == 4
    assert gto(released, "show")["m"]["stage"] == {"prod": "v1.0.1", "qa": "v1.0.1"}


def test_gto_and_modelver_agree_after_any_sequence(released):
    """Random assignments and their ends, some made by GTO's own command."""
    rng = random.Random(4)
    for _ in range(7):
        version, environment = f"v1.0.{rng.randrange(3)}", rng.choice(["qa", "prod"])
        kind = rng.choice(["promote", "promote", "nothing", "gto"])
        if kind == "promote":
            released.mv("promote", version, environment, status=None)
        elif kind == "nothing":
            released.mv("rollback", "m", "--to-nothing", "--env", environment, status=None)
        else:
            last = released.git("for-each-ref", "--format=%(taggerdate:unix)", "--sort=-taggerdate", "--count=1")
            date = f"{int(last) + 1} +0000"
            # GTO may take the clock instead, and modelver's tags may be some seconds ahead of it: none may tie.
            time.sleep(max(0.0, int(last) + 1.5 - time.time()))
            released.run("gto", "assign", "m", "--version", version, "--stage", environment, GIT_COMMITTER_DATE=date)
        found = gto(released, "show")
        assert runs(released, "m", "--on", "2199-01-01") == (found["m"]["stage"] or {})


def test_a_dry_run_writes_nothing_and_refuses_alike(released):
    before = released.fingerprint()
    assert "would make m#prod#1" in released.mv("promote", "v1.0.0", "prod", "--dry-run").out
    assert released.fingerprint() == before
    policy(released)
    released.refused("promote", "v1.0.0", "prod", "--dry-run")
    released.refused("promote", "v1.0.0", "elsewhere", "--dry-run")


def test_an_undeclared_environment_is_refused_and_the_declared_ones_named(released):
    policy(released)
    refused = released.refused("promote", "v1.0.0", "pord")
    assert "there is no environment 'pord'" in refused.err
    assert "staging, prod, locked" in refused.err


@pytest.mark.parametrize("ref", ["HEAD", "main", "HEAD~1"])
def test_a_commit_is_no_version(released, ref):
    refused = released.refused("promote", ref, "prod")
    assert "use m@v1.0.2" in refused.err or "modelver tag m" in refused.err


def test_order_is_kept_and_the_hint_mends_it(released):
    policy(released)
    refused = released.refused("promote", "v1.0.1", "prod")
    assert "m@v1.0.1 has not run in staging, which prod requires" in refused.err
    released.mend(refused)
    released.mv("promote", "v1.0.2", "staging")  # it is enough to have run there
    released.mv("promote", "v1.0.1", "prod")
    assert runs(released, "--env", "prod") == {"prod": "v1.0.1"}


def test_gates_judge_the_committed_sidecar(released):
    policy(released)
    released.mv("promote", "v1.0.2", "staging")
    # What lies in the working tree is another matter.
    sidecar = released.root / "models/m/metadata.yaml"
    sidecar.write_text(sidecar.read_text().replace("0.85", "0.99"))
    refused = released.refused("promote", "v1.0.2", "prod", status=1)
    assert "m v1.0.2 does not pass the gates of prod: gate:accuracy: accuracy 0.85 is below 0.9" in refused.err
    released.mv("promote", "v1.0.1", "staging")
    done = released.mv("promote", "v1.0.1", "prod")
    assert "passed: accuracy 0.95 is at least 0.9" in done.out
    assert trailer(released, "m#prod#3", "Modelver-Gate") == "accuracy 0.95 is at least 0.9"


def test_a_metric_that_nobody_measured_fails_its_gate(released):
    policy(released, POLICY.replace("accuracy: {min", "recall: {min"))
    released.mv("promote", "v1.0.1", "staging")
    refused = released.refused("promote", "v1.0.1", "prod", status=1)
    assert "recall was not computed" in refused.err


def test_what_runs_there_already_is_refused(released):
    released.mv("promote", "latest", "prod")
    refused = released.refused("promote", "v1.0.2", "prod")
    assert "m@v1.0.2 already runs in prod since" in refused.err
    assert "m#prod#1" in released.mend(refused).out


def test_a_protected_environment_takes_releases_with_a_reason_under_a_committed_policy(released):
    policy(released)
    released.git("tag", "-am", "candidate", "m@v2.0.0-rc.1", "HEAD")
    assert "prerelease" in released.refused("promote", "m@v2.0.0-rc.1", "locked", "--reason", "x").err
    assert "must say why" in released.refused("promote", "v1.0.1", "locked").err
    released.write("params.yaml", POLICY.replace("protected: true", "protected: true, gates: {}"))
    refused = released.refused("promote", "v1.0.1", "locked", "--reason", "x")
    assert "is not committed" in refused.err
    released.mend(refused)
    released.mv("promote", "v1.0.1", "locked", "--reason", "x")


@pytest.mark.parametrize("section", ["[", "prod", "{prod: {require: staging}}", "{prod: {requires: qa}}"])
def test_a_malformed_policy_is_named_and_lets_nothing_through(released, section):
    released.write("params.yaml", f"modelver:\n  environments: {section}\n")
    assert "params.yaml" in released.refused("promote", "v1.0.0", "prod").err


@pytest.fixture
def origin(released, tmp_path) -> str:
    """A Git remote that has the branch and all versions."""
    where = str(tmp_path / "origin.git")
    released.git("init", "-q", "--bare", where)
    released.git("remote", "add", "origin", where)
    released.git("push", "-q", "--no-verify", "origin", "main", "--tags")
    return where


def test_decisions_on_the_remote_that_are_not_known_here_come_first(released, origin, tmp_path):
    other = Sandbox(tmp_path / "other", released.env)
    released.run("git", "clone", "-q", origin, str(other.root))
    done = other.mv("promote", "v1.0.0", "prod")
    assert "next: git push origin 'm#prod#1'" in done.err
    other.git("push", "-q", "--no-verify", "origin", "m#prod#1")
    refused = released.refused("promote", "v1.0.1", "prod")
    assert "origin has m#prod#1, which is not known here" in refused.err
    released.mend(refused)
    released.mv("promote", "v1.0.1", "prod")
    assert "m#prod#2" in released.tags()


def test_of_two_who_decide_at_once_the_one_who_pushed_first_has_won(released, origin, tmp_path):
    other = Sandbox(tmp_path / "other", released.env)
    released.run("git", "clone", "-q", origin, str(other.root))
    other.mv("promote", "v1.0.0", "prod")
    released.mv("promote", "v1.0.1", "prod")
    other.git("push", "-q", "--no-verify", "origin", "m#prod#1")
    refused = released.refused("promote", "v1.0.2", "prod")
    ids = [box.git("rev-parse", "m#prod#1")[:12] for box in (other, released)]
    assert f"m#prod#1 is {ids[0]} on origin and {ids[1]} here" in refused.err
    released.mend(refused)
    assert runs(released, "--env", "prod") == {"prod": "v1.0.0"}
    released.mv("promote", "v1.0.2", "prod")


def test_what_is_not_published_runs_in_no_protected_environment(released, origin):
    policy(released)
    released.git("push", "-q", "--no-verify", "origin", ":refs/tags/m@v1.0.1")
    assert "note: m@v1.0.1 is not on origin yet" in released.mv("promote", "v1.0.1", "staging").err
    refused = released.refused("promote", "v1.0.1", "locked", "--reason", "x")
    assert "m@v1.0.1 is not on origin" in refused.err
    assert released.hint(refused) == "modelver push m@v1.0.1"
    with_folder(released)
    released.git("push", "-q", "origin", "main")
    released.mend(refused)
    assert "refs/tags/m@v1.0.1" in released.git("ls-remote", "origin")
    released.mv("promote", "v1.0.1", "locked", "--reason", "x")


def test_a_remote_that_does_not_answer_is_a_warning(released):
    released.git("remote", "add", "origin", "/nowhere/at/all")
    assert "warning: remote origin could not be asked" in released.mv("promote", "v1.0.1", "prod").err


@pytest.fixture
def keys(released, tmp_path) -> dict[str, str]:
    """Two SSH keys and the fingerprints; Git signs with the first, and knows both owners."""
    prints, allowed = {}, []
    for name in ("maria", "carl"):
        path = tmp_path / name
        released.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(path))
        prints[name] = released.run("ssh-keygen", "-lf", str(path)).out.split()[1]
        allowed.append(f"{name}@example.com {(tmp_path / f'{name}.pub').read_text()}")
    (tmp_path / "allowed").write_text("".join(allowed))
    released.git("config", "gpg.format", "ssh")
    released.git("config", "user.signingKey", str(tmp_path / "maria"))
    released.git("config", "gpg.ssh.allowedSignersFile", str(tmp_path / "allowed"))
    return prints


def test_a_promotion_is_signed_when_asked_or_when_git_signs(released, keys):
    released.mv("promote", "v1.0.0", "prod")
    released.mv("promote", "v1.0.1", "prod", "--sign")
    released.git("config", "tag.gpgSign", "true")
    released.mv("promote", "v1.0.2", "prod")
    assert [released.run("git", "verify-tag", f"m#prod#{n}", status=None).status for n in (1, 2, 3)] == [1, 0, 0]
    assert [e["before"] for e in released.mv("log", "m", "--format", "json").json()[:2]] == ["v1.0.1", "v1.0.0"]
    assert gto(released, "show")["m"]["stage"] == {"prod": "v1.0.2"}
    # Times follow on for signed tags, too.
    assert len(set(released.git("for-each-ref", "--format=%(taggerdate:unix)", "refs/tags/m#*").split())) == 3


@pytest.mark.parametrize("known", [True, False])
def test_only_allowed_signers_decide(released, keys, tmp_path, known):
    """By address where Git knows whose key it is, by the key's fingerprint in any case."""
    signer = "maria@example.com" if known else keys["maria"]
    if not known:
        released.git("config", "--unset", "gpg.ssh.allowedSignersFile")
    policy(released, f"modelver: {{environments: {{prod: {{signers: ['{signer}']}}}}}}\n")
    released.git("config", "user.signingKey", str(tmp_path / "carl"))
    refused = released.refused("promote", "v1.0.0", "prod")
    assert keys["carl"] in refused.err
    assert f"only {signer} may decide here" in refused.err
    released.git("config", "user.signingKey", str(tmp_path / "maria"))
    released.mv("promote", "v1.0.0", "prod")
    assert "BEGIN SSH SIGNATURE" in released.git("cat-file", "-p", "m#prod#1")


def test_where_signers_were_named_afterwards_the_same_version_is_decided_upon_again(released, keys, tmp_path):
    released.mv("promote", "v1.0.0", "prod")
    policy(released, "modelver: {environments: {prod: {signers: [maria@example.com]}}}\n")
    (decision,) = released.mv("verify", "m#prod#1", "--format", "json", status=1).json()["decisions"]
    (problem,) = decision["problems"]
    assert problem["message"] == "it is not signed, and only maria@example.com may decide there"
    released.git("config", "user.signingKey", str(tmp_path / "carl"))
    assert "only maria@example.com may decide here" in released.refused("promote", "m@v1.0.0", "prod").err
    released.git("config", "user.signingKey", str(tmp_path / "maria"))
    released.run("sh", "-c", problem["hint"].split("   (")[0].replace("modelver", f"{sys.executable} -P -m modelver"))
    assert "m#prod#2" in released.tags()
    assert runs(released, "--env", "prod") == {"prod": "v1.0.0"}
    assert gto(released, "show")["m"]["stage"] == {"prod": "v1.0.0"}
    released.mv("verify", "m#prod#2")
    assert "already runs in prod" in released.refused("promote", "m@v1.0.0", "prod", "--sign").err


def test_who_cannot_sign_where_signers_are_named_changes_nothing(released):
    policy(released, "modelver: {environments: {prod: {signers: [maria@example.com]}}}\n")
    released.git("config", "gpg.format", "ssh")
    released.git("config", "user.signingKey", "/nowhere/key")
    assert "could not sign" in released.refused("promote", "v1.0.0", "prod", status=3).err


def test_what_ran_on_a_date(released):
    def at(text: str) -> dict[str, str]:
        return {"GIT_COMMITTER_DATE": text}

    for tag in ("m@v1.0.0", "m@v1.0.1", "m@v1.0.2"):  # as if they had been made in January
        commit = released.git("rev-parse", f"{tag}^{{}}")
        released.git("tag", "-d", tag)
        released.run("git", "tag", "-am", tag, tag, commit, **at(f"2026-01-0{int(tag[-1]) + 1}T00:00:00Z"))
    released.mv("promote", "v1.0.0", "prod", "--reason", "go", **at("2026-02-01T10:00:00Z"))
    released.mv("promote", "v1.0.1", "prod", **at("2026-03-01T23:59:59Z"))
    released.mv("promote", "v1.0.2", "prod", **at("2026-03-02T00:30:00+01:00"))  # 23:30 UTC, so it comes after
    released.mv("yank", "v1.0.0", **at("2026-04-01T00:00:00Z"))

    def on(when: str) -> list[tuple[str, bool]]:
        listed = released.mv("list", "m", "--env", "prod", "--on", when, "--format", "json").json()
        return [(one["version"], one["yanked"]) for one in listed]

    assert on("2026-01-31") == []
    assert on("2026-02-01") == [("v1.0.0", False)]
    assert on("2026-02-01T09:59:59Z") == []
    assert on("2026-02-01T10:00:00Z") == [("v1.0.0", False)]
    assert on("2026-02-28") == [("v1.0.0", False)]
    assert on("2026-03-01T23:59:58") == [("v1.0.0", False)]
    assert on("2026-03-01") == [("v1.0.1", False)]
    assert on("2026-03-02") == on("2027-01-01") == [("v1.0.2", False)]
    assert "prod" in (table := released.mv("list", "--env", "prod", "--on", "2026-02-15").out)
    assert "go" in table
    assert "nothing ran in prod" in released.mv("list", "--env", "prod", "--on", "2026-01-01").err
    assert "is no date" in released.refused("list", "--on", "soon").err
    assert "there are prod" in released.refused("list", "--env", "qa").err


def test_the_log_says_who_decided_when_and_why(released):
    released.mv("promote", "v1.0.0", "prod", "--reason", "first")
    released.mv("promote", "v1.0.1", "prod", "--reason", "better \x1b[31m")
    released.mv("rollback", "m", "--to-previous", "--emergency", "--reason", "alarms")
    log = released.mv("log", "m", "--format", "json").json()
    assert [(e["action"], e["version"], e["before"], e["reason"]) for e in log if e["environment"]] == [
        ("rollback", "v1.0.0", "v1.0.1", "alarms"),
        ("promote", "v1.0.1", "v1.0.0", "better \\x1b[31m"),
        ("promote", "v1.0.0", None, "first"),
    ]
    assert log[0]["tagger"] == "A U Thor <a@example.com>"
    assert (log[0]["emergency"], log[1]["emergency"]) == ("nothing stood in the way", None)
    shown = released.mv("log", "m").out.splitlines()
    assert "rollback (emergency)" in shown[1]
    assert "A U Thor" in shown[1]
    assert "alarms" in shown[1]


def test_two_models_do_not_mix(released):
    released.add_model("m/n", 9)
    released.mv("tag", "m/n")
    released.mv("promote", "m@v1.0.0", "prod")
    released.mv("promote", "m/n@v1.0.0", "prod")
    assert [t for t in released.tags() if "#" in t] == ["m#prod#1", "m/n#prod#1"]
    assert {one["model"] for one in released.mv("list", "--env", "prod", "--format", "json").json()} == {"m", "m/n"}
    assert "which model" in (err := released.refused("promote", "v1.0.0", "prod").err) or "does not say" in err
