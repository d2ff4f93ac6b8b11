"""DVC, by its Python API: a project's set-up, `dvc add`, and whether its stages are current."""

import importlib
import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

from modelver.disk import write_atomic
from modelver.errors import ExternalFailure, InvalidInput, ModelverError


@dataclass(frozen=True, slots=True)
class StaleStage:
    """A stage that DVC would run again.

    Attributes:
        name: as DVC shows it (``export@digits``).
        reasons: what changed, in words.
    """

    name: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StageFacts:
    """A stage of ``dvc.yaml``, with its templating resolved.

    Attributes:
        name: as DVC shows it.
        outs: paths relative to the repository's root.
    """

    name: str
    outs: tuple[str, ...]


def init(root: Path) -> None:
    """`dvc init` in a Git repository's root.

    Raises:
        ExternalFailure: DVC refused, or the disk failed; nothing of it is left then.
    """
    made = [path for path in (root / ".dvc", root / ".dvcignore") if not os.path.lexists(path)]
    with _dvc_errors(), _quiet(), _without_last_words():
        from dvc.repo import Repo

        failed = ""
        try:
            Repo.init(str(root)).close()
        except BaseException as error:
            # a `.dvc` that is there counts as made, also one whose .gitignore is empty: the cache would get into Git
            for path in made:
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
            if not isinstance(error, OSError):
                raise
            failed = error.strerror or str(error)
        if failed:  # no sooner has the error let go of the files that it holds
            raise ExternalFailure(f"dvc init in {root} failed: {failed}")


def add(root: Path, path: str) -> None:
    """`dvc add PATH`: into the cache, with a pointer file beside it.

    Raises:
        ExternalFailure: DVC refused.
    """
    with _repo(root) as repo:
        before = _halves(repo)
        try:
            repo.add(str(root / path))
        except BaseException:
            # on a full disk DVC leaves what it has of a file, and nobody looks for it
            for half in _halves(repo) - before:
                half.unlink(missing_ok=True)
            _remove_torn_lock(Path(repo.tmp_dir) / "rwlock")
            raise


def _remove_torn_lock(rwlock: Path) -> None:
    """DVC writes it in place, and refuses to work as long as it is no JSON; this process held it last."""
    try:
        json.loads(rwlock.read_bytes())
    except (ValueError, RecursionError):
        rwlock.unlink(missing_ok=True)
    except OSError:
        return


def _halves(repo: Any) -> set[Path]:
    """What is on its way into DVC's cache (names of ``dvc_objects.fs.utils.tmp_fname``)."""
    top = Path(repo.cache.local.path)
    return {*top.glob(".*.tmp"), *top.glob("[0-9a-f][0-9a-f]/.*.tmp")}


def add_default_remote(root: Path, url: str) -> None:
    """`dvc remote add --default storage URL`, in the configuration that is committed; what else stands there stays.

    Raises:
        ExternalFailure: DVC refused.
    """
    config = root / ".dvc" / "config"
    before = config.read_bytes() if config.is_file() else b""
    # By the command: only that one turns a folder relative to where the user stands into one relative to `.dvc`.
    # -P: a file of the repository that happens to be called dvc.py is not DVC.
    command = [sys.executable, "-P", "-m", "dvc", "remote", "add", "--quiet", "--default", "--force"]
    command += ["--", "storage", url]
    env = {**os.environ, "DVC_NO_ANALYTICS": "1"}
    done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or [done.stderr]
        raise ExternalFailure(f"dvc remote add failed: {' '.join(lines[0].removeprefix('ERROR:').split())[:300]}")
    if before.strip():
        write_atomic(config, _with_what_was(before, config.read_bytes()))


def _with_what_was(before: bytes, after: bytes) -> bytes:
    """DVC's configuration with the comments, and the options of a remote, that DVC drops where it writes."""
    from configobj import ConfigObj  # DVC's own parser

    merged = ConfigObj(before.decode("utf-8").splitlines(), interpolation=False)
    merged.merge(ConfigObj(after.decode("utf-8").splitlines(), interpolation=False))
    return "".join(f"{line}\n" for line in merged.write()).encode()


def stages(root: Path) -> list[StageFacts]:
    """All stages of the working tree's ``dvc.yaml`` files.

    Raises:
        InvalidInput: a ``dvc.yaml`` that DVC can't read.
    """
    with _repo(root) as repo:
        found = []
        for stage in repo.index.stages:
            if getattr(stage, "name", None):
                outs = tuple(os.path.relpath(out.fs_path, root).replace(os.sep, "/") for out in stage.outs)
                found.append(StageFacts(stage.addressing, outs))
        return found


def preload() -> None:
    """Begin to import DVC in another thread: it takes half a second, in which the caller's Git commands run.

    Whoever needs DVC meanwhile waits for the same import. A command that ends before it does not wait.
    """
    Thread(target=_import_dvc, name="import dvc", daemon=True).start()


def _import_dvc() -> None:
    importlib.import_module("dvc.repo")


def stale_stages(root: Path, targets: Sequence[str], *, allow_missing: bool) -> list[StaleStage]:
    """Of these stages and all that they depend on: those that `dvc repro` would run, in the order it would.

    Args:
        root: the repository.
        targets: stages by name.
        allow_missing: data that is not on this machine is no change; then only hashes in Git are compared.
    """
    # DVC finds stages by name, and calls paths, relative to the current folder.
    with chdir(root), _repo(root) as repo:
        wanted: dict[str, Any] = {}
        for target in targets:
            for stage in repo.stage.collect(target, with_deps=True):
                wanted.setdefault(stage.addressing, stage)
        stale: list[StaleStage] = []
        changed_outs: set[str] = set()
        with repo.lock:
            for stage in _upstream_first(repo, wanted):
                reasons = tuple(_reasons(stage, wanted.values(), changed_outs, allow_missing=allow_missing))
                if reasons:
                    stale.append(StaleStage(stage.addressing, reasons))
                    changed_outs.update(out.fs_path for out in stage.outs)
        return stale


def repro(root: Path, targets: Sequence[str]) -> None:
    """`dvc repro TARGETS`, its output on standard error.

    Raises:
        ExternalFailure: a stage failed.
    """
    _dvc(root, "repro", targets)


def fetch(root: Path, targets: Sequence[str]) -> None:
    """`dvc fetch TARGETS`: from the remote into the cache; the working tree is not touched.

    Raises:
        ExternalFailure: the remote can't be reached, or does not have all of it.
    """
    _dvc(root, "fetch", targets)


def _dvc(root: Path, verb: str, targets: Sequence[str]) -> None:
    env = {**os.environ, "DVC_NO_ANALYTICS": "1"}
    # The stages call `modelver`: the one that runs now comes first.
    env["PATH"] = str(Path(sys.executable).parent) + os.pathsep + env.get("PATH", "")
    command = [sys.executable, "-P", "-m", "dvc", verb, *targets]
    # by its number: what a notebook puts in the place of sys.stderr has no file
    done = subprocess.run(command, cwd=root, env=env, stdout=2, check=False)
    if done.returncode != 0:
        raise ExternalFailure(f"dvc {verb} {' '.join(targets)} ended with status {done.returncode}")


def _upstream_first(repo: Any, wanted: dict[str, Any]) -> Iterator[Any]:
    """The wanted stages in an order in which each comes after what it depends on."""
    done: set[str] = set()

    def visit(stage: Any) -> Iterator[Any]:
        if stage.addressing in done:
            return
        done.add(stage.addressing)
        for upstream in repo.index.graph.successors(stage):
            if upstream.addressing in wanted:
                yield from visit(upstream)
        yield stage

    for stage in wanted.values():
        yield from visit(stage)


def _reasons(stage: Any, others: Iterable[Any], changed_outs: set[str], *, allow_missing: bool) -> Iterator[str]:
    """Why DVC would run a stage again; the rules are those of ``dvc.stage.Stage.changed``."""
    if getattr(stage, "frozen", False):
        return
    if not stage.is_data_source and stage.is_callback:
        yield "it has no dependencies, so it always runs"
    if getattr(stage, "cmd_changed", False) or stage.changed_stage():
        yield "its command changed"
    locked = {out.fs_path: out.hash_info for other in others for out in other.outs}
    for dep in stage.deps:
        if dep.fs_path in changed_outs:
            yield f"{dep} will change"
            continue
        for what, state in _flat(dep.status()):
            if allow_missing and state == "deleted":
                if dep.fs_path in locked and locked[dep.fs_path] != dep.hash_info:
                    yield f"{what} is another than it ran on"
                continue
            yield f"{what} is {state}"
    for out in stage.outs:
        for what, state in _flat(out.status()):
            if not (allow_missing and state in ("deleted", "not in cache")):
                yield f"{what} is {state}"


def _flat(status: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """DVC's status of one dependency: ``{path: state}``, or ``{file: {param: state}}`` for params."""
    for what, state in status.items():
        if isinstance(state, dict):
            yield from ((f"{key} ({what})", str(value)) for key, value in state.items())
        else:
            yield what, str(state)


@contextmanager
def _repo(root: Path) -> Iterator[Any]:
    with _dvc_errors(), _quiet():
        from dvc.repo import Repo

        repo = Repo(str(root))
        try:
            yield repo
        finally:
            repo.close()


@contextmanager
def _quiet() -> Iterator[None]:
    """DVC logs what it does; modelver's own commands say it in their words."""
    logger = logging.getLogger("dvc")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextmanager
def _without_last_words() -> Iterator[None]:
    """DVC's Git library closes once more what it could not write, as that is collected; Python prints why not."""
    before = sys.unraisablehook
    sys.unraisablehook = lambda _: None
    try:
        yield
    finally:
        sys.unraisablehook = before


@contextmanager
def _dvc_errors() -> Iterator[None]:
    from dvc.exceptions import DvcException

    try:
        yield
    except ModelverError:
        raise
    except DvcException as error:
        text = " ".join(str(error).split())
        cause = f" ({' '.join(str(error.__cause__).split())[:300]})" if error.__cause__ else ""
        kind = InvalidInput if "validation" in text.lower() or "is invalid" in text.lower() else ExternalFailure
        raise kind(f"DVC: {text}{cause}") from None
