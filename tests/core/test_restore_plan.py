"""What is placed, removed and kept, checked against the promises and not against the code's own rules."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelver.core.pointers import Out
from modelver.core.restore import FOREIGN, check_place, moves, plan
from modelver.errors import Refused

PATHS = st.sampled_from(["w/a", "w/b", "w/c", "w/d"])
HASHES = st.sampled_from(["1" * 32, "2" * 32, "3" * 32])
FILES = st.dictionaries(PATHS, HASHES)
CURRENT = st.dictionaries(PATHS, HASHES | st.just(FOREIGN))
HELD = st.frozensets(HASHES)


def _apply(steps, current):
    after = {path: now for path, now in current.items() if path not in steps.remove}
    after.update(steps.place)
    return after


@given(FILES, FILES, CURRENT, HELD)
def test_no_bytes_are_lost_that_nothing_else_holds(old, new, current, held):
    after = _apply(plan(old, new, current, held), current)
    for path, now in current.items():
        known = now in held or now == old.get(path)
        assert known or after.get(path) == now


@given(FILES, FILES, HELD)
def test_an_untouched_tree_becomes_the_new_version(old, new, held):
    assert _apply(plan(old, new, old, held), old) == new


@given(FILES, FILES, HELD)
def test_an_empty_tree_becomes_the_new_version(old, new, held):
    assert _apply(plan(old, new, {}, held), {}) == new


@given(FILES, FILES, CURRENT, HELD)
def test_by_force_everything_is_the_new_version(old, new, current, held):
    after = _apply(plan(old, new, current, held, force=True), current)
    assert all(after.get(path) == new.get(path) for path in old.keys() | new.keys())


@given(FILES, FILES, CURRENT, HELD)
def test_everything_is_the_new_version_or_is_named(old, new, current, held):
    steps = plan(old, new, current, held)
    after = _apply(steps, current)
    assert all(after.get(path) == new.get(path) or path in steps.keep for path in old.keys() | new.keys())


@given(FILES, FILES, CURRENT, HELD, st.booleans())
def test_what_no_version_names_is_never_touched(old, new, current, held, force):
    steps = plan(old, new, current, held, force=force)
    touched = {path for path, _ in steps.place} | set(steps.remove) | set(steps.keep)
    assert touched <= old.keys() | new.keys()


@given(FILES, FILES, CURRENT, HELD)
def test_what_is_right_already_is_not_touched(old, new, current, held):
    steps = plan(old, new, current, held)
    assert not any(current.get(path) == md5 for path, md5 in steps.place)


def test_moves_names_what_changed_with_vanishing_outs_first():
    def out(path, digit):
        return Out(path, digit * 32, 1, "dvc.lock")

    found = moves([out("a", "1"), out("b", "1"), out("z", "1")], [out("a", "1"), out("b", "2"), out("c", "3")])
    assert [(m.path, bool(m.old), bool(m.new)) for m in found] == [
        ("z", True, False),
        ("b", True, True),
        ("c", False, True),
    ]


@pytest.mark.parametrize(
    "path",
    [".git/hooks/x", "a/.git/config", "a/.GIT/config", ".git", "a/.git /x", "GIT~1/x", ".dvc/config", "../x", "/etc/x"],
)
def test_places_where_nothing_is_written(path):
    with pytest.raises(Refused, match="nothing is written there"):
        check_place(path)


@pytest.mark.parametrize("path", ["models/x/weights", "a.git/x", ".gitkeep", "data.dvc/x", "..a/b"])
def test_places_that_are_fine(path):
    check_place(path)
