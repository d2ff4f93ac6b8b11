"""Which commits keep their weights: the promises, over histories that are made up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelver.core.retention import Commit, Policy, kept_commits, parse_age
from modelver.errors import InvalidInput

NOW = 1_000_000.0


@st.composite
def histories(draw):
    """Commits whose parents are earlier ones, and the tips and lines among them."""
    history = {}
    for number in range(draw(st.integers(1, 12))):
        parents = draw(st.lists(st.sampled_from(sorted(history)), max_size=2, unique=True)) if history else []
        age = draw(st.integers(0, 1000))
        history[f"c{number:02}"] = Commit(tuple(parents), NOW - age, draw(st.integers(0, 3)))
    names = sorted(history)
    tips = draw(st.sets(st.sampled_from(names)))
    lines = draw(st.sets(st.sampled_from(names)))
    return history, tips | lines, lines


POLICIES = st.builds(
    Policy,
    grace=st.integers(0, 1000),
    keep_untagged=st.none() | st.integers(0, 5),
    older_than=st.none() | st.integers(0, 1000),
)


@given(histories(), POLICIES)
def test_tips_and_what_is_young_always_stay(world, policy):
    history, tips, lines = world
    kept = kept_commits(history, tips, lines, policy, NOW)
    assert tips <= kept
    young = {name for name, commit in history.items() if NOW - commit.time < policy.grace}
    assert young <= kept
    assert kept <= history.keys()


@given(histories(), st.integers(0, 1000))
def test_without_a_policy_everything_stays(world, grace):
    history, tips, lines = world
    assert kept_commits(history, tips, lines, Policy(grace), NOW) == set(history)


@given(histories(), POLICIES, st.integers(0, 1000))
def test_a_longer_grace_period_never_lets_more_go(world, policy, more):
    history, tips, lines = world
    longer = Policy(policy.grace + more, policy.keep_untagged, policy.older_than)
    assert kept_commits(history, tips, lines, policy, NOW) <= kept_commits(history, tips, lines, longer, NOW)


@given(histories(), st.integers(0, 5), st.integers(0, 1000))
def test_two_rules_let_go_only_what_both_let_go(world, count, age):
    history, tips, lines = world
    both = kept_commits(history, tips, lines, Policy(0, count, age), NOW)
    by_count = kept_commits(history, tips, lines, Policy(0, count, None), NOW)
    by_age = kept_commits(history, tips, lines, Policy(0, None, age), NOW)
    assert both == by_count | by_age


@given(histories(), st.integers(0, 1000))
def test_by_age_nothing_goes_that_is_younger(world, age):
    history, tips, lines = world
    kept = kept_commits(history, tips, lines, Policy(0, None, age), NOW)
    assert kept == tips | {name for name, commit in history.items() if NOW - commit.time < age}


@given(histories(), st.integers(0, 5))
def test_counted_states_are_the_newest_of_each_line(world, count):
    history, tips, lines = world
    kept = kept_commits(history, tips, lines, Policy(0, count), NOW)
    tagged = {history[name].state for name in tips}
    for line in lines:
        past = _past(history, line)
        extra = {history[name].state for name in kept & past} - tagged
        there = {history[name].state for name in past} - tagged
        assert len(extra) >= min(count, len(there))


def test_a_line_keeps_its_newest_states_and_the_rest_goes():
    # e(5) <- d(4) <- c(4) <- b(3) <- a(1), newest first; e is the branch, b is tagged
    history = {
        "a": Commit((), 10, 1),
        "b": Commit(("a",), 20, 3),
        "c": Commit(("b",), 30, 4),
        "d": Commit(("c",), 40, 4),
        "e": Commit(("d",), 50, 5),
    }
    tips, lines = {"e", "b"}, {"e"}

    def kept(count):
        return "".join(sorted(kept_commits(history, tips, lines, Policy(0, count), NOW)))

    assert kept(0) == "be"
    assert kept(1) == "bcde"  # c and d are one state; b and e are named anyway
    assert kept(2) == "abcde"


def test_a_parent_that_is_not_there_ends_the_line():
    history = {"b": Commit(("gone",), 20, 1)}
    assert kept_commits(history, ["b", "unknown"], ["b", "unknown"], Policy(0, 3), NOW) == {"b"}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("90s", 90), ("5m", 300), ("36h", 129_600), ("14d", 1_209_600), ("14", 1_209_600), ("2w", 1_209_600),
     ("1y", 31_536_000)],
)  # fmt: skip
def test_ages(text, seconds):
    assert parse_age(text) == seconds


@pytest.mark.parametrize("text", ["", "d", "-1d", "1.5d", "1 d", "1mo", "forever", "9" * 12])
def test_no_ages(text):
    with pytest.raises(InvalidInput):
        parse_age(text)


def _past(history, line):
    found, todo = set(), [line]
    while todo:
        name = todo.pop()
        if name in history and name not in found:
            found.add(name)
            todo += history[name].parents
    return found
