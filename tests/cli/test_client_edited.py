"""`modelver client -o` where the module was changed by hand, or something else is in its place."""

import os
from pathlib import Path

import pytest
from sandbox import Sandbox

import models


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    """A repository with two versions of the model ``m``."""
    from sandbox import environment, start

    tmp = tmp_path_factory.mktemp("edited")
    made = start(tmp / "repo", environment(tmp / "home"))
    for seed in (1, 2):
        made.mv("add", "m", str(models.onnx(tmp / "m.onnx", seed)))
        made.commit(f"m {seed}")
        made.mv("tag", "m")
    return made


@pytest.mark.parametrize(("lang", "name"), [("python", "m_client.py"), ("typescript", "m_client.ts")])
def test_a_changed_module_is_kept(box: Sandbox, tmp_path: Path, lang: str, name: str) -> None:
    """It was replaced as long as its line `Written by` was there."""
    command = ("client", "m@latest", "--lang", lang, "-o", str(tmp_path))
    first = ("client", "m@v1.0.0", *command[2:])
    path = tmp_path / name
    box.mv(*first)
    box.mv(*command)  # another version's module, untouched, is replaced
    written = path.read_bytes()
    assert b"v1.0.0" not in written
    for edited in (
        written.replace(b"onnxruntime", b"onnxruntime, and patience", 1),
        written.replace(b"\n", b"\n\n", 1),
        written + b"# mine\n",
        b"".join(written.splitlines(keepends=True)[:-1]),
        written[:-2] + b"\n",
    ):
        path.write_bytes(edited)
        done = box.refused(*command)
        assert str(path) in done.err
        assert "--force" in done.err
        assert path.read_bytes() == edited
    box.mv(*command, "--force")
    assert path.read_bytes() == written
    path.write_bytes(written.replace(b"\n", b"\r\n"))  # as Git checks it out with core.autocrlf
    box.mv(*command)
    assert path.read_bytes() == written


@pytest.mark.parametrize("force", [(), ("--force",)])
@pytest.mark.parametrize("kind", ["folder", "FIFO", "link", "dangling link"])
def test_what_is_no_file_is_left_alone(box: Sandbox, tmp_path: Path, kind: str, force: tuple[str, ...]) -> None:
    place = tmp_path / "m_client.py"
    if kind == "folder":
        place.mkdir()
    elif kind == "FIFO":
        os.mkfifo(place)
    else:
        place.symlink_to("elsewhere")
        if kind == "link":
            (tmp_path / "elsewhere").write_text("mine\n")
    before = sorted(tmp_path.iterdir())
    assert "no regular file" in box.refused("client", "m@v1.0.0", "-o", str(tmp_path), *force).err
    assert sorted(tmp_path.iterdir()) == before
