"""Java for PMML: which one there is, and processes that run it and leave nothing behind."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelver.errors import InvalidInput, Refused

TIMEOUT = 600
"""Seconds that a process may take to convert a model, or to answer a table of rows."""

OLDEST = 11
"""The oldest Java that sklearn2pmml runs on. Source: its README, "Prerequisites"."""

_OPTIONS = ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "JAVA_OPTS", "CLASSPATH", "PYPMML_JARS_DIR")
_START = 60


@dataclass(frozen=True, slots=True)
class Java:
    """A Java that is installed.

    Attributes:
        home: its folder.
        version: as it calls itself (``17.0.15``).
    """

    home: str
    version: str


def java() -> Java:
    """The Java of JAVA_HOME, or without that variable the one on the PATH.

    Raises:
        Refused: there is none, or it is older than `OLDEST`.
    """
    home = os.environ.get("JAVA_HOME")
    program = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    if program is None:
        raise Refused("PMML is made by Java, and there is no `java` on the PATH", hint=_INSTALL)
    try:
        done = subprocess.run(
            [program, "-XX:-UsePerfData", "-XshowSettings:properties", "-version"],
            capture_output=True, text=True, errors="replace", timeout=_START, check=False, env=_environment(),
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Refused(f"PMML is made by Java, and {program} does not run: {error}", hint=_INSTALL) from None
    said = dict(re.findall(r"^ *(java\.(?:home|version)) = (.+?) *$", done.stderr, re.MULTILINE))
    if done.returncode or len(said) != 2:
        raise Refused(f"PMML is made by Java, and {program} -version fails (status {done.returncode})", hint=_INSTALL)
    major = re.match(r"(?:1\.)?(\d+)", said["java.version"])
    if major is None or int(major[1]) < OLDEST:
        raise Refused(f"PMML needs Java {OLDEST} or later, {program} is {said['java.version']}", hint=_INSTALL)
    return Java(said["java.home"], said["java.version"])


def options(scratch: Path) -> list[str]:
    """Java's options: quick to start, and nothing outside of ``scratch``, no network either.

    sklearn2pmml's Java program reports its failures, with the versions of the packages here, to
    telemetry.jpmml.org: it finds a proxy where nothing listens.
    """
    return [
        "-XX:TieredStopAtLevel=1",
        "-XX:+UseSerialGC",
        "-XX:-UsePerfData",  # a file in the folder of temporary files, which a killed Java leaves
        f"-XX:ErrorFile={scratch / 'java-crash.txt'}",
        f"-Djava.io.tmpdir={scratch}",
        "-Dhttps.proxyHost=127.0.0.1",
        f"-Dhttps.proxyPort={NOBODY}",
        "-Dfile.encoding=UTF-8",
        "-Duser.language=en",
        "-Duser.country=US",
        "-Duser.timezone=UTC",
    ]


NOBODY = 9
"""A port of this machine that nothing answers on: "discard" of old."""


@contextmanager
def worker(script: Path, request: Mapping[str, Any], scratch: Path, found: Java) -> "Iterator[Worker]":
    """A process that runs ``script`` with a file of that request; it and all that it started end with the block.

    Args:
        script: a Python script that imports nothing of modelver's.
        request: written as JSON.
        scratch: a folder for temporary files; exists.
        found: the Java to run.
    """
    (scratch / "request.json").write_text(json.dumps(dict(request)), "utf-8")
    environment = {**_environment(), "TMPDIR": str(scratch), "JAVA_HOME": found.home}
    with (scratch / "said.txt").open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, "-B", "-P", str(script), str(scratch / "request.json")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said,
            env=environment, start_new_session=True,
        )  # fmt: skip
    try:
        yield Worker(process, scratch / "said.txt")
    finally:
        _end(process)
        process.communicate()


class Worker:
    """A running process that answers in lines."""

    def __init__(self, process: "subprocess.Popen[bytes]", said: Path) -> None:
        self._process = process
        self._said = said

    def answer(self) -> Any:
        """The next line, as JSON; None where the process ended without one.

        Raises:
            InvalidInput: it took longer than `TIMEOUT`; the process was ended.
        """
        assert self._process.stdout is not None
        late = threading.Event()

        def end() -> None:
            late.set()
            _end(self._process)

        watch = threading.Timer(TIMEOUT, end)
        watch.start()
        try:
            line = self._process.stdout.readline()
        finally:
            watch.cancel()
        if late.is_set():
            raise InvalidInput(f"Java took longer than {TIMEOUT:g} s, and was ended")
        return json.loads(line) if line.endswith(b"\n") else None

    def ask(self, text: str) -> Any:
        """Send a line, and wait for the answer, as `answer`."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # then there is no answer either
            self._process.stdin.write(text.encode() + b"\n")
            self._process.stdin.flush()
        return self.answer()

    def said(self) -> str:
        """What it wrote on standard error so far."""
        return self._said.read_text("utf-8", "replace")


def _end(process: "subprocess.Popen[bytes]") -> None:
    # Before the process is waited for, so that the number of its group is still its own.
    if process.returncode is None:
        with suppress(ProcessLookupError, PermissionError):  # PermissionError: macOS, of a group that has ended
            os.killpg(process.pid, signal.SIGKILL)


def _environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key not in _OPTIONS}


_INSTALL = (
    f"install Java {OLDEST} or later (apt-get install default-jre-headless), or set JAVA_HOME; "
    "the converter that it runs, JPMML-SkLearn, is under the AGPL-3.0"
)
