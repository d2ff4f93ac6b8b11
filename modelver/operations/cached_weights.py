"""The weights of any commit, out of DVC's cache, each file with the hash that the commit's pointer names."""

import shutil
from pathlib import Path

from modelver.adapters.dvc import DvcCache
from modelver.errors import InvalidInput, NotFound, Refused
from modelver.operations.facts import ModelFacts
from modelver.operations.project import Project


def check_out(project: Project, facts: ModelFacts, label: str, target: Path, *, what: str, instead: str = "") -> None:
    """Copy an ONNX model's files from the cache into the empty folder ``target``.

    Args:
        project: the repository.
        facts: of the commit.
        label: how to call the version in front of people.
        target: the folder; empty again if this raises.
        what: what can't be done where they are not there, for the message.
        instead: what else helps, for the hint.

    Raises:
        InvalidInput: it is no ONNX model.
        Refused: the cache lacks an object.
        CheckFailed: an object in the cache is damaged.
    """
    form = (facts.source or {}).get("format")
    if facts.weights is None or not facts.weights.is_dir or not isinstance(form, dict) or form.get("name") != "onnx":
        raise InvalidInput(f"{label} is no ONNX model, so {what}", hint="choose a version that is one")
    cache = DvcCache.find(project.root)
    try:
        for path, md5 in cache.read_dir(facts.weights.md5):
            place = target / path
            place.parent.mkdir(parents=True, exist_ok=True)
            cache.copy_out(md5, place)
    except NotFound as error:
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        raise Refused(
            f"the weights of {label} are not here, so {what}: {error.message}",
            hint=f"dvc fetch --all-tags {facts.path}" + (f"   (or {instead})" if instead else ""),
        ) from None
