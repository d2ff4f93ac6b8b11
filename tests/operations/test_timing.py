"""Ratios of times: what is counted, what is left out, and that it ends. The clocks here tell times that are known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelver.operations import timing
from modelver.operations.timing import in_turns, percentile, processor


class Told:
    """A clock whose runs take the times that a function of their number says."""

    threads = 1

    def __init__(self, time_of, log=None, name=""):
        self.time_of, self.runs, self.spent, self.log, self.name = time_of, 0, 0.0, log, name

    def times(self, runs):
        told = [self.time_of(self.runs + number) for number in range(runs)]
        self.runs += runs
        self.spent += sum(told)
        if self.log is not None:
            self.log.append(self.name)
        return told


def test_ratios_are_to_the_baseline_whose_own_is_one():
    found = in_turns({"a": Told(lambda _: 0.002), "b": Told(lambda _: 0.006), "c": Told(lambda _: 0.001)}, "a")
    assert (found["a"].p50, found["a"].p95) == (1.0, 1.0)
    assert found["b"].p50 == found["b"].p95 == pytest.approx(3)
    assert found["c"].p50 == pytest.approx(0.5)


def test_the_first_runs_do_not_count():
    cold = Told(lambda number: 0.05 if number == 0 else 0.02 if number < 3 else 0.001)
    found = in_turns({"a": Told(lambda _: 0.001), "cold": cold}, "a")["cold"]
    assert (found.p50, found.p95) == (1.0, 1.0)


def test_the_first_run_of_a_turn_does_not_count():
    """Others have used the processor's caches since: here each turn begins with a slow run."""
    turns = []

    class Chilled(Told):
        def times(self, runs):
            fresh = bool(turns) and turns[-1] != "chilled"
            turns.append("chilled")
            return [0.005 if fresh and number == 0 else told for number, told in enumerate(super().times(runs))]

    class Other(Told):
        def times(self, runs):
            turns.append("other")
            return super().times(runs)

    found = in_turns({"a": Other(lambda _: 0.001), "b": Chilled(lambda _: 0.001)}, "a")["b"]
    assert (found.p50, found.p95) == (1.0, 1.0)
    assert turns.count("other") >= timing.ROUNDS


def test_runs_take_turns_in_either_order():
    log = []
    in_turns({name: Told(lambda _: timing.TURN, log, name) for name in "ab"}, "a")
    assert log == ["a", "b"] + ["a", "b", "b", "a"] * 5  # each warms up once, then 10 rounds


def test_a_slow_one_gets_few_runs_and_the_others_as_many_as_ever():
    slow, quick = Told(lambda _: 40.0), Told(lambda _: 1e-5)
    found = in_turns({"quick": quick, "slow": slow}, "quick")
    assert slow.runs == 2  # one to warm up, one that counts
    assert found["slow"].runs == 1
    assert found["slow"].p50 == pytest.approx(4e6)
    assert found["quick"].runs == timing.ROUNDS * (timing.MOST - 1)


def test_nothing_is_timed_beside_a_baseline_that_has_ended():
    slow, quick = Told(lambda _: 40.0), Told(lambda _: 1e-5)
    found = in_turns({"slow": slow, "quick": quick}, "slow")
    assert slow.runs == 2
    assert found["quick"].runs < timing.MOST
    assert found["quick"].p50 == pytest.approx(2.5e-7)


@given(st.lists(st.floats(1e-6, 10), min_size=1, max_size=30), st.floats(1e-6, 3))
def test_it_ends_and_no_stall_is_repeated_beyond_the_budget(times, other):
    """Runs whose times jump: no portion is begun that would not fit, as far as the times so far tell."""
    jumping = Told(lambda number: times[number % len(times)])
    found = in_turns({"a": Told(lambda _: other), "b": jumping}, "a")
    assert jumping.runs <= timing.WARM_RUNS + timing.ROUNDS * timing.MOST
    assert all(0 < value < float("inf") for ratio in found.values() for value in (ratio.p50, ratio.p95))
    assert all(ratio.runs >= 1 for ratio in found.values())


def test_a_runtime_that_stalls_is_left_after_the_portion_in_which_it_did():
    stalling = Told(lambda number: 1e-3 if number < 40 else 0.5)
    in_turns({"a": Told(lambda _: 1e-3), "b": stalling}, "a")
    assert stalling.spent < 40 * 0.5  # a turn planned ahead from the first times would have held 100 such runs


def test_a_clock_too_coarse_to_tell_gives_numbers_all_the_same():
    found = in_turns({"a": Told(lambda _: 0.0), "b": Told(lambda _: 1e-6)}, "a")
    assert np.isfinite(found["b"].p50)


@given(st.lists(st.floats(0, 1e3), min_size=1, max_size=50), st.sampled_from([0.0, 0.5, 0.95, 0.99, 1.0]))
def test_percentiles_are_numpys(values, share):
    assert percentile(values, share) == pytest.approx(float(np.quantile(values, share)), rel=1e-9, abs=1e-12)


def test_the_processor_has_a_name():
    assert processor().strip()
