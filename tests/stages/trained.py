"""Small models of frameworks that one process trains once, and a repository that exports them."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import yaml
from sandbox import Sandbox

TRAINING = '''\
"""Writes each model that is named, and the rows that all share; runs in a process of its own, at the files' place."""

import os
import sys

import numpy as np
from sklearn import datasets

wine = datasets.load_wine(as_frame=True)
X = wine.data.to_numpy(np.float32)
kinds = np.array(["rouge", "rosé", "blanc"])
np.savez("rows.npz", X=X, y=wine.target)
table = wine.data.assign(rang=np.array(["haut", "médian", "bas"])[np.arange(len(X)) % 3], sorte=kinds[wine.target])
table.rename(columns={"hue": "teinte é"}).to_csv("table.csv", index=False, encoding="utf-8")


def sklearn():
    import pickle

    import joblib
    import pandas
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    frame = pandas.read_csv("table.csv", encoding="utf-8")
    answers = frame.pop("sorte")
    numbers = [name for name in frame.columns if name != "rang"]
    parts = [("numbers", StandardScaler(), numbers), ("rang", OneHotEncoder(sparse_output=False), ["rang"])]
    trees = HistGradientBoostingClassifier(max_iter=5, max_depth=3, random_state=0)
    model = make_pipeline(ColumnTransformer(parts), trees).fit(frame, answers)
    joblib.dump(model, "sklearn.joblib")
    with open("sklearn.pkl", "wb") as file:
        pickle.dump(model, file)


def torch():
    import torch

    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.BatchNorm1d(13), torch.nn.Linear(13, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))
    net[0].running_mean, net[0].running_var = torch.tensor(X.mean(0)), torch.tensor(X.var(0))
    torch.save(net.state_dict(), "torch.pt")
    rows = {"input": {0: torch.export.Dim("N")}}
    torch.export.save(torch.export.export(net.eval(), (torch.tensor(X[:4]),), dynamic_shapes=rows), "torch.pt2")


def xgboost():
    import xgboost

    trees = xgboost.XGBClassifier(n_estimators=5, max_depth=3, random_state=0, n_jobs=1).fit(X, wine.target)
    trees.get_booster().save_model("xgboost.ubj")
    trees.get_booster().save_model("xgboost.json")


def lightgbm():
    import lightgbm

    trees = lightgbm.LGBMClassifier(n_estimators=5, max_depth=3, random_state=0, n_jobs=1, verbose=-1)
    trees.fit(X.astype(np.float64), wine.target).booster_.save_model("lightgbm.txt")


def catboost():
    import catboost

    trees = catboost.CatBoostClassifier(
        iterations=5, depth=3, random_seed=0, thread_count=1, verbose=False, allow_writing_files=False
    )
    trees.fit(X, kinds[wine.target]).save_model("catboost.cbm")


def keras():
    os.environ["KERAS_BACKEND"] = "torch"
    import keras

    keras.utils.set_random_seed(0)
    rows = keras.Input((13,), name="X")
    scaled = keras.layers.Normalization(mean=X.mean(0), variance=X.var(0))(rows)
    shared = keras.layers.Dropout(0.1)(keras.layers.Dense(8, activation="tanh")(scaled))
    answers = {name: keras.layers.Dense(3, activation="softmax", name=name)(shared) for name in ("b", "a")}
    keras.Model(rows, answers).save("keras.keras")


def onnx():
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    wide = rng.standard_normal((13, 20_200)).astype(np.float32)  # above 1 MiB: a file of its own
    weights = [numpy_helper.from_array(wide, "wide"),
               numpy_helper.from_array(rng.standard_normal((20_200, 3)).astype(np.float32) / 1000, "narrow")]
    nodes = [helper.make_node("MatMul", ["X", "wide"], ["h"]), helper.make_node("Relu", ["h"], ["r"]),
             helper.make_node("MatMul", ["r", "narrow"], ["s"]), helper.make_node("Softmax", ["s"], ["p"], axis=1)]
    ends = [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["N", 13])]
    graph = helper.make_graph(nodes, "g", ends, [helper.make_tensor_value_info("p", TensorProto.FLOAT, ["N", 3])],
                              weights)
    model = helper.make_model(graph, ir_version=7, opset_imports=[helper.make_opsetid("", 13)])
    helper.set_model_props(model, {"zeta": "1", "alpha": "2", "mu": "é"})
    onnx.save(model, "onnx.onnx")


def safetensors():
    from safetensors.numpy import save_file

    rng = np.random.default_rng(0)
    tensors = {name: rng.standard_normal((3, 2)).astype(np.float32) for name in "zam"}
    save_file({**tensors, "wide": np.ones((600, 500), np.float32)}, "safetensors.safetensors", {"é": "1", "b": "2"})


for name in sys.argv[1:]:
    globals()[name]()
'''

NEEDS = {
    "sklearn": ("sklearn", "skl2onnx"),
    "torch": ("torch", "onnxscript"),
    "xgboost": ("xgboost",),
    "lightgbm": ("lightgbm",),
    "catboost": ("catboost",),
    "keras": ("keras", "torch", "onnxscript", "h5py"),
    "onnx": ("onnx",),
    "safetensors": ("safetensors",),
}
"""What each model is trained and exported with."""


def missing(name: str) -> str:
    """The package that is not installed and that a model needs; empty where all is there."""
    return next((package for package in NEEDS[name] if importlib.util.find_spec(package) is None), "")


def train(place: Path, env: dict[str, str]) -> Path:
    """Train what can be trained here, in one process; the files are called by the framework."""
    place.mkdir(parents=True)
    (place / "training.py").write_text(TRAINING, encoding="utf-8")
    names = [name for name in NEEDS if not missing(name)]
    subprocess.run([sys.executable, "-P", "training.py", *names], cwd=place, env=env, check=True, capture_output=True)
    return place


def declare(box: Sandbox, models: dict[str, dict]) -> None:
    """Write the models' entries into params.yaml, with everything that the stages of dvc.yaml read."""
    empty = {"source": "", "framework": None, "data": "rows.npz", "target": None, "export": {}, "gates": {},
             "parity": {}, "task": None, "calibration": "rows.npz", "optimize": {}, "targets": [],
             "validate": {}}  # fmt: skip
    params = yaml.safe_load((box.root / "params.yaml").read_text(encoding="utf-8"))
    params["modelver"]["models"] = {name: {**empty, **entry} for name, entry in models.items()}
    (box.root / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
