"""Diffs as people see them: they fit, the most important comes first, and hostile names stay text."""

import copy
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from modelver.cli.render_diff import markdown, size, table
from modelver.core.diff import diff
from modelver.core.manifest import FileEntry, TensorEntry
from modelver.core.printable import columns, printable, shorten

GOLDEN = yaml.safe_load((Path(__file__).parent.parent / "golden" / "sidecar-1.yaml").read_text())
EVIL = "a\n| b\r\x1b[31m\u202e`@everyone`<img src=x onerror=y>](http://x.test)\\|*_#1\x00\ud800"


def tensor(name, sha, l2=10.0, shape=(64, 64), dtype="float32"):
    return TensorEntry(name, dtype, shape, 16384, f"{sha:064x}", l2=l2, min=-1.0, max=1.0, mean=0.0)


def value(name, *shape, dtype="float32"):
    return {"name": name, "dtype": dtype, "shape": list(shape)}


def changed(**facts):
    return copy.deepcopy(GOLDEN) | {"version": "v2.0.0"} | facts


def example():
    signature = copy.deepcopy(GOLDEN["signature"])
    signature["inputs"][0]["shape"] = [1, 64]
    b = changed(signature=signature, metrics={"accuracy": 0.95, "per_class.f1": 0.98}, license="agpl-3.0")
    b["weights"] = GOLDEN["weights"] | {"bytes": 1 << 20, "sha256": "f" * 64, "md5": "e" * 32 + ".dir"}
    old = [tensor(f"layer{i}.weight", i) for i in range(64)]
    new = [tensor(t.name, i + 1000 * (i < 14), 10 + i / 10) for i, t in enumerate(old)]
    files = [[FileEntry(f"tensors/{i}", 1, f"{i}" * 32, f"{i}" * 64)] for i in (1, 2)]
    return diff(GOLDEN, b, tensors_a=old, tensors_b=new, files_a=files[0], files_b=files[1], ref_b={"ref": "HEAD"})


def test_table():
    assert table(example()) == (
        """\
digits v1.1.0 -> v2.0.0 (HEAD)
Calls for: major
  - shape of input 'X' narrowed from [N, 64] to [1, 64]
  - licence tightened from apache-2.0 to agpl-3.0
  - accuracy got worse: 0.97 -> 0.95
  - weights changed in 14 of 64 tensors
  - per_class.f1 got better: 0.96 -> 0.98
Callers must change: shape of input 'X' narrowed from [N, 64] to [1, 64]

Signature
  ~ inputs.X  float32 [N, 64] -> float32 [1, 64]

Metrics
  ~ accuracy      0.97 -> 0.95  -0.02, worse
  ~ per_class.f1  0.96 -> 0.98  +0.02, better

Metadata
  ~ license  apache-2.0 -> agpl-3.0

Tensors: 50 same, 14 changed
  ~ layer13.weight  float32 [64, 64]  changed by at least 13 %
  ~ layer12.weight  float32 [64, 64]  changed by at least 12 %
  ~ layer11.weight  float32 [64, 64]  changed by at least 11 %
  ~ layer10.weight  float32 [64, 64]  changed by at least 10 %
  ~ layer9.weight   float32 [64, 64]  changed by at least 9 %
  ~ layer8.weight   float32 [64, 64]  changed by at least 8 %
  ~ layer7.weight   float32 [64, 64]  changed by at least 7 %
  ~ layer6.weight   float32 [64, 64]  changed by at least 6 %
  ~ layer5.weight   float32 [64, 64]  changed by at least 5 %
  ~ layer4.weight   float32 [64, 64]  changed by at least 4 %
  … and 4 more

Weights
  ~ sha256  cad9a1125d -> ffffffffff
  ~ bytes   11 B -> 1.0 MiB

Files: 1 added, 1 removed
"""
    )


def test_markdown_has_a_table_a_section():
    text = markdown(example())
    assert text.startswith("### `digits v1.1.0 -> v2.0.0 (HEAD)`\n\nCalls for: **major**\n\n- shape of input 'X'")
    assert "\n**Metrics**\n\n| | name | before | after |\n|---|---|---|---|\n" in text
    assert "\n| changed | `accuracy` | `0.97` | `0.95` (-0.02, worse) |\n" in text
    assert "\n| changed | `layer0.weight` | `float32 [64, 64]` | changed, same statistics |\n" in text


def test_no_differences():
    same = diff(GOLDEN, GOLDEN)
    assert table(same) == "digits v1.1.0 -> v1.1.0\nNo differences.\n"
    assert "No differences." in markdown(same)


def test_a_new_and_a_removed_model():
    assert table(diff(None, GOLDEN)).startswith("digits v1.1.0 (new)\nCalls for: none\n  - first version\n")
    assert table(diff(GOLDEN, None)).startswith("digits v1.1.0 (removed)\n")
    assert "| added | `inputs.X` |  | `float32 [N, 64]` |" in markdown(diff(None, GOLDEN))


def test_two_models():
    assert table(diff(GOLDEN, changed(model="letters"))).startswith("digits v1.1.0 -> letters v2.0.0\n")


def test_tensors_that_changed_shape_come_first_and_renamed_ones_are_told():
    old = [tensor("a", 1), tensor("b", 2), tensor("c", 3), tensor("z", 4)]
    new = [tensor("a", 5, 99.0), tensor("b", 6, shape=(1, 2)), tensor("c", 7, None), tensor("y", 4)]
    lines = table(diff(GOLDEN, changed(), tensors_a=old, tensors_b=new)).splitlines()
    start = lines.index("Tensors: 3 changed, 1 renamed")
    assert lines[start + 1 :] == [
        "  ~ b  float32 [64, 64] -> float32 [1, 2]",
        "  ~ c  float32 [64, 64]  changed",
        "  ~ a  float32 [64, 64]  changed by at least 890 %",
        "  > z  -> y",
    ]


def test_files_of_a_plain_model_are_shown():
    plain = {"kind": "plain", "format": None, "signature": None, "graph": None}
    a = [FileEntry("m.gguf", 2048, "1" * 32, "1" * 64), FileEntry("old", 1, "2" * 32, "2" * 64)]
    b = [FileEntry("m.gguf", 4096, "3" * 32, "3" * 64), FileEntry("new", 1, "2" * 32, "2" * 64)]
    text = table(diff(GOLDEN | plain, changed(**plain), files_a=a, files_b=b))
    assert "Files\n  > old     -> new\n  ~ m.gguf  1111111111 2.0 KiB -> 3333333333 4.0 KiB\n" in text


def test_a_size_that_reads_the_same_shows_by_how_much_it_differs():
    weights, old = GOLDEN["weights"], 99_196_928
    plain = {"kind": "plain", "format": None, "signature": None, "graph": None}
    for new, note in ((old + 4096, "+4,096 B"), (old - 1, "-1 B")):
        a, b = (
            copy.deepcopy(GOLDEN) | plain | {"version": f"v{n}.0.0", "weights": weights | {"bytes": count}}
            for n, count in ((1, old), (2, new))
        )
        files_a, files_b = (
            [FileEntry("m.gguf", old, "1" * 32, "1" * 64)],
            [FileEntry("m.gguf", new, "3" * 32, "3" * 64)],
        )
        result = diff(a, b, files_a=files_a, files_b=files_b)
        assert f"  ~ bytes  94.6 MiB  {note}\n" in table(result)
        assert f"  ~ m.gguf  1111111111 94.6 MiB -> 3333333333 94.6 MiB  {note}\n" in table(result)
        assert f"| changed | `bytes` | `94.6 MiB` | {note} |" in markdown(result)


def hostile(name):
    """A diff in which a name from a model file stands in every place that takes one."""
    a = changed(license="mit", description="x")
    b = changed(license=name, description=name, params={name: {name: name}}, metrics={name: 1.0}, version="v3.0.0")
    b["signature"] = {"inputs": [value(name, name, name)], "outputs": [value("o", dtype=name)], "labels": [name]}
    b["format"] = {"name": name, "opsets": {name: 1}, "metadata": {name: name}}
    b["graph"] = {"operators": {name: 1}, "nodes": 1, "digest": "0" * 64}
    b["targets"] = {name: {"ran": True, "ok": False, "version": name}}
    b["lineage"] = [{"stage": name, "cmd": name, "deps": [{"path": name, "md5": None, "bytes": None}], "outs": []}]
    b["environment"] = {"python": name, "platform": name, "packages": {name: name}}
    b["variants"] = {name: {name: name}}
    tensors = [tensor(name, 1), tensor("t", 2, dtype=name)]
    return diff(a, b, tensors_a=[tensor("t", 1), tensor(name, 5)], tensors_b=tensors, ref_b={"ref": name})


names = st.text(max_size=60) | st.text(alphabet="|`\\<>@#*_[]() \n\x1b\u202e名é\u0301x", max_size=120)


@given(names, st.integers(40, 120))
def test_the_table_fits_and_is_printable(name, width):
    for line in table(hostile(name), width).splitlines():
        assert columns(line) <= width
        assert line.isprintable()


@pytest.mark.parametrize("name", [EVIL, "名前" * 60, "x" * 500, "e\u0301" * 300, "\u0301" * 500, "👩‍💻" * 40])
def test_long_and_odd_names_fit(name):
    wcwidth = pytest.importorskip("wcwidth")  # a second opinion on widths, from a package that others bring along
    for line in table(hostile(name)).splitlines():
        assert wcwidth.wcswidth(line) <= 80
        assert len(line) <= 160


def prose(text):
    """What a Markdown renderer reads as markup: all that stands outside code."""
    return re.sub(r"<code>[^<`|\\@]*</code>|`[^`|\\]*`", "", text)


@given(names)
def test_names_in_markdown_stay_code(name):
    text = markdown(hostile(name))
    assert all(line.isprintable() for line in text.split("\n"))
    outside = prose(text)
    assert not re.search(r"[@`<#\\]|://", outside.replace("###", "", 1))
    for line in text.split("\n"):
        if line.startswith("|"):
            assert prose(line).count("|") == 5


def test_markdown_fits_a_comment():
    params = {"params.yaml": {f"{EVIL * 3}{i}": EVIL * 10 for i in range(500)}}
    result = diff(GOLDEN, changed(params=params, variants=params, metrics={EVIL + str(i): i for i in range(500)}))
    assert len(markdown(result)) < 60_000
    assert len(markdown(result, 20_000)) < 20_000


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 名", "plain é 名"),
        ("a\nb\tc\x1b", r"a\nb\tc\x1b"),
        ("\u202e\u200b\ufeff\u2028", r"\u202e\u200b\ufeff\u2028"),
        ("\ud800", r"\ud800"),
        ("\U000e0041", r"\U000e0041"),
    ],
)
def test_printable(text, shown):
    assert printable(text) == shown


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [("abcdef", 6, "abcdef"), ("abcdef", 5, "ab…ef"), ("abcdef", 1, "…"), ("名前名前", 5, "名…前"), ("", 3, "")],
)
def test_shorten(text, width, shown):
    assert shorten(text, width) == shown


@given(st.text(), st.integers(1, 30))
def test_shortened_text_fits(text, width):
    shown = shorten(printable(text), width)
    assert columns(shown) <= width
    assert len(shown) <= 2 * width


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (8 << 20, "8.0 MiB"),
        (5 << 30, "5.0 GiB"),
        (1 << 70, "1048576.0 PiB"),
    ],
)
def test_size(count, shown):
    assert size(count) == shown
