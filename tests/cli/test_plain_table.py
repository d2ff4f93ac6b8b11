"""Plain tables are tabulate's to the letter, though most of them are made without it."""

from hypothesis import given
from hypothesis import strategies as st
from tabulate import tabulate

from modelver.cli.context import table

TEXT = st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=12)
WIDTH = st.shared(st.integers(1, 5), key="columns")
HEADERS = WIDTH.flatmap(lambda n: st.lists(st.text("abcxyz", min_size=1, max_size=9), min_size=n, max_size=n))
ROWS = WIDTH.flatmap(lambda n: st.lists(st.lists(TEXT, min_size=n, max_size=n), max_size=6))


@given(HEADERS, ROWS)
def test_as_tabulate_makes_it(headers: list[str], rows: list[list[str]]) -> None:
    assert table(rows, headers) == tabulate(rows, headers, tablefmt="plain", disable_numparse=True)


def test_wide_and_broken_text_is_left_to_tabulate() -> None:
    rows = [["模型", "a\nb"], ["x", "\x1b[31mred\x1b[0m"]]
    assert table(rows, ["name", "note"]) == tabulate(rows, ["name", "note"], tablefmt="plain", disable_numparse=True)
