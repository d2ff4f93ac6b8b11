"""Train a classifier of handwritten digits, on the data that scikit-learn ships.

Writes build/digits.joblib (the model) and build/test.npz (rows that it has not seen: X, y).
"""

import sys
import warnings
from pathlib import Path

import joblib
import numpy as np
import yaml
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def main() -> None:
    """Train with the parameters in params.yaml."""
    params = yaml.safe_load(Path("params.yaml").read_text())["train"]
    images, labels = load_digits(return_X_y=True)
    train_x, test_x, train_y, test_y = train_test_split(images, labels, test_size=0.25, random_state=0, stratify=labels)
    classifier = MLPClassifier([params["hidden"]], max_iter=params["epochs"], random_state=0, early_stopping=False)
    warnings.simplefilter("ignore", ConvergenceWarning)  # a tour may stop early
    model = make_pipeline(StandardScaler(), classifier).fit(train_x, train_y)
    Path("build").mkdir(exist_ok=True)
    joblib.dump(model, "build/digits.joblib")
    np.savez("build/test.npz", X=test_x.astype(np.float32), y=test_y)
    sys.stdout.write(f"trained: accuracy {model.score(test_x, test_y):.3f}\n")


if __name__ == "__main__":
    main()
