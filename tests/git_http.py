"""A Git server over http for tests: Git's own ``http-backend`` behind Python's server, with basic authentication."""

import base64
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote, urlsplit


class GitHttp:
    """A server of the bare repositories below a folder, on this machine; as a proxy too, whatever host is asked for.

    Attributes:
        asked: method and path of each request, with whether its password was right.
    """

    def __init__(self, top: Path, env: dict[str, str], user: str, password: str) -> None:
        self.asked: list[tuple[str, bool]] = []
        wanted = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                right = self.headers.get("Authorization") == wanted
                server.asked.append((f"{self.command} {self.path}", right))
                data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if not right:
                    self.send_response(401)
                    self.send_header("WWW-Authenticate", "Basic realm=x")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                asked = urlsplit(self.path)  # a whole URL where this is a proxy
                more = {"GIT_PROJECT_ROOT": str(top), "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": asked.path,
                        "QUERY_STRING": asked.query, "REQUEST_METHOD": self.command, "REMOTE_USER": user,
                        "CONTENT_TYPE": self.headers.get("Content-Type") or "", "CONTENT_LENGTH": str(len(data)),
                        "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding") or ""}  # fmt: skip
                done = subprocess.run(
                    ["git", "http-backend"], env={**env, **more}, input=data, capture_output=True, check=True
                )
                head, _, body = done.stdout.partition(b"\r\n\r\n")
                lines = [line.partition(": ") for line in head.decode().split("\r\n")]
                status = next((value.split()[0] for name, _, value in lines if name == "Status"), "200")
                self.send_response(int(status))
                for name, _, value in lines:
                    if name != "Status":
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self._server.server_port}"
        self._user, self._password = user, password

    def url(self, name: str, host: str = "") -> str:
        """The URL of a repository, with user and password."""
        return f"http://{self._user}:{quote(self._password, safe='')}@{host or self.host}/{name}"

    @contextmanager
    def running(self) -> Iterator["GitHttp"]:
        """Serve until the block ends."""
        thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()
