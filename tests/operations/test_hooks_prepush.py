"""The pre-push hook: a version tag whose weights are not stored does not go out by a plain `git push`."""

import shutil
import subprocess
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from published import FolderStorage, Hub, harm, needed, with_folder, with_hub
from sandbox import Sandbox
from weights_repo import CALL, Repo

from modelver.adapters.git import GitRepository
from modelver.operations import hooks

HOOK = ".git/hooks/pre-push"


@pytest.fixture
def hub(bare_repo: Repo, tmp_path: Path) -> Path:
    """A bare ``origin`` for the repository whose calls of modelver are noted; no DVC remote."""
    subprocess.run(["git", "init", "-q", "--bare", tmp_path / "hub.git"], check=True, env=bare_repo.env)
    bare_repo.git("remote", "add", "origin", str(tmp_path / "hub.git"))
    (bare_repo.root / "dvc.yaml").write_text("artifacts:\n  m:\n    path: m/w\n")
    bare_repo.git("add", "dvc.yaml")
    bare_repo.git("commit", "-qm", "a model")
    bare_repo.git("tag", "-a", "-m", "1", "m@v1.0.0")
    bare_repo.git("tag", "-a", "-m", "1", "m#prod#1")
    return tmp_path / "hub.git"


def there(repo: Repo, hub: Path) -> list[str]:
    return repo.run("git", "-C", str(hub), "for-each-ref", "--format=%(refname)").stdout.split()


def test_python_starts_only_for_tags_of_versions_and_decisions(repo, hub):
    repo.git("branch", "fix@v2")
    repo.git("push", "-q", "origin", "main", "fix@v2", "v1")
    repo.git("push", "-q", "origin", "main:refs/heads/refs/tags/m@v3")
    assert repo.calls() == []
    done = repo.git("push", "-q", "origin", "v2", "m@v1.0.0", ok=False)
    assert done.returncode == 1
    (call,) = repo.calls()
    assert call == f"{CALL} pre-push origin {hub}"
    assert "error: no DVC remote is configured" in done.stderr
    assert "refs/tags/v2" not in there(repo, hub)
    repo.git("push", "-q", "--no-verify", "origin", "m@v1.0.0")
    repo.calls()
    repo.git("push", "-q", "origin", ":m@v1.0.0")
    repo.git("push", "-q", "--no-verify", "origin", "m#prod#1")
    repo.git("push", "-q", "origin", ":m#prod#1")
    assert repo.calls() == [], "to delete one needs no weights"


def test_a_name_that_only_the_remote_has_counts(repo, hub):
    assert repo.git("push", "-q", "origin", "HEAD:refs/tags/m@v2.0.0", ok=False).returncode == 1
    assert there(repo, hub) == []


def test_a_missing_modelver_stops_version_tags_only(repo, hub):
    for name in ("modelver", "interpreter"):
        (Path(repo.env["HOME"]).parent / "bin" / name).unlink()
    repo.env["PATH"] = "/usr/bin:/bin"
    repo.git("push", "-q", "origin", "main")
    done = repo.git("push", "-q", "origin", "m@v1.0.0", ok=False)
    assert done.returncode == 1
    assert "modelver: not installed" in done.stderr
    assert there(repo, hub) == ["refs/heads/main"]


BODY = 'cat > "$HOME/stdin"\necho "$@" > "$HOME/args"\nexit {status}\n'


@pytest.mark.parametrize(
    "head", ["#!/bin/sh\n", "#!/bin/sh -eu\n", "#!/usr/bin/env bash\nset -euo pipefail\n", "python"]
)
def test_the_users_hook_gets_all_that_git_said(bare_repo, hub, head):
    hook = bare_repo.root / HOOK
    if head == "python":
        script = (
            "import os, sys\nhome = os.environ['HOME']\nopen(home + '/stdin', 'w').write(sys.stdin.read())\n"
            "open(home + '/args', 'w').write(' '.join(sys.argv[1:]) + '\\n')\n"
        )
        hook.write_text(f"#!{shutil.which('python3')}\n{script}")
    else:
        hook.write_text(head + BODY.format(status=0))
    hook.chmod(0o755)
    before = hook.read_bytes()
    hooks.install(GitRepository.find(bare_repo.root))
    main = bare_repo.git("rev-parse", "main").stdout.strip()
    bare_repo.git("push", "-q", "origin", "main", "v1")
    home = Path(bare_repo.env["HOME"])
    v1 = bare_repo.git("rev-parse", "v1").stdout.strip()
    zeros = "0" * 40
    assert (home / "stdin").read_text() == (
        f"refs/heads/main {main} refs/heads/main {zeros}\nrefs/tags/v1 {v1} refs/tags/v1 {zeros}\n"
    )
    assert (home / "args").read_text() == f"origin {hub}\n"
    bare_repo.git("push", "-q", "origin", "main")
    assert (home / "stdin").read_text() == "", "nothing to push, nothing said"
    hooks.uninstall(GitRepository.find(bare_repo.root))
    assert hook.read_bytes() == before


def test_many_refs_pass_through(bare_repo, hub):
    """More than a pipe holds."""
    hook = bare_repo.root / HOOK
    hook.write_text("#!/bin/sh\n" + BODY.format(status=0))
    hook.chmod(0o755)
    hooks.install(GitRepository.find(bare_repo.root))
    lines = "".join(f"refs/tags/t{n} {n:040x} refs/tags/t{n} {0:040x}\n" for n in range(1, 2001))
    assert len(lines) > 1 << 17
    bare_repo.run(HOOK, "origin", "url", stdin=lines)
    assert (Path(bare_repo.env["HOME"]) / "stdin").read_text() == lines


@pytest.mark.parametrize("status", [0, 3])
def test_the_users_no_counts(bare_repo, hub, status):
    hook = bare_repo.root / HOOK
    hook.write_text("#!/bin/sh\n" + BODY.format(status=status))
    hook.chmod(0o755)
    hooks.install(GitRepository.find(bare_repo.root))
    assert bare_repo.git("push", "-q", "origin", "main", ok=False).returncode == (1 if status else 0)
    assert bool(there(bare_repo, hub)) == (status == 0)


CONFIG = """repos:
- repo: local
  hooks:
  - id: note
    name: note
    language: system
    entry: sh -c 'echo "$PRE_COMMIT_REMOTE_BRANCH" >> "$HOME/mine"'
    stages: [pre-push]
    always_run: true
    pass_filenames: false
"""


@pytest.mark.parametrize("order", ["p m", "m p"])
def test_beside_pre_commit(bare_repo, hub, order):
    (bare_repo.root / ".pre-commit-config.yaml").write_text(CONFIG)
    bare_repo.git("add", ".pre-commit-config.yaml")
    bare_repo.env["PRE_COMMIT_HOME"] = str(bare_repo.root / ".git/pre-commit")
    for step in order.split():
        if step == "m":
            hooks.install(GitRepository.find(bare_repo.root))
        else:
            bare_repo.run("pre-commit", "install", "-t", "pre-push")
    bare_repo.git("push", "-q", "origin", "main")
    assert (Path(bare_repo.env["HOME"]) / "mine").read_text() == "refs/heads/main\n"
    assert bare_repo.git("push", "-q", "origin", "m@v1.0.0", ok=False).returncode == 1
    assert len(bare_repo.calls()) == 1
    assert there(bare_repo, hub) == ["refs/heads/main"]


# What it finds


@pytest.fixture
def place(model_repo: Sandbox) -> tuple[Sandbox, Hub, FolderStorage]:
    found = model_repo, with_hub(model_repo), with_folder(model_repo)
    model_repo.mv("tag", "m")
    return found


def test_a_plain_push_is_stopped_and_the_hint_mends_it(place):
    box, hub, _ = place
    done = box.run("git", "push", "origin", "main", "m@v1.0.0", status=1)
    assert "error: m@v1.0.0 is not pushed: 3 of its 3 objects are missing or wrong on DVC remote storage" in done.err
    assert hub.refs() == {}
    assert box.hint(done) == "modelver push m@v1.0.0"
    box.mend(done)
    assert hub.tags() == ["m@v1.0.0"]


@pytest.mark.parametrize("how", ["flip", "truncate", "delete"])
def test_weights_that_are_wrong_there_stop_it_too(place, how):
    """DVC itself says of the flipped one that all is well."""
    box, hub, storage = place
    box.dvc("push", "-q")
    for name in needed(box, "v1.0.0"):
        data = storage.objects()[name]
        harm(storage, name, how)
        done = box.run("git", "push", "-q", "origin", "m@v1.0.0", status=1)
        assert f"({name})" in done.err
        assert hub.refs() == {}
        storage.path(name).write_bytes(data)
    box.git("push", "-q", "origin", "m@v1.0.0")
    assert hub.tags() == ["m@v1.0.0"]


def test_by_the_command_that_a_shared_hooks_folder_calls(place):
    box, _, _ = place
    lines = f"refs/tags/m@v1.0.0 {box.git('rev-parse', 'm@v1.0.0')} refs/tags/m@v1.0.0 {'0' * 40}\n"
    assert "hint: modelver push m@v1.0.0" in box.mv("hook", "pre-push", "origin", "url", stdin=lines, status=1).err
    box.dvc("push", "-q")
    box.mv("hook", "pre-push", "origin", "url", stdin=lines)
    box.mv("hook", "pre-push", "origin", "url", stdin="nonsense\n", status=2)
    box.mv("hook", "pre-push", "origin", status=2)


def test_yanks_decisions_and_strangers_pass(place):
    box, hub, _ = place
    box.mv("yank", "v1.0.0")
    box.git("tag", "-a", "-m", "no model", "dataset@v1.0.0")
    box.git("push", "-q", "origin", "m@v1.0.0!", "dataset@v1.0.0")
    assert hub.tags() == ["dataset@v1.0.0", "m@v1.0.0!"]


# A remote that is on a safe line without encryption


@pytest.fixture
def open_line(place) -> Iterator[str]:
    """The storage, with the weights in it, as a web server on an address that is not the loopback one."""
    box, _, storage = place
    box.dvc("push", "-q")
    handler = partial(SimpleHTTPRequestHandler, directory=str(storage.root))
    server = ThreadingHTTPServer(("0.0.0.0", 0), handler)
    Thread(target=server.serve_forever, daemon=True).start()
    where = f"http://0.0.0.0:{server.server_port}"
    box.write(".dvc/config", f"[core]\n    remote = storage\n['remote \"storage\"']\n    url = {where}\n")
    box.commit("the storage by the web", ".dvc/config")
    yield where
    server.shutdown()
    server.server_close()


def test_the_clones_own_setting_lets_the_hook_pass(place, open_line):
    """A hook can be given no option."""
    box, hub, _ = place
    done = box.run("git", "push", "-q", "origin", "m@v1.0.0", status=1)
    assert "http is not encrypted" in done.err
    command = f"git config --add modelver.plainHttp {open_line}"
    assert command in box.hint(done)
    box.git("config", "--add", "modelver.plainHttp", "elsewhere.example")
    box.run("git", "push", "-q", "origin", "m@v1.0.0", status=1)
    assert hub.refs() == {}
    box.run("sh", "-c", command)
    box.git("push", "-q", "origin", "m@v1.0.0")
    assert hub.tags() == ["m@v1.0.0"]


def test_push_and_verify_go_by_that_setting_too(place, open_line):
    box, hub, _ = place
    assert "modelver.plainHttp" in box.mv("push", "m@v1.0.0", status=2).err
    assert hub.refs() == {}
    box.git("config", "modelver.plainHttp", "0.0.0.0")
    box.mv("push", "m@v1.0.0")
    assert hub.tags() == ["m@v1.0.0"]
    box.mv("verify", "m@v1.0.0", "--remote")
