"""What a push is to publish, decided from tags alone."""

import pytest

from modelver.core.publish import overtaken, plan_push, refuse_dangling
from modelver.core.registry import TagRecord, build_registry
from modelver.errors import Refused

NAMES = {
    "a@v1.0.0": "c1", "a@v2.0.0": "c2", "a#prod#1": "c1", "a#prod#2": "c2", "a#prod!#3": "c2", "a@v1.0.0!": "c1",
    "b@v1.0.0": "c3", "b#prod#1": "c3", "a#prod#9": "c9",
}  # fmt: skip
REGISTRY = build_registry(
    TagRecord(name, f"id-{name}", commit, number) for number, (name, commit) in enumerate(NAMES.items())
)


def there(*names: str) -> dict[str, str]:
    return {name: f"id-{name}" for name in names}


def test_everything_that_is_missing_versions_first():
    plan = plan_push(REGISTRY, {}, "origin")
    assert [version.tag for version in plan.versions] == ["a@v2.0.0", "a@v1.0.0", "b@v1.0.0"]
    assert {record.name for record in plan.tags} == set(NAMES)
    assert ["#" in r.name or "!" in r.name for r in plan.tags] == [False] * 3 + [True] * 6


def test_only_what_is_missing():
    plan = plan_push(REGISTRY, there("a@v1.0.0", "a@v2.0.0", "b@v1.0.0", "a#prod#1", "unknown#x#1"), "origin")
    assert plan.versions == ()
    assert {r.name for r in plan.tags} == {"a#prod#2", "a#prod!#3", "a@v1.0.0!", "b#prod#1", "a#prod#9"}
    plan = plan_push(REGISTRY, there(*NAMES), "origin", every=True)
    assert (len(plan.versions), plan.tags) == (3, ())


@pytest.mark.parametrize(
    ("tag", "wanted"),
    [
        ("a@v1.0.0", {"a@v1.0.0", "a#prod#1", "a@v1.0.0!"}),
        ("a@v2.0.0", {"a@v2.0.0", "a#prod#2", "a#prod!#3"}),
        ("b@v1.0.0", {"b@v1.0.0", "b#prod#1"}),
    ],
)
def test_a_version_and_what_was_decided_about_it(tag, wanted):
    (version,) = [v for v in REGISTRY.versions() if v.tag == tag]
    plan = plan_push(REGISTRY, {}, "origin", only=[version, version])
    assert plan.versions == (version,)
    assert {record.name for record in plan.tags} == wanted
    assert plan_push(REGISTRY, there(*NAMES), "origin", only=[version]).versions == (version,), (
        "asked for, so looked at"
    )


@pytest.mark.parametrize("name", ["a@v1.0.0", "a#prod#1", "a@v1.0.0!"])
def test_another_object_of_that_name_is_refused_only_where_it_is_in_the_way(name):
    other = {name: "0123456789abcdef"}
    with pytest.raises(Refused) as caught:
        plan_push(REGISTRY, other, "my remote")
    assert f"{name} is 0123456789ab on my remote and id-{name}"[:50] in caught.value.message
    assert "git fetch 'my remote' tag" in caught.value.hint
    (b,) = REGISTRY.versions("b")
    assert plan_push(REGISTRY, other, "my remote", only=[b]).versions == (b,)


@pytest.mark.parametrize("other", ["a#prod!#2", "a#staging#2", "a#prod/eu#2", "a@v1.0.0#2"])
def test_a_number_that_others_have_taken_is_refused_with_all_that_came_after(other):
    theirs = there("a@v1.0.0", "a@v2.0.0", "b@v1.0.0", "a#prod#1") | {other: "theirs"}
    with pytest.raises(Refused) as caught:
        plan_push(REGISTRY, theirs, "my remote")
    assert caught.value.message == f"my remote has {other}, and a#prod#2 was decided without knowing of it"
    command = "git tag -d 'a#prod#2' 'a#prod!#3' 'a#prod#9' && git fetch 'my remote' --tags"
    assert caught.value.hint == f"{command}   (then decide again)"
    assert [(record.name, name) for record, name in overtaken(REGISTRY, theirs)] == [("a#prod#2", other)]
    (b,) = REGISTRY.versions("b")
    assert [r.name for r in plan_push(REGISTRY, theirs, "my remote", only=[b]).tags] == ["b#prod#1"]


def test_numbers_that_were_taken_twice_before_are_left_alone():
    theirs = there(*NAMES) | {"a#staging#2": "theirs"}
    assert plan_push(REGISTRY, theirs, "origin").tags == ()
    assert plan_push(REGISTRY, there(*NAMES) | {"b#prod#2": "theirs"}, "origin").tags == ()


def test_a_decision_for_a_version_that_was_yanked_meanwhile_is_refused():
    theirs = there("a@v1.0.0", "a@v2.0.0", "b@v1.0.0", "a#prod#1")
    with pytest.raises(Refused) as caught:
        plan_push(REGISTRY, theirs | {"a@v2.0.0!": "theirs"}, "origin")
    assert caught.value.message == "a#prod#2 would run a@v2.0.0, which is yanked on origin"
    assert caught.value.hint.startswith("git tag -d 'a#prod#2' && git fetch origin --tags")
    # what was published before the yank stays, and to take it out is no promotion; nor is that by the one who yanks
    tags = plan_push(REGISTRY, theirs | {"a@v2.0.0!": "theirs", "a#prod#2": "id-a#prod#2"}, "origin").tags
    assert {record.name for record in tags} == {"a#prod!#3", "a@v1.0.0!", "b#prod#1", "a#prod#9"}


def test_a_decision_goes_nowhere_without_its_version():
    record = {record.name: record for _, record in REGISTRY.events}
    with pytest.raises(Refused, match=r"a#prod#2 would run a@v2\.0\.0, which origin does not have") as caught:
        refuse_dangling(REGISTRY, there("a@v1.0.0"), "origin", [record["a#prod#1"], record["a#prod#2"]], ["a#prod#2"])
    assert caught.value.hint == "modelver push a@v2.0.0"
    with pytest.raises(Refused, match="a#prod#9 would run commit c9, which is no version of a"):
        refuse_dangling(REGISTRY, there(*NAMES), "origin", [record["a#prod#9"]], [])
    fine = [record["a#prod#1"], record["a#prod!#3"], record["a@v1.0.0!"]]
    refuse_dangling(REGISTRY, {}, "origin", fine, ["a@v1.0.0"])
    refuse_dangling(REGISTRY, there("a@v1.0.0"), "origin", fine, [])
