"""A Git server that accepts and falls silent, and an ssh that would ask: no command hangs, and none keeps a lock."""

import fcntl
import os
import pty
import select
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import pytest
from published import with_folder, with_hub
from sandbox import InProcess, Sandbox
from storages import SshServer, ssh_server

from modelver.adapters.git import patience

PATIENT = 25
"""Seconds after which the servers here end their silence by themselves, so that a fault ends too."""


@pytest.fixture(autouse=True)
def soon(monkeypatch) -> None:
    monkeypatch.setattr(patience, "SILENCE", 2)


@pytest.fixture
def box(tagged_repo: Sandbox) -> InProcess:
    with_hub(tagged_repo)
    with_folder(tagged_repo)
    tagged_repo.git("push", "-q", "origin", "main")
    return InProcess(tagged_repo.root, tagged_repo.env)


@contextmanager
def silent_port() -> Iterator[int]:
    """Whoever connects is accepted, and told nothing."""
    ended = Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            held = []
            server.settimeout(0.2)
            end = time.monotonic() + PATIENT
            while time.monotonic() < end and not ended.is_set():
                try:
                    held.append(server.accept()[0])
                except TimeoutError:
                    continue
            for connection in held:
                connection.close()

        thread = Thread(target=accept)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            ended.set()
            thread.join()


@contextmanager
def server_of(hub: Path, env: dict[str, str]) -> Iterator[str]:
    """Git's own server over http, which says what there is and falls silent where something is pushed."""
    ended = Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            if "git-receive-pack" in self.path:
                ended.wait(PATIENT)
                return
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            cgi = {
                "GIT_PROJECT_ROOT": str(hub.parent), "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path,
                "QUERY_STRING": query, "REQUEST_METHOD": self.command, "REMOTE_ADDR": "127.0.0.1",
                "CONTENT_TYPE": self.headers.get("Content-Type") or "", "CONTENT_LENGTH": str(len(body)),
                "GIT_PROTOCOL": self.headers.get("Git-Protocol") or "",
            }  # fmt: skip
            done = subprocess.run(
                ["git", "http-backend"], env=env | cgi, input=body, stdout=subprocess.PIPE, check=True
            )
            self.wfile.write(b"HTTP/1.0 200 OK\r\n" + done.stdout)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/{hub.name}"
    finally:
        ended.set()
        server.shutdown()
        server.server_close()


def test_a_push_is_given_up_where_the_server_falls_silent(box):
    hub = box.root.parent / "hub.git"
    with server_of(hub, box.env) as url:
        box.git("remote", "set-url", "origin", url)
        start = time.monotonic()
        done = box.mv("push", "m@v1.0.0", status=3)
    assert time.monotonic() - start < PATIENT - 5
    assert "m@v1.0.0" in done.err
    box.git("remote", "set-url", "origin", str(hub))
    box.mv("push", "m@v1.0.0")  # no lock is left
    assert box.run("git", "-C", str(hub), "tag").out == "m@v1.0.0\n"


@pytest.mark.parametrize("url", ["http://127.0.0.1:{port}/x.git", "ssh://u@127.0.0.1:{port}/x.git"])
def test_gc_gives_a_silent_server_up(box, url):
    with silent_port() as port:
        box.git("remote", "set-url", "origin", url.format(port=port))
        start = time.monotonic()
        done = box.mv("gc", "--yes", status=3)
        assert time.monotonic() - start < PATIENT - 5
    assert "nothing was removed" in done.err
    box.git("remote", "set-url", "origin", str(box.root.parent / "hub.git"))
    box.mv("gc", "--yes")


def test_what_the_user_has_set_goes_before(box):
    """Also where it is no limit at all, or a program of the user's own."""
    with silent_port() as port:
        box.git("remote", "set-url", "origin", f"ssh://u@127.0.0.1:{port}/x.git")
        own = box.write("../own/ssh", '#!/bin/sh\necho "$@" > "$0.called"\nexit 1\n')
        own.chmod(0o755)
        box.git("config", "core.sshCommand", str(own))
        box.mv("gc", "--yes", status=3)
        assert "BatchMode" not in own.with_name("ssh.called").read_text()
        box.git("remote", "set-url", "origin", f"http://127.0.0.1:{port}/x.git")
        box.git("config", "http.http://127.0.0.1.lowSpeedTime", "0")
        assert patience.patience(box.root, box.env)["GIT_HTTP_LOW_SPEED_LIMIT"] == "1"
        assert "GIT_HTTP_LOW_SPEED_TIME" not in patience.patience(box.root, box.env)


# Questions


@pytest.fixture
def unknown_host(tmp_path: Path) -> Iterator[SshServer]:
    """An SSH server whose key this machine has never seen."""
    with ssh_server(tmp_path / "ssh") as server:
        yield server


QUESTION = b"Are you sure you want to continue connecting"


def at_a_terminal(box: Sandbox, *args: str, user: bool) -> tuple[int | None, bytes]:
    """Run modelver in a session that has a terminal; status (None: it does not end) and what the terminal showed.

    With ``user`` standard input is the terminal too, and a question is answered with «no».
    """
    master, slave = pty.openpty()
    command = [sys.executable, "-P", "-m", "modelver", *args]
    shown = b""
    with subprocess.Popen(
        command, cwd=box.root, env=box.env, stdin=slave if user else subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, start_new_session=True, preexec_fn=lambda: fcntl.ioctl(slave, termios.TIOCSCTTY, 0),
    ) as running:  # fmt: skip
        os.close(slave)
        end = time.monotonic() + PATIENT
        while running.poll() is None and time.monotonic() < end:
            if select.select([master], [], [], 0.1)[0]:
                try:
                    shown += os.read(master, 4096)
                except OSError:  # nobody has it open any more
                    continue
            if user and QUESTION in shown:
                os.write(master, b"no\n")
                user = False
        status = running.poll()
        if status is None:
            os.killpg(running.pid, 9)
    os.close(master)
    return status, shown


@pytest.mark.parametrize("command", [("push", "m@v1.0.0"), ("get", "m@v1.0.0", "--repo")])
def test_nothing_is_asked_where_nobody_sits(box, unknown_host, command):
    url = f"ssh://u@127.0.0.1:{unknown_host.port}/x.git"
    box.git("remote", "set-url", "origin", url)
    status, shown = at_a_terminal(box, *command, *([url] if command[0] == "get" else []), user=False)
    assert QUESTION not in shown
    assert status == 3


def test_whoever_sits_at_a_terminal_is_asked(box, unknown_host):
    box.git("remote", "set-url", "origin", f"ssh://u@127.0.0.1:{unknown_host.port}/x.git")
    status, shown = at_a_terminal(box, "push", "m@v1.0.0", user=True)
    assert QUESTION in shown
    assert status == 3
