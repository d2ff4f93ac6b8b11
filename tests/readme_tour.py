"""Plays the tour of README.md: writes its files, runs its commands, compares or rewrites what they print.

python tests/readme_tour.py        rewrites the outputs in README.md
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"
_BLOCK = re.compile(r"<!-- tour -->\n```console\n(.*?)```\n", re.DOTALL)
_FILE = re.compile(r"<!-- file: (\S+) -->\n```\w*\n(.*?)```\n", re.DOTALL)
_PART = re.compile(r"<!-- part of: (\S+) -->\n```\w*\n(.*?)```\n", re.DOTALL)
_MARK = "\x1eCOMMAND\x1e"


def commands(block: str) -> list[str]:
    return [line.removeprefix("$ ") for line in block.splitlines() if line.startswith("$ ")]


def play(text: str, folder: Path) -> list[str]:
    """Run all blocks in one shell; the blocks as they would read with what was printed."""
    blocks = [commands(match[1]) for match in _BLOCK.finditer(text)]
    (folder / "digits").mkdir()
    for name, content in _FILE.findall(text):
        (folder / "digits" / name).write_text(content)
    script = ["set -e", "exec 2>&1"]
    for block in blocks:
        for command in block:
            script += [f"printf '%s\\n' '{_MARK}'", command]
    env = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    env |= {
        "PATH": str(Path(sys.executable).parent) + os.pathsep + os.environ["PATH"],
        "HOME": str(folder), "XDG_CONFIG_HOME": str(folder / "config"), "DVC_NO_ANALYTICS": "1",
        "GIT_AUTHOR_NAME": "Ada", "GIT_AUTHOR_EMAIL": "ada@example.com",
        "GIT_COMMITTER_NAME": "Ada", "GIT_COMMITTER_EMAIL": "ada@example.com", "LC_ALL": "C.UTF-8",
    }  # fmt: skip
    done = subprocess.run(["bash", "-c", "\n".join(script)], cwd=folder, env=env, capture_output=True, text=True)
    printed = done.stdout.split(_MARK + "\n")[1:]
    if done.returncode != 0:
        raise AssertionError(f"the tour stopped with status {done.returncode}:\n{done.stdout[-3000:]}")
    outputs = iter(text.replace(str(folder), "/home/ada") for text in printed)
    return ["".join(f"$ {command}\n{next(outputs)}" for command in block) for block in blocks]


def normalised(block: str) -> str:
    """Without what differs from run to run: object ids, digests, times, versions of packages, the last decimals."""
    block = re.sub(r"\b[0-9a-f]{7,64}\b", "HEX", block)
    block = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "TIME", block)
    block = re.sub(r"\d+\.\d+\.\d+(?!\d)(?<!v)", lambda m: m[0], block)
    block = re.sub(r"(onnxruntime|scikit-learn) \d+\.\d+(\.\d+)?", r"\1 X", block)
    block = re.sub(r"(\d+\.\d{2})\d+", r"\1", block)
    return re.sub(r"[ \t]+", " ", block)


def blocks_in(text: str) -> list[str]:
    return [match[1] for match in _BLOCK.finditer(text)]


def quotes_in(text: str) -> list[tuple[str, list[str]]]:
    """Path and pieces (split at lines that hold only …) of what the README quotes from files of the repository."""
    return [(path, block.split("…\n")) for path, block in _PART.findall(text)]


def main() -> None:
    text = README.read_text("utf-8")
    with tempfile.TemporaryDirectory() as folder:
        played = iter(play(text, Path(folder)))
    README.write_text(_BLOCK.sub(lambda _: f"<!-- tour -->\n```console\n{next(played)}```\n", text), "utf-8")


if __name__ == "__main__":
    main()
