"""Makes PMML of a scikit-learn file, in a process of its own: pmml_convert.py REQUEST.json

Started by `modelver.optimizers.pmml` as a script. It imports sklearn2pmml, which is under the AGPL-3.0, and nothing of
modelver's; opening the file runs code that the file contains. What is printed, by Java too, goes to standard error.

JPMML-SkLearn refuses releases of scikit-learn that are newer than itself. Of a newer patch release it is told the one
that it knows: what a fitted model holds is the same in both, and what comes out is scored against the model's answers.
"""

import contextlib
import io
import json
import os
import re
import signal
import sys
import threading
from typing import Any

MARK = "modelver-model: "
"""Begins the line on standard error that says what the file holds."""


def main(request_file: str) -> None:
    """Write the request's ``output``; then a line of JSON on standard output."""
    answers = os.dup(1)
    os.dup2(2, 1)
    threading.Thread(target=_end_with_the_caller, daemon=True).start()
    with open(request_file, encoding="utf-8") as file:  # noqa: PTH123
        request = json.load(file)
    import joblib
    import sklearn.base
    from sklearn2pmml import make_pmml_pipeline, sklearn2pmml

    model = joblib.load(request["source"])
    while hasattr(model, "best_estimator_"):
        model = model.best_estimator_
    sys.stderr.write(f"{MARK}{_described(model)}\n")

    def convert() -> None:
        pipeline = make_pmml_pipeline(model, active_fields=request["fields"], target_fields=[request["target"]])
        sklearn2pmml(pipeline, request["output"], java_home=request["java_home"], java_opts=request["java_options"])

    told = None
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            convert()
    except RuntimeError:  # what sklearn2pmml raises where its Java program fails
        told = patch_known(said.getvalue(), sklearn.base.__version__)
        if told is None:
            sys.stderr.write(said.getvalue())
            raise
        sklearn.base.__version__ = told  # what a pickle says that it was saved by
        convert()
    os.write(answers, json.dumps({"told": told}).encode() + b"\n")


def _described(model: Any) -> str:
    steps = [type(step).__name__ for _, step in getattr(model, "steps", ())]
    return type(model).__name__ + (f" of {', '.join(steps)}" if steps else "")


def patch_known(said: str, here: str) -> str | None:
    """The newest scikit-learn that the converter takes, where that is another patch release of the one here."""
    match = re.search(r"Scikit-Learn version '[^']*' is not supported.*?version '([\d.]+)'", said, re.DOTALL)
    return match[1] if match and match[1].split(".")[:2] == here.split(".")[:2] else None


def _end_with_the_caller() -> None:
    """Standard input ends when the caller does, however it ends: Java must not outlive it."""
    while os.read(0, 4096):
        pass
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1])
