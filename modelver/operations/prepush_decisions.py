"""What the pre-push hook asks of decisions: that nobody was faster, and that others have the version that is to run."""

from collections.abc import Sequence

from modelver.adapters.git import GitRepository
from modelver.adapters.git.publish import push_address, remote_refs
from modelver.adapters.git.remotes import GitRemote
from modelver.core.names import parse_tag
from modelver.core.publish import refuse_dangling, refuse_overtaken
from modelver.core.registry import TagRecord, build_registry
from modelver.errors import Refused
from modelver.operations import known_tags

_TAGS = "refs/tags/"


def refuse_decisions(git: GitRepository, pushed: Sequence[tuple[str, str]], remote: str) -> tuple[str, str] | None:
    """What stands against the decisions that are about to be pushed: message and hint, or None.

    Args:
        git: the repository.
        pushed: the refs that shall be there, by their names there, and the objects that they shall name.
        remote: the Git remote: its name, or URL.

    Raises:
        ExternalFailure: the Git remote can't be asked.
    """
    tags = {ref.removeprefix(_TAGS): object_id for ref, object_id in pushed if ref.startswith(_TAGS)}
    records = []
    for name, object_id in tags.items():
        parsed, commit = parse_tag(name), git.rev_parse(object_id)
        if parsed is not None and parsed.environment is not None and commit is not None:
            records.append(TagRecord(name, object_id, commit, 0))
    if not records:
        return None
    shown = GitRemote(remote).shown
    found = remote_refs(git.root, push_address(git.root, remote), [f"{_TAGS}*@v*", f"{_TAGS}*#*"])
    there = {ref.removeprefix(_TAGS): object_id for ref, object_id in found.items()}
    names = {record.name for record in records}
    registry = build_registry([*(record for record in git.tags() if record.name not in names), *records])
    known_tags.overtaken(git, registry, there)
    new = [record for record in records if record.name not in there]  # over one that is there Git itself writes none
    try:
        refuse_overtaken(registry, there, shown, new)
        refuse_dangling(registry, there, shown, new, tags.keys())
    except Refused as error:
        return error.message, error.hint
    return None


__all__ = ["refuse_decisions"]
