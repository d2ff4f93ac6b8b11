from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from modelver.errors import InvalidInput, ModelverError, NotFound
from modelver.formats import dataset

X = np.arange(12.0).reshape(4, 3)
MATRIX = [{"name": "X", "dtype": "float32", "shape": ["N", 3]}]


def csv(root: Path, frame: pd.DataFrame) -> str:
    frame.to_csv(root / "d.csv", index=False)
    return "d.csv"


def table(**more) -> pd.DataFrame:
    return pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "c": X[:, 2], **more})


def test_npz(tmp_path):
    np.savez(tmp_path / "d.npz", X=X, y=[1, 2, 3, 4], weight=[1, 1, 1, 1])
    data = dataset.read(tmp_path, "d.npz")
    assert data.rows == 4
    assert data.target({"X"}).tolist() == [1, 2, 3, 4]
    assert dataset.read(tmp_path, "d.npz", "weight").target({"X"}).tolist() == [1, 1, 1, 1]
    fed = dataset.feeds(data, MATRIX)
    assert fed["X"].dtype == np.float32
    assert fed["X"].tolist() == X.tolist()


def test_npy_is_rows_without_a_target(tmp_path):
    np.save(tmp_path / "d.npy", X)
    data = dataset.read(tmp_path, "d.npy")
    assert data.target(set()) is None
    assert dataset.feeds(data, MATRIX)["X"].tolist() == X.tolist()


@pytest.mark.parametrize("target", ["y", "last"])
def test_a_tables_target_is_y_or_the_last_column(target, tmp_path):
    data = dataset.read(tmp_path, csv(tmp_path, table(**{target: [9, 8, 7, 6]})))
    assert data.target(dataset.used_names(data, MATRIX)).tolist() == [9, 8, 7, 6]
    assert dataset.feeds(data, MATRIX)["X"].tolist() == X.tolist()


def test_y_wins_over_the_last_column_wherever_it_stands(tmp_path):
    frame = table(y=[9, 8, 7, 6])[["y", "a", "b", "c"]]
    data = dataset.read(tmp_path, csv(tmp_path, frame))
    assert data.target(dataset.used_names(data, MATRIX)).tolist() == [9, 8, 7, 6]
    assert dataset.feeds(data, MATRIX)["X"].tolist() == X.tolist()


def test_a_table_of_features_alone_has_no_target(tmp_path):
    data = dataset.read(tmp_path, csv(tmp_path, table()))
    assert data.target(dataset.used_names(data, MATRIX)) is None


def test_parquet_without_a_reader_says_what_to_install(tmp_path):
    (tmp_path / "d.parquet").write_bytes(b"PAR1")
    with pytest.raises(ModelverError, match=r"d\.parquet"):
        dataset.read(tmp_path, "d.parquet")


def test_rows_are_spread_over_the_whole_file(tmp_path):
    np.savez(tmp_path / "d.npz", X=np.arange(1000.0)[:, None])
    data = dataset.read(tmp_path, "d.npz").spread(10)
    assert data.arrays["X"].ravel().tolist() == [0, 100, 200, 300, 400, 500, 600, 700, 800, 900]
    assert data.spread(50).rows == 10


def test_several_inputs_are_taken_by_name(tmp_path):
    np.savez(tmp_path / "d.npz", ids=np.array([[1, 2], [3, 4]]), mask=np.array([[1, 0], [1, 1]]), y=[0, 1])
    data = dataset.read(tmp_path, "d.npz")
    inputs = [{"name": name, "dtype": "int64", "shape": ["N", "T"]} for name in ("ids", "mask")]
    assert {name: array.tolist() for name, array in dataset.feeds(data, inputs).items()} == {
        "ids": [[1, 2], [3, 4]],
        "mask": [[1, 0], [1, 1]],
    }
    assert data.target(dataset.used_names(data, inputs)).tolist() == [0, 1]


def test_a_column_becomes_an_input_of_its_own_dtype(tmp_path):
    frame = pd.DataFrame({"n": [1, 2], "t": ["x", "ü"], "b": [True, False], "y": [0, 1]})
    data = dataset.read(tmp_path, csv(tmp_path, frame))
    inputs = [
        {"name": name, "dtype": dtype, "shape": ["N", 1]}
        for name, dtype in (("n", "int64"), ("t", "string"), ("b", "bool"))
    ]
    fed = dataset.feeds(data, inputs)
    assert [fed[name].tolist() for name in "ntb"] == [[[1], [2]], [["x"], ["ü"]], [[True], [False]]]


class Trap:
    def __reduce__(self):
        return (Path.touch, (Path("/tmp/modelver-trap-was-run"),))


def test_pickled_arrays_are_never_opened(tmp_path):
    np.savez(tmp_path / "d.npz", X=np.array([Trap()], dtype=object))
    with pytest.raises(InvalidInput, match=r"d\.npz cannot be read") as caught:
        dataset.read(tmp_path, "d.npz")
    assert "dtype str" in caught.value.hint
    assert not Path("/tmp/modelver-trap-was-run").exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("d.npz", b"PK\x03\x04 broken"),
        ("d.npz", b""),
        ("d.npy", b"\x93NUMPY garbage"),
        ("d.csv", b""),
        ("d.csv", b"a,b\n"),
        ("d.csv", b"a,b\n1,2\n1,2,3,4\n"),
        ("d.csv", b"\xff\xfe\x00"),
        ("d.txt", b"x"),
    ],
)
def test_broken_files_are_refused_by_name(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidInput, match=name.replace(".", r"\.")):
        dataset.read(tmp_path, name)


def test_lengths_that_differ_are_refused(tmp_path):
    np.savez(tmp_path / "d.npz", X=X, y=[1, 2, 3])
    with pytest.raises(InvalidInput, match=r"X \[4, 3\], y \[3\]"):
        dataset.read(tmp_path, "d.npz")


def test_no_file(tmp_path):
    with pytest.raises(NotFound, match=r"data/d\.npz"):
        dataset.read(tmp_path, "data/d.npz")


@pytest.mark.parametrize(
    ("frame", "inputs", "words"),
    [
        (table(y=1), [{"name": "z", "dtype": "float32", "shape": ["N", 1]}] * 2, "lacks 'z'"),
        (table(d="x", y=1), MATRIX, "has 5 columns"),
        (table(y=1).assign(a="x"), MATRIX, "'a' holds text"),
        (pd.DataFrame({"n": [1.5]}), [{"name": "n", "dtype": "int64", "shape": ["N", 1]}], "fractions"),
        (pd.DataFrame({"n": [None, 1]}), [{"name": "n", "dtype": "int64", "shape": ["N", 1]}], "missing"),
        (
            pd.DataFrame({"t": ["a", None]}),
            [{"name": "t", "dtype": "string", "shape": ["N", 1]}],
            "some rows hold none",
        ),
    ],
)
def test_data_that_does_not_fit_is_refused_by_field(frame, inputs, words, tmp_path):
    data = dataset.read(tmp_path, csv(tmp_path, frame))
    with pytest.raises(InvalidInput, match=words):
        dataset.feeds(data, inputs)


def test_a_target_that_is_not_there_or_is_an_input(tmp_path):
    np.savez(tmp_path / "d.npz", X=X, y=[1, 2, 3, 4])
    with pytest.raises(InvalidInput, match="no target 'z'; it has 'X', 'y'"):
        dataset.read(tmp_path, "d.npz", "z").target({"X"})
    with pytest.raises(InvalidInput, match="also an input"):
        dataset.read(tmp_path, "d.npz", "X").target({"X"})
