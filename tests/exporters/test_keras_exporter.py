"""Real Keras models, trained on data that scikit-learn ships, through export and validation, on the PyTorch backend."""

import json
import os
import subprocess
import sys

import numpy as np
import onnxruntime
import pytest
from boosted import content, round_trip, settings, source_of
from sklearn import datasets

for package in ("torch", "onnxscript", "h5py"):
    pytest.importorskip(package, reason=f"{package} is not installed: pip install 'modelver[keras]'")
os.environ.setdefault("KERAS_BACKEND", "torch")
keras = pytest.importorskip("keras", reason="Keras is not installed: pip install 'modelver[keras]'")
if keras.backend.backend() != "torch":
    pytest.skip("Keras runs on another backend: KERAS_BACKEND=torch", allow_module_level=True)

from modelver.errors import InvalidInput, Refused  # noqa: E402
from modelver.operations import stage_export  # noqa: E402

# Keras asks tensors for arrays in a way that NumPy 2 warns of, once for each variable.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

layers = keras.layers


def digits():
    X, y = datasets.load_digits(return_X_y=True)
    return X.reshape(-1, 8, 8, 1).astype(np.float32), y


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(0)
    X, y = digits()
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1), name="image"),
            layers.Rescaling(1 / 16),
            layers.Conv2D(8, 3, activation="relu", padding="same"),
            layers.BatchNormalization(),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dropout(0.2),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    model.fit(X, y, epochs=3, batch_size=64, verbose=0)
    return model


@pytest.fixture
def root(tmp_path):
    X, y = digits()
    np.savez(tmp_path / "digits.npz", X=X, y=y)
    return tmp_path


def test_a_network_keeps_its_accuracy(root, network):
    network.save(root / "m.keras")
    X, y = digits()
    expected = float((network.predict(X, verbose=0).argmax(axis=1) == y).mean())
    assert expected > 0.8
    result = round_trip(root, settings(None, "m.keras", "digits.npz", outputs=["p"], labels=list(range(10))))
    assert result.metrics["accuracy"] == pytest.approx(expected, abs=1e-3)
    found = source_of(root)
    assert found["signature"]["inputs"] == [{"name": "image", "dtype": "float32", "shape": ["N", 8, 8, 1]}]
    assert found["signature"]["outputs"] == [{"name": "p", "dtype": "float32", "shape": ["N", 10]}]
    assert (found["source"]["format"], found["source"]["framework"]) == ("keras", "keras")
    assert found["source"]["framework_version"] == keras.__version__


def test_several_inputs_and_outputs(root):
    keras.utils.set_random_seed(0)
    numbers, ids = keras.Input((13,), name="numbers"), keras.Input((5,), dtype="int64", name="ids")
    words = layers.LSTM(4)(layers.Embedding(50, 4)(ids))
    both = layers.Concatenate()([numbers, words])
    answers = {"value": layers.Dense(1)(both), "class": layers.Dense(3, activation="softmax")(both)}
    model = keras.Model([numbers, ids], answers)
    X, y = datasets.load_wine(return_X_y=True)
    X = ((X - X.mean(0)) / X.std(0)).astype(np.float32)
    tokens = np.random.default_rng(0).integers(0, 50, (len(X), 5))
    model.compile("adam", {"value": "mse", "class": "sparse_categorical_crossentropy"})
    model.fit({"numbers": X, "ids": tokens}, {"value": X[:, 0], "class": y}, epochs=1, batch_size=64, verbose=0)
    model.save(root / "m.keras")
    np.savez(root / "rows.npz", numbers=X, ids=tokens)
    round_trip(root, settings("keras", "m.keras", "rows.npz"))
    found = source_of(root)["signature"]
    assert [(v["name"], v["dtype"], v["shape"]) for v in found["inputs"]] == [
        ("numbers", "float32", ["N", 13]),
        ("ids", "int64", ["N", 5]),
    ]
    assert {v["name"]: v["shape"] for v in found["outputs"]} == {"value": ["N", 1], "class": ["N", 3]}
    session = onnxruntime.InferenceSession(root / "models/m/weights/model.onnx")
    for rows in (1, 6):
        got = session.run(["value"], {"numbers": X[:rows], "ids": tokens[:rows]})[0]
        want = model.predict({"numbers": X[:rows], "ids": tokens[:rows]}, verbose=0)["value"]
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_the_bytes_are_the_same_in_every_folder_and_process(root, network, tmp_path_factory):
    network.save(root / "m.keras")
    entry = settings("keras", "m.keras", "digits.npz")
    stage_export.run(root, "m", entry)
    other = tmp_path_factory.mktemp("another-much-longer-name")
    for name in ("m.keras", "digits.npz"):
        (other / name).write_bytes((root / name).read_bytes())
    code = "import sys, json; from pathlib import Path; from modelver.operations import stage_export as s; "
    code += "s.run(Path.cwd(), 'm', json.loads(sys.argv[1]))"
    env = {**os.environ, "PYTHONHASHSEED": "1"}
    del env["KERAS_BACKEND"]
    subprocess.run([sys.executable, "-c", code, json.dumps(entry)], cwd=other, env=env, check=True)
    assert content(other) == content(root)


def test_code_and_damage_are_refused(root, network):
    model = keras.Sequential([keras.Input((8, 8, 1)), layers.Lambda(lambda x: x + 1)])
    model.save(root / "lambda.keras")
    network.save(root / "whole.keras")
    (root / "text.keras").write_text("hello")
    (root / "cut.keras").write_bytes((root / "whole.keras").read_bytes()[:5000])
    for source in ("lambda.keras", "text.keras", "cut.keras"):
        with pytest.raises(InvalidInput, match=f"model m: {source} cannot be opened"):
            stage_export.run(root, "m", settings("keras", source, "digits.npz"))
    for export, message in (
        ({"builder": "a:b"}, "which no builder builds"),
        ({"inputs": [{"name": "a", "shape": ["N"]}, {"name": "b", "shape": ["N"]}]}, "declares 2 inputs"),
        ({"outputs": ["a", "b"]}, "names 2 outputs, the model returns 1"),
    ):
        with pytest.raises(Refused, match=f"model m.*{message}"):
            stage_export.run(root, "m", settings("keras", "whole.keras", "digits.npz", **export))
