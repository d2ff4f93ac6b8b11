"""A filter for the S3 server that makes it fail; loaded by the server's own Python, so the standard library only."""

from pathlib import Path


def factory(_global, kind, times="1000000", log="/dev/null", **_others):
    """``kind`` of fault for the first ``times`` requests that it concerns; each request is a line in ``log``."""
    left = [int(times)]

    def make(app):
        def serve(environ, start_response):
            with Path(log).open("a") as file:
                file.write(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}\n")
            if left[0] > 0:
                answer = FAULTS[kind](app, environ, start_response)
                if answer is not None:
                    left[0] -= 1
                    return answer
            return app(environ, start_response)

        return serve

    return make


def unavailable(app, environ, start_response):
    return refusal(start_response, "503 Service Unavailable", "SlowDown")


def expired(app, environ, start_response):
    """Swift has no session tokens; S3 refuses one that is over so."""
    if "HTTP_X_AMZ_SECURITY_TOKEN" not in environ:
        return None
    return refusal(start_response, "400 Bad Request", "ExpiredToken")


def truncated(app, environ, start_response):
    """The headers of the whole, then half of it and the end of the connection."""
    if environ["REQUEST_METHOD"] != "GET" or "list-type" in environ.get("QUERY_STRING", ""):
        return None
    body = b"".join(app(environ, start_response))

    def half():
        yield body[: len(body) // 2]
        raise OSError("cut")

    return half()


def refusal(start_response, status, code):
    body = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>said by the test</Message></Error>'.encode()
    start_response(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
    return [body]


FAULTS = {"unavailable": unavailable, "expired": expired, "truncated": truncated}
