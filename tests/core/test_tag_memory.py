"""What is remembered of tags decides what is called moved or deleted."""

import pytest

from modelver.core.tag_memory import Elsewhere, Known, expected, in_force, judge_ref

A, B, C = "a" * 40, "b" * 40, "c" * 40


def known(*entries: tuple[str, str]) -> list[Known]:
    return [Known("m@v1.0.0", ident, "f" * 40, how, "origin" if how == "published" else "") for how, ident in entries]


def found(here: str | None, history: list[Known], there: object = "not asked", stored: bool = True) -> list[str]:
    elsewhere = None if there == "not asked" else Elsewhere("origin", there)
    return [p.kind for p in judge_ref("m@v1.0.0", here, history, elsewhere, stored=stored)]


@pytest.mark.parametrize(
    ("history", "ought"),
    [
        ([], None),
        ([("made", A)], A),
        ([("made", A), ("made", B)], B),  # made again before anybody saw the first
        ([("made", A), ("published", A), ("made", B)], A),  # others have A
        ([("seen", A), ("published", B)], A),  # the first that others could see stays what is right
        ([("made", A), ("dropped", A)], None),
        ([("made", A), ("dropped", A), ("made", B)], B),
        ([("published", A), ("dropped", A)], A),  # what others have can't be taken back
        ([("seen", A), ("accepted", B)], B),
        ([("seen", A), ("accepted", "")], None),
        ([("seen", A), ("accepted", ""), ("made", C)], C),
        ([("seen", A), ("accepted", B), ("made", C)], B),
    ],
)
def test_what_a_tag_ought_to_name(history, ought):
    one = expected(known(*history))
    assert (one.object_id if one else None) == ought


def test_what_counts_no_more_is_left_out():
    history = known(("made", A), ("dropped", A), ("seen", B), ("accepted", C))
    assert [(k.how, k.object_id) for k in in_force(history)] == [("accepted", C)]


@pytest.mark.parametrize(
    ("here", "history", "there", "kinds"),
    [
        (A, [], "not asked", []),
        (A, [("seen", A)], "not asked", []),
        (B, [("seen", A)], "not asked", ["moved"]),
        (None, [("seen", A)], "not asked", ["deleted"]),
        (None, [("made", A)], "not asked", ["deleted"]),
        (A, [], None, []),  # not pushed yet
        (A, [("made", A)], None, []),
        (A, [("published", A)], None, ["deleted"]),
        (A, [], B, ["moved"]),
        (A, [("seen", A)], B, ["moved"]),  # there
        (B, [("seen", A)], A, ["moved", "moved"]),  # here, and so the two differ
        (B, [("seen", A)], B, ["moved"]),  # on both: a forced fetch
        (B, [("made", A)], B, []),  # lost the race, and took what is published
        (B, [("made", A)], "not asked", ["moved"]),
        (None, [], A, []),  # not fetched yet
    ],
)
def test_here_there_and_before(here, history, there, kinds):
    assert found(here, known(*history), there) == kinds


def test_both_ids_and_a_command_are_named():
    (problem,) = judge_ref("m#prod#1", B, known(("seen", A)), None, stored=True)
    assert (A in problem.message, B in problem.message) == (True, True)
    assert problem.hint.startswith(f"git update-ref 'refs/tags/m#prod#1' {A} {B} ")
    for history, source in ((known(("seen", A)), "REMOTE"), (known(("made", A), ("published", A)), "origin")):
        (problem,) = judge_ref("m#prod#1", None, history, None, stored=False)
        assert problem.hint.startswith(f"git fetch {source} 'refs/tags/m#prod#1':'refs/tags/m#prod#1' ")
