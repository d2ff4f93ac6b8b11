"""An SSH server with SFTP and Git for tests; run as a program: FOLDER holds `host_key`, `authorized` and `root`.

The last is its top, also for Git's paths. Of programs it runs those two with which Git is fetched from and pushed to.

Prints its port. What it does depends on who logs in:
- anybody: what is asked
- ``torn``: breaks the connection once 1 MiB of a file was written
- ``short``: says that a file ends in its middle
"""

import asyncio
import shlex
import sys
from pathlib import Path
from typing import Any

import asyncssh

TORN_AFTER = 1 << 20
GIT = ("git-upload-pack", "git-receive-pack")


class Server(asyncssh.SFTPServer):
    def __init__(self, channel: Any, top: Path) -> None:
        super().__init__(channel, chroot=str(top).encode())
        self._connection = channel.get_connection()
        self._user = self._connection.get_extra_info("username")
        self._sizes: dict[int, int] = {}

    def write(self, file_obj: Any, offset: int, data: bytes) -> int:
        if self._user == "torn" and offset + len(data) > TORN_AFTER:
            self._connection.abort()
            raise asyncssh.SFTPConnectionLost("torn")
        return super().write(file_obj, offset, data)

    def read(self, file_obj: Any, offset: int, size: int) -> bytes:
        if self._user == "short":
            end = file_obj.seek(0, 2) // 2
            size = max(0, min(size, end - offset))
        return super().read(file_obj, offset, size)


async def git(client: Any, top: Path) -> None:
    """What ``ssh HOST git-upload-pack /PATH`` asks for."""
    words = shlex.split(client.command or "")
    if len(words) != 2 or words[0] not in GIT:
        client.stderr.write(b"Git only\n")
        client.exit(1)
        return
    program = await asyncio.create_subprocess_exec(
        *words[:1], str(top / words[1].lstrip("/")),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    await client.redirect(stdin=program.stdin, stdout=program.stdout, stderr=program.stderr)
    client.exit(await program.wait())


async def serve(folder: Path) -> None:
    listener = await asyncssh.listen(
        "127.0.0.1",
        0,
        server_host_keys=[folder / "host_key"],
        authorized_client_keys=str(folder / "authorized"),
        sftp_factory=lambda channel: Server(channel, folder / "root"),
        process_factory=lambda client: git(client, folder / "root"),
        encoding=None,
    )
    print(listener.get_port(), flush=True)
    await listener.wait_closed()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
