"""A WSGI filter that lets every n-th request fail; for `Swift.faulty`, whose server imports it: no import but these.

Settings: ``n``; ``mode``: ``503`` answers so, ``reset`` does what was asked and closes the connection without a word,
``truncate`` gives half of an answer's body (of a request's body: takes half), then closes; ``method``: only requests of
it count and fail, such as GET; ``log``: a file that gets a line for each request that failed.
"""

import socket
import struct
import threading
from pathlib import Path


def factory(global_conf, n="0", mode="503", method="", log="", **_):
    return lambda app: Faulty(app, int(n), mode, method, log)


class Faulty:
    def __init__(self, app, n, mode, method, log):
        self.app = app
        self.n = n
        self.mode = mode
        self.method = method
        self.log = log
        self.count = 0
        self.lock = threading.Lock()

    def __call__(self, env, start_response):
        if env["PATH_INFO"] == "/healthcheck" or (self.method and env["REQUEST_METHOD"] != self.method):
            return self.app(env, start_response)
        with self.lock:
            self.count += 1
            fails = self.n > 0 and self.count % self.n == 0
        if not fails:
            return self.app(env, start_response)
        if self.log:
            with Path(self.log).open("a") as file:
                file.write(f"{self.mode} {env['REQUEST_METHOD']} {env['PATH_INFO']}\n")
        if self.mode == "503":
            return self._unavailable(env, start_response)
        if self.mode == "reset":
            return self._reset(env)
        return self._truncated(env, start_response)

    def _unavailable(self, env, start_response):
        body = b'<?xml version="1.0"?><Error><Code>ServiceUnavailable</Code><Message>for now</Message></Error>'
        start_response(
            "503 Service Unavailable", [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))]
        )
        return [b"" if env["REQUEST_METHOD"] == "HEAD" else body]

    def _reset(self, env):
        """The request takes effect, and the client is not told."""
        for _ in self.app(env, lambda *_, **__: lambda _: None):
            pass
        _close(env)
        return []

    def _truncated(self, env, start_response):
        if int(env.get("CONTENT_LENGTH") or 0) > 0:
            env["wsgi.input"].read(int(env["CONTENT_LENGTH"]) // 2)
            _close(env)
            return []
        answer = {}

        def keep(status, headers, exc_info=None):
            answer.update(status=status, headers=headers)
            return lambda _: None

        body = b"".join(self.app(env, keep))
        if not body:
            _close(env)
            return []
        start_response(answer["status"], answer["headers"])
        return _half(env, body)


def _half(env, body):
    yield body[: len(body) // 2]
    _close(env)


def _close(env):
    """Close the connection as if the cable was pulled: the client sees a reset."""
    connection = env["wsgi.input"].get_socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.shutdown(socket.SHUT_RDWR)
    connection.close()
