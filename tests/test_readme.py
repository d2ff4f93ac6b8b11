"""The README's tour is what really happens."""

from pathlib import Path

import pytest
import readme_tour

pytest.importorskip("skl2onnx", reason="the tour exports a scikit-learn model: pip install 'modelver[sklearn]'")


def test_every_command_prints_what_the_readme_says(tmp_path: Path) -> None:
    text = readme_tour.README.read_text("utf-8")
    shown = readme_tour.blocks_in(text)
    played = readme_tour.play(text, tmp_path)
    assert len(shown) == len(played) >= 6
    for before, after in zip(shown, played, strict=True):
        assert readme_tour.normalised(after) == readme_tour.normalised(before)


def test_what_is_quoted_from_files_stands_in_them() -> None:
    text = readme_tour.README.read_text("utf-8")
    quoted = readme_tour.quotes_in(text)
    assert quoted
    for path, parts in quoted:
        content = (readme_tour.README.parent / path).read_text("utf-8")
        for part in parts:
            assert part in content, f"{path} does not hold:\n{part}"
