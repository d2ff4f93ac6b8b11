"""PMML of scikit-learn models: made by sklearn2pmml in a process of its own, and scored back by PMML4S in another.

sklearn2pmml, and the JPMML libraries that it runs in Java, are under the GNU AGPL-3.0. Nothing here imports them: they
run only where a user asks for PMML, in processes that hold no code of modelver's but a script of a few lines. PMML4S,
by pypmml, is under the Apache-2.0 and shares no code with them.
"""

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
from typing import NoReturn

from modelver.errors import InvalidInput, Refused
from modelver.optimizers import pmml_process as process
from modelver.optimizers.pmml_convert import MARK
from modelver.optimizers.pmml_process import Java

METHOD = "pmml"
FILE = "model.pmml"

LICENCE = "AGPL-3.0"
"""The licence of the converter, not of what it makes. Source: sklearn2pmml's metadata and LICENSE.txt."""

EVALUATOR_LICENCE = "Apache-2.0"

CONVERT = Path(__file__).with_name("pmml_convert.py")
SCORE = Path(__file__).with_name("pmml_score.py")

_HEAD = 1 << 16
_TIMESTAMP = re.compile(rb"[ \t]*<Timestamp>[^<]*</Timestamp>\r?\n?")
_JARS = ("pmml-converter", "pmml-model", "pmml-python", "pmml-sklearn")


@dataclass(frozen=True)
class Tools:
    """What makes PMML here, and what scores it.

    Attributes:
        java: the Java that runs both.
        sklearn2pmml, pypmml, sklearn: versions.
        jars: the converter's main libraries → their versions.
    """

    java: Java
    sklearn2pmml: str
    pypmml: str
    sklearn: str
    jars: Mapping[str, str]


def require() -> Tools:
    """The tools; nothing of them is imported, and only ``java -version`` is run.

    Raises:
        Refused: one of them is missing; the hint says what to install, and under which licence it is.
    """
    versions = {}
    for package in ("scikit-learn", "sklearn2pmml", "pypmml"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            raise Refused(
                f"PMML needs the package {package}, which is not installed",
                hint=f"pip install 'modelver[pmml]'   (sklearn2pmml is under the {LICENCE}; Java {process.OLDEST} or "
                "later is needed, too)",
            ) from None
    jars = {}
    for file in distribution("sklearn2pmml").files or ():
        match = re.fullmatch(r"(pmml-[a-z]+)-(\d[\w.]*)\.jar", file.name)
        if match and match[1] in _JARS:
            jars[match[1]] = match[2]
    return Tools(
        process.java(),
        versions["sklearn2pmml"],
        versions["pypmml"],
        versions["scikit-learn"],
        dict(sorted(jars.items())),
    )


def convert(
    tools: Tools, source: Path, output: Path, scratch: Path, target: str, fields: Sequence[str] | None = None
) -> str | None:
    """Write PMML of a joblib or pickle file, the same bytes on each run and in each folder.

    The process that opens the file runs code that it contains.

    Args:
        tools: from `require`.
        source: the fitted model.
        output: where to write; the folder exists.
        scratch: a folder for temporary files; exists.
        target: what the predicted field is called.
        fields: what the columns are called, in order; None for the names that the model was fitted with, or else
            ``x1``, ``x2``, ….

    Returns:
        The version of scikit-learn that the converter was told; None where that is the one that is installed.

    Raises:
        InvalidInput: the model cannot be converted; the message says what the converter says.
        Refused: the converter is too old.
    """
    request = {
        "source": str(source.resolve()),
        "output": str(output.resolve()),
        "target": target,
        "fields": None if fields is None else list(fields),
        "java_home": tools.java.home,
        "java_options": process.options(scratch.resolve()),
    }
    with process.worker(CONVERT, request, scratch, tools.java) as worker:
        done = worker.answer()
        if done is None or not output.is_file():
            _refuse(worker.said(), tools)
    _strip(output)
    told: str | None = done["told"]
    return told


def _refuse(said: str, tools: Tools) -> NoReturn:
    if "package has expired" in said:
        raise Refused(
            f"sklearn2pmml {tools.sklearn2pmml} has expired: each release stops working twelve months after its build",
            hint="pip install --upgrade sklearn2pmml",
        )
    model = re.search(rf"^{MARK}(.+)$", said, re.MULTILINE)
    found = re.findall(r"^[\w.$]+(?:Exception|Error): (.+)$", said.partition("Traceback (")[0], re.MULTILINE)
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    solution = re.search(r"^Solution:\s*\n\s*(.+)$", said, re.MULTILINE)
    what = ": ".join(found[:2]) or (lines[-1] if lines else "no word why")
    raise InvalidInput(
        f"sklearn2pmml {tools.sklearn2pmml} cannot convert {f'the {model[1]}' if model else 'it'}: {what[:300]}",
        hint=f"it advises: {solution[1]}" if solution else "remove the variant from params.yaml: it has no PMML",
    )


def _strip(path: Path) -> None:
    """Remove the time of day from the header: the one thing that two runs differ in."""
    stripped = path.with_suffix(".stripped")
    with path.open("rb") as file, stripped.open("wb") as target:
        head = file.read(_HEAD)
        end = head.find(b"</Header>")
        target.write(_TIMESTAMP.sub(b"", head[:end]) + head[end:])
        shutil.copyfileobj(file, target, 1 << 20)
    stripped.replace(path)
