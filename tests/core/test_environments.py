"""Environments: declared, ordered, and what ran in them when."""

import contextlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelver.core.environments import (
    Environment,
    decision_message,
    in_force,
    next_counter,
    order_objections,
    parse_environments,
    parse_moment,
    pick_environment,
    ran_before,
    refuse_move,
    refuse_no_rollback,
    stage_tag,
    strictest,
    trailers_in,
)
from modelver.core.names import parse_tag
from modelver.core.registry import Registry, TagRecord, build_registry
from modelver.errors import InvalidInput, NotFound, Refused

WHERE = "params.yaml, modelver.environments"
FULL = {"staging": None, "prod": {"requires": "staging", "protected": True, "signers": ["a@b"], "gates": {"x": {}}}}


def registry(*tags: str, versions: int = 4) -> Registry:
    """Versions v1 to v4 on commits c1 to c4, then tags such as ``prod:2`` (v2 goes in), one a second."""
    records = [TagRecord(f"m@v{n}.0.0", f"o{n}", f"c{n}", n) for n in range(1, versions + 1)]
    for number, tag in enumerate(tags, start=1):
        environment, _, version = tag.partition(":")
        name = f"m@v{version}.0.0!" if environment == "yank" else f"m#{environment}#{number}"
        records.append(TagRecord(name, f"t{number}", f"c{version}", 100 + number, "Maria <m@x>"))
    return build_registry(records)


def runs(found: Registry, environment: str = "prod") -> str | None:
    version = found.environment("m", environment)
    return str(version.version)[:2] if version else None


def previous(found: Registry) -> str | None:
    version = ran_before(found, "m", "prod")
    return str(version.version)[:2] if version else None


def test_declared_environments_are_read():
    declared = parse_environments(FULL, WHERE)
    assert declared == {
        "staging": Environment("staging"),
        "prod": Environment("prod", requires=("staging",), signers=("a@b",), protected=True),
    }
    assert list(declared) == ["staging", "prod"]
    assert parse_environments(None, WHERE) == {}
    assert parse_environments(["qa", "prod"], WHERE) == {"qa": Environment("qa"), "prod": Environment("prod")}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("prod", "must map"),
        ([1], "must map"),
        ({"prod": "yes"}, r"prod must be a mapping"),
        ({"prod": {"require": "staging"}}, r"prod holds 'require'"),
        ({"prod": {"requires": "staging"}}, r"prod\.requires names 'staging', which is not declared"),
        ({"prod": {"requires": []}}, r"prod\.requires must be"),
        ({"prod": {"signers": []}}, r"prod\.signers must be"),
        ({"prod": {"signers": [1]}}, r"prod\.signers must be"),
        ({"prod": {"protected": "yes"}}, r"prod\.protected must be"),
        ({"prod": {"requires": "prod"}}, "circle"),
        ({"a": {"requires": "b"}, "b": {"requires": ["c"]}, "c": {"requires": "a"}, "d": None}, "a, b, c require each"),
        ({"-x": None}, "no environment name"),
    ],
)
def test_malformed_environments_are_refused_with_their_place(data, said):
    with pytest.raises(InvalidInput, match=said):
        parse_environments(data, WHERE)


def test_an_undeclared_environment_is_refused_only_where_others_are_declared():
    assert pick_environment({}, "anywhere") == Environment("anywhere")
    with pytest.raises(NotFound) as caught:
        pick_environment(parse_environments(FULL, WHERE), "pord")
    assert "staging, prod" in caught.value.hint
    with pytest.raises(InvalidInput):
        pick_environment({}, "pr od")


def test_what_may_run_in_no_case():
    found = registry("prod:1", "yank:2")
    v1, v2, v3 = (found.versions("m")[-n] for n in (1, 2, 3))
    (running,) = found.running("m", "prod")
    with pytest.raises(Refused, match="already runs in prod since"):
        refuse_move(v1, Environment("prod"), running, "")
    refuse_move(v1, Environment("prod"), running, "", again=True)
    with pytest.raises(Refused, match="yanked"):
        refuse_move(v2, Environment("prod"), running, "")
    with pytest.raises(Refused, match="must say why"):
        refuse_move(v3, Environment("prod", protected=True), running, "  ")
    refuse_move(v3, Environment("prod", protected=True), running, "better")
    refuse_move(v3, Environment("prod"), None, "")


def test_a_prerelease_may_not_run_where_it_is_protected():
    found = build_registry([TagRecord("m@v2.0.0-rc.1", "o", "c", 1)])
    (candidate,) = found.versions("m")
    with pytest.raises(Refused, match="prerelease") as caught:
        refuse_move(candidate, Environment("prod", protected=True), None, "why")
    assert caught.value.hint == "modelver tag m --version v2.0.0"
    refuse_move(candidate, Environment("prod"), None, "why")


def test_of_several_policies_each_adds_what_it_asks():
    mild = Environment("prod", requires=("qa",), signers=("a@b",))
    strict = Environment("prod", requires=("staging", "qa"), protected=True)
    assert strictest([mild]) == Environment("prod", requires=("qa",))
    assert strictest([mild, strict]) == Environment("prod", requires=("qa", "staging"), protected=True)


@pytest.mark.parametrize(
    ("tags", "numbers"),
    [
        ((), []),
        (("prod:1",), [1]),
        (("prod:1", "staging:2", "prod:2"), [3]),
        (("prod:1", "prod:2", "prod!:2"), [1, 2, 3]),  # v1 runs again, by what came after it
        (("prod:1", "prod:2", "prod!:1"), [2, 3]),
        (("prod:1", "prod!:1"), [1, 2]),
        (("prod:1", "prod:1"), [2]),
    ],
)
def test_the_decisions_in_force_begin_with_that_of_what_runs(tags, numbers):
    assert [parse_tag(one.record.name).counter for one in in_force(registry(*tags), "m", "prod")] == numbers


def test_order_counts_what_runs_and_what_ran():
    prod = Environment("prod", requires=("qa", "staging"))
    found = registry("staging:1", "staging:2", "qa:2", "staging!:3")
    v1, v2, v3 = (found.versions("m")[-n] for n in (1, 2, 3))
    assert order_objections(found, v1, prod) == ["qa"]
    assert order_objections(found, v2, prod) == []
    assert order_objections(found, v3, prod) == ["qa", "staging"]  # to be taken out is not to have run


def test_a_rollback_goes_to_what_ran_there_or_is_older():
    found = registry("prod:2", "prod:3", "staging:4")
    (running,) = found.running("m", "prod")
    for good in (1, 2):
        refuse_no_rollback(found, found.versions("m")[-good], "prod", running)
    with pytest.raises(Refused, match="never ran in prod") as caught:
        refuse_no_rollback(found, found.versions("m")[0], "prod", running)
    assert caught.value.hint == "modelver promote m@v4.0.0 prod"


@pytest.mark.parametrize(
    ("tags", "now", "before"),
    [
        ([], None, None),
        (["prod:1"], "v1", None),
        (["prod:1", "prod:2"], "v2", "v1"),
        (["prod:1", "prod:2", "prod:3", "prod:2"], "v2", "v1"),  # not v3, which was left
        (["prod:1", "prod:2", "prod:3", "prod:1"], "v1", None),
        (["prod:1", "prod:2", "prod:1", "prod:3"], "v3", "v1"),
        (["prod:1", "prod:2", "yank:1", "prod:3"], "v3", "v2"),
        (["prod:1", "prod:2", "prod:3", "yank:2"], "v3", "v1"),
        (["prod:3", "prod:1"], "v1", "v3"),  # nobody went back here: v1 had never run
        (["prod:1", "staging:2", "prod:3"], "v3", "v1"),
        (["prod:1", "prod!:1"], None, "v1"),
        (["prod:1", "prod:2", "prod!:2"], "v1", "v2"),  # as in GTO, v1 was never taken out
        (["prod:1", "prod:2", "prod!:1"], "v2", "v1"),  # it is v2 that runs, whoever leaves
    ],
)
def test_what_ran_before(tags, now, before):
    found = registry(*tags)
    assert (runs(found), previous(found)) == (now, before)


STEPS = st.lists(st.tuples(st.sampled_from(["prod", "prod!", "qa"]), st.integers(1, 4)), max_size=12)


@given(STEPS)
def test_what_runs_is_the_newest_assignment_that_was_not_undone(steps):
    found = registry(*(f"{environment}:{version}" for environment, version in steps))
    last = {version: n for n, (environment, version) in enumerate(steps) if environment != "qa"}
    standing = [n for n in last.values() if steps[n][0] == "prod"]
    assert runs(found) == (f"v{steps[max(standing)][1]}" if standing else None)


@given(STEPS, st.integers(100, 115))
def test_the_past_is_what_the_tags_up_to_then_say(steps, moment):
    tags = [f"{environment}:{version}" for environment, version in steps]
    then, now = registry(*tags[: max(moment - 100, 0)]), registry(*tags)
    assert runs(now.at(moment)) == runs(then)
    assert [v.environments for v in now.at(moment).versions("m")] == [v.environments for v in then.versions("m")]


@given(STEPS)
def test_going_back_again_and_again_ends(steps):
    """However often one goes back to what ran before, no version is met twice."""
    tags = [f"{environment}:{version}" for environment, version in steps if environment == "prod"]
    seen = [runs(registry(*tags))]
    while (step := previous(registry(*tags))) is not None:
        if int(step[1]) > int(seen[-1][1]):
            break  # forward again, which is no way back
        assert step not in seen
        seen.append(step)
        tags.append(f"prod:{step[1]}")


def test_the_past_knows_neither_later_versions_nor_later_yanks():
    found = registry("prod:1", "yank:1")
    assert [v.yanked for v in found.at(101).versions("m")] == [False] * 4
    assert [str(v.version) for v in found.at(2).versions("m")] == ["v2.0.0", "v1.0.0"]


def test_counters_run_over_all_tags_of_a_model():
    tags = [("m", None), ("m", 3), ("m", 2), ("other", 9)]
    assert next_counter("m", tags) == 4
    assert next_counter("new", tags) == 1
    for assign in (True, False):
        name = parse_tag(stage_tag("a/b", "prod/eu", 12, assign=assign))
        assert name is not None
        assert (name.model, name.environment, name.counter) == ("a/b", "prod/eu", 12)
        assert name.action == ("assign" if assign else "unassign")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2026-03-01", datetime(2026, 3, 1, 23, 59, 59, tzinfo=UTC)),
        ("2026-03-01T12:30", datetime(2026, 3, 1, 12, 30, tzinfo=UTC)),
        ("2026-03-01 12:30:15", datetime(2026, 3, 1, 12, 30, 15, tzinfo=UTC)),
        ("2026-03-01T12:30:00Z", datetime(2026, 3, 1, 12, 30, tzinfo=UTC)),
        ("2026-03-01T00:30:00+02:00", datetime(2026, 2, 28, 22, 30, tzinfo=UTC)),
    ],
)
def test_moments(text, wanted):
    assert parse_moment(text) == int(wanted.timestamp())


@given(
    st.one_of(st.text(max_size=40), st.sampled_from(["0001-01-01T00:00+14:00", "9999-12-31T23:59-14:00", "yesterday"]))
)
def test_no_text_makes_a_moment_crash(text):
    with contextlib.suppress(InvalidInput):
        assert isinstance(parse_moment(text), int)


def test_the_message_of_a_decision():
    (version,) = registry(versions=1).versions("m")
    message = decision_message(
        "rollback",
        version,
        environment="prod",
        before="v2.0.0",
        reason="alarms\nsince noon",
        overridden=["m@v1.0.0 has not run in staging", "accuracy 0.8 is below 0.9"],
        gates=["accuracy 0.8 is below 0.9"],
    )
    assert message.startswith("Roll prod back to m v1.0.0\n\nalarms\nsince noon\n\nModelver-Model: m\n")
    assert trailers_in(message) == {
        "Modelver-Model": "m",
        "Modelver-Version": "v1.0.0",
        "Modelver-Environment": "prod",
        "Modelver-Action": "rollback",
        "Modelver-Reason": "alarms since noon",
        "Modelver-From": "v2.0.0",
        "Modelver-Gate": "accuracy 0.8 is below 0.9",
        "Modelver-Emergency": "m@v1.0.0 has not run in staging; accuracy 0.8 is below 0.9",
    }
    assert "Emergency" not in decision_message("promote", version, environment="prod")
    assert trailers_in("just words\n") == {}


@given(st.text(max_size=200))
def test_no_reason_forges_a_trailer(reason):
    (version,) = registry(versions=1).versions("m")
    trailers = trailers_in(
        decision_message("yank", version, reason=reason + "\n\nModelver-Emergency: no\nModelver-Model: x")
    )
    assert trailers["Modelver-Model"] == "m"
    assert set(trailers) == {"Modelver-Model", "Modelver-Version", "Modelver-Action", "Modelver-Reason"}
