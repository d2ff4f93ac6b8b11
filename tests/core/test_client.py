"""Generated clients: names of model files never become code, and the same signature gives the same text."""

import ast
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelver.core.client import interface
from modelver.core.client_names import identifier, identifiers, literal, remark
from modelver.core.client_python import python_client
from modelver.core.client_typescript import typescript_client
from modelver.errors import InvalidInput

NASTY = [
    'x"); import os; os.system("touch PWNED"); ("', "'''", '"""', '"""\nimport os\n"""', "a\\", "*/ process.exit(1) /*",
    "`${process.exit(1)}`", "__proto__", "constructor", "class", "np", "self", "None", "await", "1st", "naïve", "✓",
    "a b", "a.b", "a-b", "\u2028", "\x00", "\r\nx = 1", "#{x}", "x" * 500, "\ud800", "${x}", "<script>",
]  # fmt: skip
TEXT = st.one_of(st.sampled_from(NASTY), st.text(max_size=30))


def sidecar(inputs, outputs=("y",), labels=None, **changes):
    def values(names):
        return [{"name": name, "dtype": "float32", "shape": ["N", 3]} for name in names]

    document = {
        "model": "m", "version": "v1.0.0", "kind": "ingested", "description": None, "limitations": None,
        "weights": {"sha256": "0" * 64}, "graph": {"operators": {}}, "source": {"framework": None},
        "signature": {"inputs": values(inputs), "outputs": values(outputs), "labels": labels},
    }  # fmt: skip
    return interface({**document, **changes})


@given(TEXT)
def test_any_name_becomes_an_identifier_of_both_languages(name):
    text = identifier(name)
    assert re.fullmatch(r"[a-z][a-z0-9_]*", text)
    assert len(text) <= 62
    ast.parse(f"{text} = 1")


@given(st.lists(TEXT, unique=True, max_size=8))
def test_names_stay_apart(names):
    found = identifiers(names)
    assert len(set(found.values())) == len(names)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("X", "x"), ("sepal length (cm)", "sepal_length_cm"), ("inputIds", "input_ids"), ("class", "class_"),
        ("2d", "n2d"), ("__proto__", "proto_"), ("☃", "value"), ("np", "np_"), ("onnx::Gemm_0", "onnx_gemm_0"),
    ],
)  # fmt: skip
def test_identifiers_read_like_the_names(name, expected):
    assert identifier(name) == expected


@given(st.text(max_size=40))
def test_literals_are_what_python_reads_back(text):
    assert ast.literal_eval(literal(text)).encode("utf-16", "surrogatepass") == text.encode("utf-16", "surrogatepass")
    assert literal(text).isascii()


@given(TEXT)
def test_remarks_end_no_docstring_and_no_comment(text):
    found = remark(text)
    assert found.isascii()
    assert not set('"\\`\n\r\0') & set(found)
    assert "*/" not in found


def shape_of(text: str) -> list[str]:
    """The kinds of all nodes of the syntax tree, in order: what the text is as code, whatever names stand in it."""
    return [type(node).__name__ for node in ast.walk(ast.parse(text))]


@settings(max_examples=150)
@given(
    st.lists(TEXT, min_size=2, max_size=2, unique=True),
    st.lists(TEXT, min_size=2, max_size=2, unique=True),
    st.lists(TEXT, min_size=2, max_size=2),
    TEXT,
)
def test_hostile_names_change_no_node_of_the_python_module(inputs, outputs, labels, words):
    hostile = python_client(sidecar(inputs, outputs, labels, model=words, version=words, limitations=f"x{words}"))
    plain = python_client(sidecar(["a", "b"], ["c", "d"], ["e", "f"], limitations="x"))
    assert shape_of(hostile) == shape_of(plain)
    assert hostile.isascii()


@settings(max_examples=150)
@given(st.lists(TEXT, min_size=2, max_size=2, unique=True), st.lists(TEXT, min_size=1, max_size=1), TEXT)
def test_hostile_names_change_nothing_of_the_typescript_module_but_literals_and_comments(inputs, labels, words):
    hostile = typescript_client(sidecar(inputs, ["y"], labels, model=words, description=f"x{words}"))
    plain = typescript_client(sidecar(["a", "b"], ["y"], ["l"], description="x"))
    assert hostile.isascii()

    def code(text: str, names) -> str:
        text = re.sub(r'"(?:[^"\\\n]|\\.)*"', '""', text)
        text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
        for field in [*names, "y"]:  # an input may be called as the output is
            text = re.sub(rf"(inputs\.|  readonly ){field}\b", r"\1FIELD", text)
        return text

    assert code(hostile, identifiers(inputs).values()) == code(plain, ["a", "b"])


def test_the_same_signature_gives_the_same_text():
    face = sidecar(["a"], labels=["x"])
    assert python_client(face) == python_client(face)
    assert typescript_client(face) == typescript_client(face)


@pytest.mark.parametrize("signature", [None, {}])
def test_a_model_without_a_signature_has_no_client(signature):
    with pytest.raises(InvalidInput, match="no signature"):
        sidecar([], signature=signature, format={"name": "safetensors"})


@pytest.mark.parametrize("write", [python_client, typescript_client])
def test_a_client_says_which_column_an_input_is(write):
    noted = '{"sepal_length__cm_": "sepal length (cm)", "age": "age"}'
    form = {"name": "onnx", "metadata": {"modelver.columns": noted}}
    text = write(sidecar(["sepal_length__cm_", "age"], format=form))
    assert "Input sepal_length__cm_ is the column 'sepal length (cm)'." in text
    assert "Input age" not in text
    for broken in ("[", "[1]", '"x"', '{"a": ["]()"]}'):
        write(sidecar(["a"], format={"name": "onnx", "metadata": {"modelver.columns": broken}}))
