"""DVC remotes that this clone may speak to without encryption."""

from modelver.adapters.git import GitRepository

SETTING = "modelver.plainHttp"
"""In Git's configuration: a host (``HOST``, ``HOST:PORT``) or URL that is on a safe line; may be there several times.

It is the user's word about the user's network, so it is in no file that others commit."""


def plain_lines(git: GitRepository, plain_http: bool = False) -> bool | tuple[str, ...]:
    """What `DvcRemote.open` is to be told of lines that are not encrypted.

    Args:
        git: the repository.
        plain_http: all of them are allowed, as ``--plain-http`` says.
    """
    if plain_http:
        return True
    found = git.run("config", "-z", "--get-all", SETTING, ok=(0, 1))
    return tuple(found.decode("utf-8", "replace").split("\0")[:-1])
