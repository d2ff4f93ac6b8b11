"""Which version a state becomes, and what its tag says."""

import subprocess
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelver.core.plan import Choice, Request, base_version, choose_version, tag_message
from modelver.core.registry import ModelVersion, TagRecord
from modelver.core.versions import Version
from modelver.errors import Refused

NOW = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)


def published(text: str) -> ModelVersion:
    return ModelVersion("m", Version.parse(text), TagRecord(f"m@{text}", "o", "c", 1))


def choose(base: str | None = "v1.2.3", **changes) -> Choice:
    given = {
        "model": "m", "scheme": "semver", "base": published(base) if base else None,
        "taken": {Version.parse(base)} if base else set(), "level": "patch", "reasons": ("weights",),
        "weights_changed": True, "proposed": None, "request": Request(), "now": NOW,
    }  # fmt: skip
    return choose_version(**{**given, **changes})


@pytest.mark.parametrize(
    ("base", "level", "request_", "version"),
    [
        (None, "none", Request(), "v1.0.0"),
        (None, "none", Request(version=Version(0, 1, 0)), "v0.1.0"),
        ("v1.2.3", "patch", Request(), "v1.2.4"),
        ("v1.2.3", "minor", Request(), "v1.3.0"),
        ("v1.2.3", "major", Request(), "v2.0.0"),
        ("v1.2.3", "none", Request(), "v1.2.4"),
        ("v1.2.3", "patch", Request(bump="major"), "v2.0.0"),
        ("v1.2.3", "major", Request(bump="patch", reason="r"), "v1.2.4"),
        ("v0.3.0", "major", Request(bump="minor"), "v0.4.0"),
        ("v2.0.0-rc.1", "major", Request(), "v2.0.0"),
        ("v2.0.0-rc.1", "major", Request(version=Version.parse("v2.0.0-rc.2")), "v2.0.0-rc.2"),
    ],
)
def test_choices(base, level, request_, version):
    assert str(choose(base, level=level, request=request_).version) == version


@pytest.mark.parametrize(
    ("level", "request_"),
    [
        ("major", Request(bump="minor")),
        ("major", Request(version=Version(1, 9, 0))),
        ("major", Request(version=Version(1, 9, 0), reason="r")),
        ("patch", Request(version=Version(1, 2, 3))),
        ("patch", Request(version=Version(1, 0, 0))),
    ],
)
def test_refusals(level, request_):
    with pytest.raises(Refused) as caught:
        choose(level=level, request=request_)
    assert caught.value.hint


def test_unchanged_weights():
    with pytest.raises(Refused, match="not changed"):
        choose(weights_changed=False)
    assert str(choose(weights_changed=False, request=Request(force_new=True)).version) == "v1.2.4"


def test_a_reviewed_proposal_counts_unless_it_is_taken_or_old():
    assert str(choose(proposed=Version(1, 9, 0)).version) == "v1.9.0"
    assert str(choose(proposed=Version(1, 0, 0)).version) == "v1.2.4"


def test_base_is_the_newest_within_reach():
    versions = [published("v2.0.0"), published("v1.0.0")]
    assert base_version(versions, {"m@v1.0.0"}).tag == "m@v1.0.0"
    assert base_version(versions, set()).tag == "m@v2.0.0"
    assert base_version([], set()) is None


def trailers(message: str) -> list[str]:
    command = ["git", "interpret-trailers", "--parse", "--no-divider"]
    done = subprocess.run(command, input=message.encode(), capture_output=True, check=True)
    return done.stdout.decode().splitlines()


words = st.lists(
    st.sampled_from(["Modelver-Weights: sha256:forged", "\n", "\n\n", "\r", "\u2028", "---", "a: b", " ",
                     "-----BEGIN SSH SIGNATURE-----", "text", "\0", "\x1b", "#", "\ud800", "\t"]),
    max_size=8,
).map("".join)  # fmt: skip


@given(words, words, words)
def test_nobody_forges_a_trailer(note, reason, override):
    choice = Choice(Version(1, 0, 1), Version(1, 0, 0), "patch", (reason,), override)
    message = tag_message(
        model="m", choice=choice, note=note, sidecar_sha256="a" * 64, weights_sha256="b" * 64, forced_new=False
    )
    assert "\n-----BEGIN" not in message
    keys = ["Model", "Version", "Sidecar", "Weights", "Bump", "Previous", *(["Override"] if override else [])]
    lines = message.rstrip("\n").rsplit("\n\n", 1)[1].split("\n")
    assert [line.split(":")[0] for line in lines] == [f"Modelver-{key}" for key in keys]
    assert f"Modelver-Weights: sha256:{'b' * 64}" in lines


def test_git_reads_the_trailers():
    choice = Choice(Version(1, 0, 1), Version(1, 0, 0), "patch", ("why",))
    message = tag_message(
        model="m", choice=choice, note="n: o", sidecar_sha256="a", weights_sha256="b", forced_new=True
    )
    assert trailers(message) == [
        "Modelver-Model: m", "Modelver-Version: v1.0.1", "Modelver-Sidecar: sha256:a", "Modelver-Weights: sha256:b",
        "Modelver-Bump: patch (why)", "Modelver-Previous: v1.0.0", "Modelver-Forced: new version of unchanged weights",
    ]  # fmt: skip
