"""Model cards as people and Hugging Face's template write them."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from modelver.core import card
from modelver.core.card import CardFacts
from modelver.errors import InvalidInput


def read(text):
    front, body = card.split(text)
    return card.facts(yaml.safe_load(front), body)


HUGGING_FACE = """---
license: apache-2.0
language: [en]
---
# Model Card for Tiny

<!-- Provide a quick summary of what the model is/does. -->

## Model Details

### Model Description

<!-- Provide a longer summary of what this model is. -->

A tiny model
on two lines.

- **Developed by:** Maria
- **Shared by [optional]:** [More Information Needed]
- **License:** mit

## Uses

<!-- Address questions around how the model is intended to be used -->

### Direct Use

Sorting mail.

### Out-of-Scope Use

War.

## Bias, Risks, and Limitations

[More Information Needed]

### Recommendations

Be careful.
"""


def test_hugging_faces_template():
    assert read(HUGGING_FACE) == CardFacts("A tiny model on two lines.", "Maria", "apache-2.0", "Sorting mail.", None)


def test_front_matter_wins_over_the_body():
    text = HUGGING_FACE.replace(
        "language", "owner: Ada\nintended_use: Letters.\nlimitations: Ink.\ndescription: D\nlanguage"
    )
    assert read(text) == CardFacts("D", "Ada", "apache-2.0", "Letters.", "Ink.")


@pytest.mark.parametrize(
    ("heading", "field"),
    [
        ("## Intended use", "intended_use"),
        ("# Intended Use(s)", "intended_use"),
        ("## **Intended uses & limitations**", "intended_use"),
        ("### Uses ##", "intended_use"),
        ("## Limitations", "limitations"),
        ("## Limitations and bias", "limitations"),
        ("## Bias, Risks, and Limitations", "limitations"),
        ("## Model description", "description"),
    ],
)
def test_headings(heading, field):
    facts = read(f"# X\n\n{heading}\n\nSome *text*\nhere.\n\nNot this.\n\n## Other\n\nNor this.\n")
    assert getattr(facts, field) == "Some *text* here."


def test_headings_in_code_and_comments_are_none():
    assert read("```\n## Limitations\n\nx\n```\n<!--\n## Limitations\n\ny\n-->\n") == CardFacts()
    assert read("<!-- never closed\n## Limitations\n\nz\n") == CardFacts()


@pytest.mark.parametrize("text", ["[More Information Needed]", "TODO", "tbd", "N/A", "", "<!-- x -->"])
def test_placeholders_count_as_absent(text):
    assert read(f"## Limitations\n\n{text}\n\n## Next\n\nx\n").limitations is None


@pytest.mark.parametrize(
    ("front", "expected"),
    [
        ("license: mit", "mit"),
        ("license: other\nlicense_name: my-licence", "my-licence"),
        ("license: other", "other"),
        ("license: [mit, apache-2.0]", "mit AND apache-2.0"),
        ("license:", None),
        ("tags: []", None),
    ],
)
def test_licence(front, expected):
    assert read(f"---\n{front}\n---\n").license == expected


@pytest.mark.parametrize("front", ["license: no", "owner: 3", "description: {a: 1}", "license: [1]"])
def test_front_matter_that_is_no_text(front):
    with pytest.raises(InvalidInput, match=r"README\.md: \w+: expected text") as caught:
        read(f"---\n{front}\n---\n")
    assert "quotes" in caught.value.hint


def test_split():
    assert card.split("---\na: 1\n---\nbody\n") == ("a: 1\n", "body\n")
    assert card.split("\ufeff---\r\na: 1\r\n---\r\nbody\r\n") == ("a: 1\n", "body\n")
    assert card.split("no front matter\n---\n") == ("", "no front matter\n---\n")
    assert card.split("") == ("", "")
    assert card.split("---\n---\n") == ("", "")


def test_split_refuses():
    with pytest.raises(InvalidInput, match="no end"):
        card.split("---\na: 1\n")
    with pytest.raises(InvalidInput, match="longer than"):
        card.split("x" * (card.MAX_CARD + 1))


def test_the_template_says_nothing_yet_but_what_it_was_given():
    assert read(card.template("digits")) == CardFacts()
    odd = 'a "quoted": #text\\n'
    facts = read(card.template("digits", description=odd, license="mit", owner="Zoë"))
    assert facts == CardFacts(odd, "Zoë", "mit", None, None)


@given(st.text(alphabet="#-`<>!*: \nab[]", max_size=200))
def test_any_body_is_read(body):
    assert isinstance(card.facts({}, body), CardFacts)


def test_hostile_bodies_are_read_in_time():
    for piece in ("<!--", "- **a", "# ", "```\n", "- ** [optional]", "\n\n", "[ "):
        assert isinstance(card.facts({}, "## Model description\n" + piece * 200_000), CardFacts)
