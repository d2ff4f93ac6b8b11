"""What a command may replace unasked: files whose bytes Git or DVC's cache holds too, so that nobody's work is lost."""

import os
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from stat import S_ISLNK, S_ISREG

from modelver.adapters.dvc import DvcCache
from modelver.adapters.git import GitRepository
from modelver.core.printable import printable
from modelver.disk import HashCache
from modelver.errors import Refused


def refuse_unheld_text(git: GitRepository, paths: Iterable[str], *, drop: str) -> None:
    """Raise Refused where generated files were edited by hand, and nothing but the working tree holds the edit.

    Git holds what was committed or staged, and what modelver wrote itself: each file that it writes is a blob first. So
    a file that was generated, and not committed yet, may be generated anew.

    Args:
        git: the repository.
        paths: files that are about to be replaced, relative to the working tree's top; one that is absent counts as
            held.
        drop: the command that replaces them all the same.
    """
    edited = [path for path in paths if (git.root / path).is_file() and not _in_git(git, path)]
    if edited:
        raise Refused(
            f"edited by hand, and neither committed nor staged: {_listed(edited)}; it would be generated anew",
            hint=f"{drop}   (drops the edit; people's words belong into README.md and params.yaml)",
        )


def refuse_unheld_weights(
    weights: Path,
    label: str,
    incoming: Collection[str],
    recorded: Collection[str],
    cache: DvcCache,
    hashes: HashCache,
    *,
    drop: str,
) -> None:
    """Raise Refused where a weights folder that is about to be replaced holds work that nothing else holds.

    The rule is that of `modelver.core.restore.plan`, and an object of the cache counts only if its bytes are right.
    What the record names and the cache lacks, or has damaged, is put into the cache: it may be the last copy.

    Args:
        weights: the folder, or whatever lies in its place.
        label: what to call it.
        incoming: MD5s of the files that will be there, or are somewhere else.
        recorded: MD5s of the files that the model's manifest names.
        cache, hashes: of the repository.
        drop: the command that replaces it all the same.

    Raises:
        Refused: as said.
        ExternalFailure: a file there can't be read.
    """
    own = []
    for file in _files(weights):
        mode = file.lstat().st_mode
        if S_ISREG(mode):
            md5 = hashes.digest(file).md5
            held = md5 in incoming or cache.whole(md5, hashes)
            if not held and md5 in recorded:
                cache.add(file, md5, hashes=hashes)
                held = True
        else:
            linked = cache.holds(file) if S_ISLNK(mode) else None
            held = linked is not None and cache.whole(linked, hashes)
        if not held:
            own.append(f"{label}/{file.relative_to(weights).as_posix()}" if file != weights else label)
    if own:
        raise Refused(
            f"neither Git nor DVC's cache holds {_listed(own)}, and new weights would replace {label} whole",
            hint=f"{drop}   (drops what is there; or move it elsewhere first)",
        )


def _in_git(git: GitRepository, path: str) -> bool:
    """Whether Git's object database holds a file's bytes, as they are or as `git add` would store them."""
    data = (git.root / path).read_bytes()
    for form in ("--no-filters", f"--path={path}"):  # with core.autocrlf a committed file has other bytes here
        blob = git.run("hash-object", "--stdin", form, stdin=data).decode().strip()
        if not git.run("cat-file", "--batch-check", stdin=f"{blob}\n".encode()).endswith(b" missing\n"):
            return True
    return False


def _files(place: Path) -> Iterator[Path]:
    """What lies at a place that is no folder: files, links (to folders as well), FIFOs, …, in the order of paths."""
    if place.is_symlink() or not place.is_dir():
        yield from [place] if os.path.lexists(place) else []
        return
    for entry in sorted(place.iterdir()):
        yield from _files(entry)


def _listed(paths: list[str]) -> str:
    more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
    return ", ".join(printable(path) for path in paths[:3]) + more
