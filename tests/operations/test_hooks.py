import os
import subprocess
import sys
from pathlib import Path

import pytest
from weights_repo import CALL, V1, V2, Repo

from modelver.adapters.git import GitRepository
from modelver.errors import InvalidInput
from modelver.operations import hooks


def _git(repo):
    return GitRepository.find(repo.root)


def _hooks(repo):
    return repo.root / ".git" / "hooks"


def _write(path, text, mode=0o755):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def _snapshot(folder):
    return {p.name: (p.is_symlink(), p.read_bytes(), p.stat().st_mode) for p in folder.iterdir()}


USER_HOOK = '#!/bin/sh\n# mine\necho "hook $0 $*" >> "$HOME/mine"\nexit {status}\n'


def _mine(repo):
    path = Path(repo.env["HOME"]) / "mine"
    return path.read_text().splitlines() if path.exists() else []


def test_python_starts_only_where_pointers_differ(repo):
    (repo.root / "code.py").write_text("x = 1\n")
    repo.run("dvc", "config", "core.analytics", "false")
    repo.git("add", "code.py", ".dvc/config")
    repo.git("commit", "-qm", "code")
    repo.calls()
    repo.git("checkout", "-q", "v2")
    repo.git("checkout", "-q", "-")
    repo.git("checkout", "-q", "-b", "other")
    repo.git("checkout", "-q", "v1", "--", "m/w.dvc")
    repo.git("reset", "-q", "--hard")
    assert repo.calls() == []
    repo.git("checkout", "-q", "v1")
    head, v1 = (repo.git("rev-parse", r).stdout.strip() for r in ("main", "v1"))
    assert repo.calls() == [f"{CALL} post-checkout {head} {v1} 1"]


def test_a_missing_modelver_warns_and_lets_the_checkout_pass(repo):
    for name in ("modelver", "interpreter"):
        (Path(repo.env["HOME"]).parent / "bin" / name).unlink()
    repo.env["PATH"] = "/usr/bin:/bin"
    done = repo.git("checkout", "-q", "v1")
    assert "modelver: not installed" in done.stderr
    assert repo.holds("m/w") == V2


def test_modelver_on_path_serves_where_the_interpreter_has_gone(repo):
    (Path(repo.env["HOME"]).parent / "bin/interpreter").unlink()
    repo.git("checkout", "-q", "v1")
    (call,) = repo.calls()
    assert call.startswith("hook post-checkout ")
    assert repo.holds("m/w") == V1


def test_without_a_path_the_interpreter_serves_and_no_folder_of_the_repository_is_run(repo):
    repo.env["PATH"] = "/usr/bin:/bin"
    _write(repo.root / "modelver/__init__.py", "raise SystemExit(7)\n")
    _write(repo.root / "yaml.py", "raise SystemExit(7)\n")
    repo.git("checkout", "-q", "v1")
    assert len(repo.calls()) == 1
    assert repo.holds("m/w") == V1


@pytest.mark.parametrize(
    "option", ["--literal-pathspecs", "--glob-pathspecs", "--noglob-pathspecs", "--icase-pathspecs"]
)
def test_how_git_is_told_to_read_paths_hides_no_pointer(repo, option):
    """Git hands these options on to its hooks, in whose paths they would mean something else."""
    repo.git(option, "checkout", "-q", "v1")
    assert repo.holds("m/w") == V1
    repo.git(option, "merge", "-q", "main")
    assert repo.holds("m/w") == V2
    assert len(repo.calls()) == 2


def test_a_users_own_hook_keeps_how_paths_are_read(repo):
    hooks.uninstall(_git(repo))
    _write(_hooks(repo) / "post-checkout", '#!/bin/sh\necho "$GIT_LITERAL_PATHSPECS" >> "$HOME/mine"\n')
    hooks.install(_git(repo))
    repo.git("--literal-pathspecs", "checkout", "-q", "v1")
    assert repo.holds("m/w") == V1
    assert _mine(repo) == ["1"]


def test_a_block_of_before_is_seen_and_renewed(repo):
    """One that a clone has from a modelver that did not know of these options."""
    path = _hooks(repo) / "post-checkout"
    kept = [line for line in path.read_text().splitlines(True) if "PATHSPECS" not in line]
    path.write_text("".join(kept))
    repo.git("--literal-pathspecs", "checkout", "-q", "v1")
    assert repo.holds("m/w") == V2, "this is what such a block does"
    repo.git("checkout", "-q", "main")
    modelver = (sys.executable, "-P", "-m", "modelver")
    repo.env.pop("CI", None)  # there doctor wants no hooks
    assert "hooks that are of another modelver: post-checkout" in repo.run(*modelver, "doctor", ok=False).stdout
    repo.run(*modelver, "init")
    repo.git("--literal-pathspecs", "checkout", "-q", "v1")
    assert repo.holds("m/w") == V1


def test_merge_and_pull(repo, tmp_path):
    subprocess.run(["git", "clone", "-q", repo.root, tmp_path / "clone"], check=True, env=repo.env)
    clone = Repo(tmp_path / "clone", repo.env)
    hooks.install(_git(clone))
    clone.run("dvc", "cache", "dir", "--local", str(repo.root / ".dvc/cache"))
    clone.git("reset", "-q", "--hard", "v1")
    hooks.run_hook(_git(clone), "post-rewrite", ["rebase"])
    assert clone.holds("m/w") == V1
    clone.git("pull", "-q")
    assert clone.holds("m/w") == V2
    clone.git("reset", "-q", "--hard", "v1")
    clone.git("merge", "-q", "--squash", "origin/main")
    clone.calls()


def test_rebase_ends_with_the_branchs_weights(repo):
    repo.git("checkout", "-q", "-b", "topic", "v1")
    (repo.root / "code.py").write_text("x = 1\n")
    repo.git("add", "code.py")
    repo.git("commit", "-qm", "code")
    repo.git("rebase", "-q", "main")
    assert repo.holds("m/w") == V2
    repo.git("checkout", "-q", "v1")
    repo.put("m/w", V1 | {"new": b"n"})
    repo.run("dvc", "add", "-q", "m/w")
    repo.git("checkout", "-q", "-b", "weights")
    repo.git("add", ".")
    repo.git("commit", "-qm", "weights")
    (repo.root / "base.py").write_text("x = 1\n")
    repo.git("checkout", "-q", "-b", "base", "v1")
    repo.git("add", "base.py")
    repo.git("commit", "-qm", "base")
    repo.git("checkout", "-q", "weights")
    repo.git("rebase", "-q", "base")
    assert repo.holds("m/w") == {**V1, "new": b"n"}


def test_install_is_idempotent_and_uninstall_leaves_nothing(bare_repo):
    before = _snapshot(_hooks(bare_repo))
    git = _git(bare_repo)
    assert [a.state for a in hooks.status(git)] == ["absent"] * len(hooks.HOOKS)
    assert [a.state for a in hooks.install(git)] == ["installed"] * len(hooks.HOOKS)
    installed = _snapshot(_hooks(bare_repo))
    assert [a.state for a in hooks.install(git)] == ["current"] * len(hooks.HOOKS)
    assert [a.state for a in hooks.status(git)] == ["current"] * len(hooks.HOOKS)
    assert _snapshot(_hooks(bare_repo)) == installed
    assert [a.state for a in hooks.uninstall(git)] == ["removed"] * len(hooks.HOOKS)
    assert _snapshot(_hooks(bare_repo)) == before
    assert [a.state for a in hooks.uninstall(git)] == ["absent"] * len(hooks.HOOKS)


def test_an_old_block_is_brought_up_to_date_in_its_place(bare_repo):
    path = _hooks(bare_repo) / "post-checkout"
    _write(path, "#!/bin/bash\necho one\n# >>> modelver >>>\nold\n# <<< modelver <<<\necho two\n")
    assert hooks.install(_git(bare_repo))[0].state == "updated"
    assert path.read_text().startswith("#!/bin/bash\necho one\n# >>> modelver >>>\n# Restores")
    hooks.uninstall(_git(bare_repo))
    assert path.read_text() == "#!/bin/bash\necho one\necho two\n"


def test_a_dry_run_writes_nothing(bare_repo):
    before = _snapshot(_hooks(bare_repo))
    hooks.install(_git(bare_repo), dry_run=True)
    assert _snapshot(_hooks(bare_repo)) == before


PYTHON_HOOK = (
    f"#!{sys.executable}\nimport os, sys\n"
    "open(os.environ['HOME'] + '/mine', 'a').write(' '.join(['hook', *sys.argv]) + '\\n')\nsys.exit({status})\n"
)


@pytest.mark.parametrize("text", [USER_HOOK, USER_HOOK.replace("/bin/sh", "/usr/bin/env bash"), PYTHON_HOOK])
@pytest.mark.parametrize("status", [0, 3])
def test_the_users_hook_keeps_running_with_arguments_and_status(bare_repo, text, status):
    path = _hooks(bare_repo) / "post-checkout"
    _write(path, text.replace("{status}", str(status)), 0o750)
    before = _snapshot(_hooks(bare_repo))
    hooks.install(_git(bare_repo))
    hooks.install(_git(bare_repo))
    v1, v2 = (bare_repo.git("rev-parse", r).stdout.strip() for r in ("v1", "v2"))
    done = bare_repo.git("checkout", "-q", "v1", ok=False)
    assert done.returncode == min(status, 1), "Git makes a 1 of it"
    (line,) = _mine(bare_repo)
    assert line.split()[2:] == [v2, v1, "1"]
    assert bare_repo.holds("m/w") == V1
    bare_repo.git("checkout", "-q", "v1", "--", "seed", ok=False)
    assert len(_mine(bare_repo)) == 2, "runs where modelver has nothing to do as well"
    assert bare_repo.run(".git/hooks/post-checkout", v2, v1, "1", ok=False).returncode == status
    hooks.uninstall(_git(bare_repo))
    assert _snapshot(_hooks(bare_repo)) == before


@pytest.mark.parametrize("text", [USER_HOOK, PYTHON_HOOK, ""])
def test_a_failed_restore_shows_in_the_status_beside_any_hook(bare_repo, text):
    if text:
        _write(_hooks(bare_repo) / "post-checkout", text.replace("{status}", "0"))
    hooks.install(_git(bare_repo))
    bare_repo.object(V1["tensors/b"]).unlink()
    assert bare_repo.git("checkout", "-q", "v1", ok=False).returncode == 1
    assert len(_mine(bare_repo)) == bool(text)


@pytest.mark.parametrize(
    "head", ["#!/bin/sh -eu\n", "#!/bin/bash\nset -euo pipefail\n", "#!/usr/bin/env bash\n", "", "#! /bin/dash\n"]
)
def test_shells_and_their_options(bare_repo, head):
    path = _hooks(bare_repo) / "post-checkout"
    _write(path, head + 'echo "hook $0 $*" >> "$HOME/mine"\n')
    hooks.install(_git(bare_repo))
    bare_repo.git("checkout", "-q", "v1")
    assert bare_repo.holds("m/w") == V1
    (line,) = _mine(bare_repo)
    assert line.split()[1].endswith("hooks/post-checkout"), "its name and folder stay"


def test_standard_input_goes_to_the_users_hook(bare_repo):
    _write(_hooks(bare_repo) / "post-rewrite", '#!/bin/sh\ncat >> "$HOME/mine"\n')
    hooks.install(_git(bare_repo))
    bare_repo.git("commit", "-q", "--amend", "-m", "again")
    assert len(_mine(bare_repo)) == 1
    bare_repo.run(".git/hooks/post-rewrite", "rebase", stdin="old new\n")
    assert _mine(bare_repo)[-1] == "old new"
    assert bare_repo.calls() == [f"{CALL} post-rewrite rebase"]


def test_a_hook_that_is_not_executable_stays_off(bare_repo):
    path = _hooks(bare_repo) / "post-checkout"
    _write(path, USER_HOOK.replace("{status}", "3"), 0o644)
    before = _snapshot(_hooks(bare_repo))
    hooks.install(_git(bare_repo))
    bare_repo.git("checkout", "-q", "v1")
    assert _mine(bare_repo) == []
    assert bare_repo.holds("m/w") == V1
    hooks.uninstall(_git(bare_repo))
    assert _snapshot(_hooks(bare_repo)) == before


def test_a_linked_hook_is_not_written_through(bare_repo, tmp_path):
    script = tmp_path / "shared.sh"
    _write(script, USER_HOOK.replace("{status}", "0"))
    (_hooks(bare_repo) / "post-checkout").symlink_to(script)
    text = script.read_text()
    hooks.install(_git(bare_repo))
    bare_repo.git("checkout", "-q", "v1")
    assert len(_mine(bare_repo)) == 1
    assert bare_repo.holds("m/w") == V1
    assert script.read_text() == text
    hooks.uninstall(_git(bare_repo))
    assert (_hooks(bare_repo) / "post-checkout").readlink() == script


def test_dvcs_own_hook(bare_repo):
    bare_repo.run("dvc", "install")
    before = _snapshot(_hooks(bare_repo))
    hooks.install(_git(bare_repo))
    bare_repo.git("checkout", "-q", "v1")
    assert bare_repo.holds("m/w") == V1
    assert len(bare_repo.calls()) == 1
    bare_repo.git("checkout", "-q", "v2")
    assert bare_repo.holds("m/w") == V2
    hooks.uninstall(_git(bare_repo))
    assert _snapshot(_hooks(bare_repo)) == before


CONFIG = """repos:
- repo: local
  hooks:
  - id: note
    name: note
    language: system
    entry: sh -c 'echo pre-commit >> "$HOME/mine"'
    stages: [post-checkout]
    always_run: true
"""


@pytest.mark.parametrize(
    "order",
    ["p m", "m p", "p m p", "m p m", "p m m p p", "u p m p", "u m p m", "u p p m", "m p -p", "p m -p", "u m p -p m"],
)
def test_beside_pre_commit_in_any_order(bare_repo, order):
    """``p``: pre-commit install, ``-p``: uninstall, ``m``: ours, ``u``: the user writes a hook first."""
    (bare_repo.root / ".pre-commit-config.yaml").write_text(CONFIG)
    bare_repo.git("add", ".pre-commit-config.yaml")
    bare_repo.env["PRE_COMMIT_HOME"] = str(bare_repo.root / ".git/pre-commit")
    for step in order.split():
        if step == "u":
            _write(_hooks(bare_repo) / "post-checkout", USER_HOOK.replace("{status}", "0"))
        elif step == "m":
            hooks.install(_git(bare_repo))
        else:
            action = "uninstall" if step == "-p" else "install"
            bare_repo.run("pre-commit", action, "-t", "post-checkout")
    assert [a.state for a in hooks.status(_git(bare_repo))] == ["current"] * len(hooks.HOOKS)
    for version, files in (("v1", V1), ("v2", V2)):
        bare_repo.git("checkout", "-q", version)
        assert bare_repo.holds("m/w") == files
    assert len(bare_repo.calls()) == 2
    mine = _mine(bare_repo)
    assert mine.count("pre-commit") == (0 if "-p" in order else 2)
    assert sum(line.startswith("hook") for line in mine) == (2 if "u" in order else 0)
    hooks.uninstall(_git(bare_repo))
    assert not any(b"modelver" in data for _, data, _ in _snapshot(_hooks(bare_repo)).values())
    bare_repo.git("checkout", "-q", "v1")
    assert bare_repo.holds("m/w") == V2
    assert len(_mine(bare_repo)) == len(mine) // 2 * 3


def test_a_hooks_folder_in_the_repository(bare_repo):
    bare_repo.git("config", "core.hooksPath", ".githooks")
    path = bare_repo.root / ".githooks/post-checkout"
    _write(path, USER_HOOK.replace("{status}", "0"))
    action = hooks.install(_git(bare_repo))[0]
    assert "commit it" in action.note
    assert sys.executable not in path.read_text(), "a tracked file names nothing of this machine"
    bare_repo.git("checkout", "-q", "v1")
    assert bare_repo.holds("m/w") == V1
    assert len(_mine(bare_repo)) == 1


def test_husky_generates_its_folder_so_the_one_above_is_used(bare_repo):
    generated = bare_repo.root / ".husky/_"
    _write(
        generated / "h",
        '#!/bin/sh\ns=$(dirname "$(dirname "$0")")/$(basename "$0")\n[ ! -f "$s" ] && exit 0\nsh -e "$s" "$@"\n',
    )
    for name in hooks.HOOKS:
        _write(generated / name, '#!/usr/bin/env sh\n. "$(dirname "$0")/h"\n')
    before = _snapshot(generated)
    bare_repo.git("config", "core.hooksPath", ".husky/_")
    assert hooks.install(_git(bare_repo))[0].path == bare_repo.root / ".husky/post-checkout"
    assert _snapshot(generated) == before
    bare_repo.git("checkout", "-q", "v1")
    assert bare_repo.holds("m/w") == V1


def test_a_global_hooks_folder_is_not_written(bare_repo, tmp_path):
    shared = tmp_path / "shared-hooks"
    shared.mkdir()
    bare_repo.git("config", "core.hooksPath", str(shared))
    actions = hooks.install(_git(bare_repo))
    assert [a.state for a in actions] == ["manual"] * len(hooks.HOOKS)
    assert 'modelver hook post-checkout "$@"' in actions[0].note
    assert list(shared.iterdir()) == []
    assert [a.state for a in hooks.uninstall(_git(bare_repo))] == ["absent"] * len(hooks.HOOKS)


def test_linked_working_trees_share_the_hooks(repo, tmp_path):
    repo.git("worktree", "add", "-q", str(tmp_path / "linked"), "v1")
    linked = Repo(tmp_path / "linked", repo.env)
    assert [a.state for a in hooks.status(_git(linked))] == ["current"] * len(hooks.HOOKS)
    zeros, v1 = "0" * 40, repo.git("rev-parse", "v1").stdout.strip()
    assert repo.calls() == [f"{CALL} post-checkout {zeros} {v1} 1"]
    assert linked.holds("m/w") == V1


def test_something_in_the_way_is_told(bare_repo):
    folder = _hooks(bare_repo)
    _write(folder / "post-checkout", PYTHON_HOOK.replace("{status}", "0"))
    _write(folder / "post-checkout.before-modelver", "#!/bin/sh\n")
    before = _snapshot(folder)
    action = hooks.install(_git(bare_repo))[0]
    assert action.state == "manual"
    assert "in the way" in action.note
    assert {k: v for k, v in _snapshot(folder).items() if k in before} == before


@pytest.mark.parametrize(
    ("name", "args"),
    [("pre-push", []), ("pre-commit", []), ("post-checkout", ["a"]), ("post-checkout", ["--x", "y", "1"])],
)
def test_bad_calls_are_refused(repo, name, args):
    with pytest.raises(InvalidInput):
        hooks.run_hook(_git(repo), name, args)


def test_scripts_are_posix(bare_repo):
    hooks.install(_git(bare_repo))
    for name in hooks.HOOKS:
        for shell in ("sh", "bash"):
            subprocess.run([shell, "-n", str(_hooks(bare_repo) / name)], check=True)
        assert os.access(_hooks(bare_repo) / name, os.X_OK)
