"""Rules of `modelver verify` on documents alone: tag objects, DVC's lock entries."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelver.core.manifest import FileEntry
from modelver.core.pointers import Out, locked_stages
from modelver.core.verify import judge_signature, judge_signers, judge_tag, judge_trailers, parse_tag_object
from modelver.core.verify_pointers import judge_pointers
from modelver.errors import InvalidInput

TAG = b"object %s\ntype commit\ntag m@v1.0.0\ntagger A <a@example.com> 1 +0000\n\nm v1.0.0\n\nModelver-Model: m\n" % (
    b"1" * 40
)
SSH = b"-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----\n"


def test_a_tag_object_taken_apart():
    plain = parse_tag_object(TAG)
    assert (plain.target, plain.kind, plain.name) == ("1" * 40, "commit", "m@v1.0.0")
    assert (plain.tagger, plain.signed, plain.trailers) == ("A <a@example.com>", False, {"Modelver-Model": "m"})
    signed = parse_tag_object(TAG + SSH)
    assert (signed.signed, signed.message, signed.trailers) == (True, plain.message, plain.trailers)
    # what a user's message quotes is no signature of the tag while one follows it
    twice = parse_tag_object(TAG.replace(b"m v1.0.0\n\n", b"m v1.0.0\n\n" + SSH + b"\n") + SSH)
    assert (twice.signed, twice.trailers) == (True, plain.trailers)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_tag_object_or_refused(data):
    try:
        parse_tag_object(data)
    except InvalidInput:
        return
    assert data.startswith(b"object ")


@given(st.integers(0, len(TAG) * 8 - 1))
def test_a_flipped_bit_never_breaks_the_rules(bit):
    changed = bytearray(TAG)
    changed[bit // 8] ^= 1 << bit % 8
    try:
        found = parse_tag_object(bytes(changed))
    except InvalidInput:
        return
    judge_tag("m@v1.0.0", found, "m", "v1.0.0")


@pytest.mark.parametrize(
    ("old", "new", "count"),
    [
        (b"", b"", 0),
        (b"tag m@v1.0.0", b"tag m@v1.0.1", 1),
        (b"type commit", b"type tree", 1),
        (b"Model: m", b"Model: n", 1),
        (b"Model: m\n", b"Model: m\nModelver-Version: v2.0.0\n", 1),
    ],
)
def test_what_a_tag_says(old, new, count):
    assert len(judge_tag("m@v1.0.0", parse_tag_object(TAG.replace(old, new, 1)), "m", "v1.0.0")) == count


def test_trailers_against_the_sidecar():
    document = {"weights": {"sha256": "w"}, "previous": None}

    def judged(said: dict, sidecar: bytes | None = b"s", doc: dict | None = document) -> int:
        return len(judge_trailers("t", said, sidecar, doc, lambda data: {b"s": "5" * 64}.get(data, "0" * 64)))

    right = {"Modelver-Sidecar": f"sha256:{'5' * 64}", "Modelver-Weights": "sha256:w"}
    assert judged(right) == 0
    assert judged({}) == 0  # tagged without modelver
    assert judged(right, b"other") == 1
    assert judged(right, None, None) == 1
    assert judged({**right, "Modelver-Sidecar": "5" * 64}) == 1
    assert judged({**right, "Modelver-Weights": "sha256:x"}) == 1
    assert judged({"Modelver-Sidecar": right["Modelver-Sidecar"]}) == 1
    assert judged({**right, "Modelver-Previous": "v0.9.0"}) == 1
    assert judged(right, doc={**document, "previous": "v0.9.0"}) == 1


@pytest.mark.parametrize(
    ("state", "must", "wrong"),
    [
        ("good", True, False), ("good", False, False), ("bad", False, True), ("bad", True, True),
        ("unknown", False, False), ("unknown", True, True), ("unsigned", False, False), ("unsigned", True, True),
    ],
)  # fmt: skip
def test_signatures(state, must, wrong):
    assert bool(judge_signature("t", state, (), "", must=must)) is wrong


def test_signers():
    assert judge_signers("t", ["a@b.c", "SHA256:x"], ["SHA256:x"]) == []
    assert "only d@e.f may" in judge_signers("t", ["a@b.c"], ["d@e.f"])[0].message
    assert "by nobody whom Git can vouch for" in judge_signers("t", [], ["d@e.f"])[0].message
    (problem,) = judge_signers("t", [], ["d@e.f"], signed=False, mend="modelver promote m@v1.0.0 prod")
    assert problem.message == "it is not signed, and only d@e.f may decide there"
    assert problem.hint == "modelver promote m@v1.0.0 prod   (by one of them)"


MD5, DIR = "a" * 32, "b" * 32 + ".dir"
LOCK = {
    "schema": "2.0",
    "stages": {
        "train": {
            "cmd": "make",
            "deps": [{"path": "d", "hash": "md5", "md5": DIR, "size": 9, "nfiles": 2}],
            "outs": [{"path": "w", "hash": "md5", "md5": MD5, "size": 5, "isexec": True}],
        },
        "other": {"cmd": "x", "whatever": 1},
    },
}


def locked(change) -> int:
    import copy

    document = copy.deepcopy(LOCK)
    change(document, document["stages"]["train"])
    stages = [s for s in locked_stages("dvc.lock", LOCK) if s.name == "train"]
    weights, files = Out("w", MD5, 5, "dvc.lock"), [FileEntry("w", 5, MD5, "0" * 64)]
    return len(judge_pointers("dvc.lock", document, stages, weights, files, {DIR: 2}.get))


@pytest.mark.parametrize(
    ("change", "count"),
    [
        (lambda doc, s: None, 0),
        (lambda doc, s: doc.update(schema="3.0"), 1),
        (lambda doc, s: doc.update(schema=2.0), 1),
        (lambda doc, s: doc.update(stage=1), 1),
        (lambda doc, s: s.update(dep=[]), 1),
        (lambda doc, s: s["deps"][0].update(nfiles=3), 1),
        (lambda doc, s: s["deps"][0].update(nfiles="2"), 2),
        (lambda doc, s: s["deps"][0].update(hash="md4"), 1),
        (lambda doc, s: s["deps"][0].update(sise=9), 1),
        (lambda doc, s: s["outs"][0].update(size=6), 1),
        (lambda doc, s: s["outs"][0].update(isexec="trug"), 1),
        (lambda doc, s: s["outs"].append({"path": "d", "md5": DIR, "nfiles": 4}), 2),
        (lambda doc, s: doc["stages"]["other"].update(outs=[{"size": "x"}]), 0),  # another model's business
    ],
)
def test_lock_entries(change, count):
    assert locked(change) == count
