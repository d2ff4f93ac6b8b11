"""One repository with a model of each kind, as its people would set it up: training as DVC stages, then modelver's."""

import sys
from pathlib import Path

import yaml
from sandbox import Sandbox, start

import models

DATA = """\
import numpy as np
from sklearn import datasets
from sklearn.model_selection import train_test_split

X, y = datasets.load_wine(return_X_y=True)
X = X.astype(np.float32)
train, test, y_train, y_test = train_test_split(X, y, test_size=0.3, random_state=0, stratify=y)
np.savez("train.npz", X=train, y=y_train)
np.savez("test.npz", X=test, y=y_test)
"""

HEAD = """\
import numpy as np
import yaml

params = yaml.safe_load(open("params.yaml"))["train"]
data = np.load("train.npz")
X, y = data["X"], data["y"]
"""

SKLEARN = """\
import joblib
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

joblib.dump(make_pipeline(StandardScaler(), LogisticRegression(C=params["linear"]["C"])).fit(X, y), "linear.joblib")
"""

TORCH = """\
import torch
from torch import nn

torch.manual_seed(0)
torch.set_num_threads(1)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.shift = nn.Buffer(torch.tensor(X.mean(0)))
        self.scale = nn.Buffer(torch.tensor(X.std(0)))
        self.layers = nn.Sequential(nn.Linear(13, 16), nn.Tanh(), nn.Linear(16, 3))

    def forward(self, X):
        return self.layers((X - self.shift) / self.scale)


net = Net()
inputs, targets = torch.tensor(X), torch.tensor(y)
optimizer = torch.optim.Adam(net.parameters(), 0.05)
for _ in range(params["net"]["steps"]):
    optimizer.zero_grad()
    nn.functional.cross_entropy(net(inputs), targets).backward()
    optimizer.step()
rows = {"X": {0: torch.export.Dim("N")}}
torch.export.save(torch.export.export(net.eval(), (inputs[:4],), dynamic_shapes=rows), "net.pt2")
"""

XGBOOST = """\
import xgboost

trees = xgboost.XGBClassifier(n_estimators=params["trees"]["rounds"], max_depth=3, random_state=0, n_jobs=1)
trees.fit(X, y).get_booster().save_model("trees.ubj")
"""

LIGHTGBM = """\
import lightgbm

options = {"max_depth": 3, "random_state": 0, "n_jobs": 1, "verbose": -1}
trees = lightgbm.LGBMClassifier(n_estimators=params["trees"]["rounds"], **options)
trees.fit(X.astype("float64"), y).booster_.save_model("trees.txt")
"""

SOURCES = {"linear": "linear.joblib", "net": "net.pt2", "trees": "trees.ubj"}
PIPELINES = tuple(SOURCES)
GROUPS = ("export", "assess", "optimize", "validate")


def build(root: Path, env: dict[str, str], trees: str) -> Sandbox:
    """Everything declared and committed, nothing run; ``trees`` is ``xgboost`` or ``lightgbm``."""
    box = start(root, env)
    sources = {**SOURCES, "trees": "trees.ubj" if trees == "xgboost" else "trees.txt"}
    scripts = {"linear": SKLEARN, "net": TORCH, "trees": XGBOOST if trees == "xgboost" else LIGHTGBM}
    box.write("data.py", DATA)
    path = root / "dvc.yaml"
    document = yaml.safe_load(path.read_text()) if path.exists() else {}
    stages = document.setdefault("stages", {})
    stages["data"] = {"cmd": f"{sys.executable} data.py", "deps": ["data.py"], "outs": ["train.npz", "test.npz"]}
    for name, script in scripts.items():
        box.write(f"train_{name}.py", HEAD + script)
        stages[f"train_{name}"] = {
            "cmd": f"{sys.executable} train_{name}.py",
            "deps": [f"train_{name}.py", "train.npz"],
            "params": [f"train.{name}"],
            "outs": [sources[name]],
        }
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    params = yaml.safe_load((root / "params.yaml").read_text())
    params["train"] = {"linear": {"C": 1.0}, "net": {"steps": 150}, "trees": {"rounds": 20}}
    (root / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    for name, source in sources.items():
        framework = ("--framework", "lightgbm") if source.endswith(".txt") else ()
        box.mv("add", name, source, "--data", "test.npz", *framework)
    box.mv("add", "plain", str(models.onnx(root.parent / "incoming" / "plain.onnx")))
    edit(box, "linear", gates={"accuracy": {"min": 0.8}})
    box.commit("declare the models")
    return box


def edit(box: Sandbox, model: str, **settings: object) -> None:
    """Change a model's entry in params.yaml."""
    path = box.root / "params.yaml"
    params = yaml.safe_load(path.read_text())
    params["modelver"]["models"][model] |= settings
    path.write_text(yaml.safe_dump(params, sort_keys=False))


def train(box: Sandbox, model: str, **settings: object) -> None:
    """Change how a model is trained."""
    path = box.root / "params.yaml"
    params = yaml.safe_load(path.read_text())
    params["train"][model] |= settings
    path.write_text(yaml.safe_dump(params, sort_keys=False))


def repro(box: Sandbox) -> set[str]:
    """The stages that `dvc repro` runs."""
    done = box.dvc("repro")
    return {line.split("'")[1] for line in (done.out + done.err).splitlines() if line.startswith("Running stage")}
