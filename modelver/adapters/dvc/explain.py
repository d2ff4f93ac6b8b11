"""What a storage's error means, in words, and what mends it."""

import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from modelver.adapters.dvc.secrets import without_secrets
from modelver.errors import ExternalFailure, InvalidInput, NotFound

_CREDENTIALS = "check the access key and secret (environment, ~/.aws/credentials, or dvc remote modify --local)"
_REACH = "check the network and `dvc remote modify NAME endpointurl`"

# S3's error codes (https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html) and the class names of
# botocore, aiohttp, fsspec and asyncssh. The first that fits is taken: what is said of a cause before what follows.
_MEANINGS = (
    (("SignatureDoesNotMatch",), "the access key id or the secret is wrong", _CREDENTIALS),
    (("InvalidAccessKeyId",), "the access key id is unknown there", _CREDENTIALS),
    (("ExpiredToken", "RequestExpired", "InvalidToken", "TokenRefreshRequired", "UnauthorizedSSOTokenError",
      "SSOTokenLoadError", "TokenRetrievalError"), "the session's token is not valid any more",
     "log in again, for example: aws sso login"),
    (("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError"), "no credentials were found",
     _CREDENTIALS),
    (("ProfileNotFound",), "the AWS profile does not exist", "see which there are: aws configure list-profiles"),
    (("NoSuchBucket",), "the bucket does not exist", "make the bucket, or: dvc remote modify NAME url URL"),
    (("PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "301"),
     "the bucket is in another region", "dvc remote modify NAME region REGION"),
    (("QuotaExceeded", "InsufficientCapacity", "XMinioStorageFull", "507"), "the storage is full",
     "free some space there"),
    (("ParamValidationError", "InvalidBucketName"), "that can't be a bucket's name", "dvc remote modify NAME url URL"),
    (("RequestTimeTooSkewed",), "this machine's clock is wrong", "set the clock"),
    (("HostKeyNotVerifiable",), "the server's host key is not known on this machine",
     "check and accept its key once by logging in: ssh HOST"),
    (("PermissionDenied", "KeyEncryptionError", "KeyImportError"), "the server does not let this user in",
     "check the user and key: dvc remote modify --local NAME keyfile PATH"),
    (("ClientConnectorCertificateError", "SSLError", "ClientConnectorSSLError", "SSLCertVerificationError"),
     "no encrypted connection could be made",
     "check that the endpoint's address and certificate belong together: dvc remote modify NAME endpointurl"),
    (("AccessDenied", "Forbidden", "403", "AllAccessDisabled"), "access is denied", _CREDENTIALS),
    (("EndpointConnectionError", "ConnectTimeoutError", "ClientConnectorError", "ClientConnectorDNSError", "gaierror",
      "ConnectionRefusedError"), "the storage can't be reached", _REACH),
    (("FSTimeoutError", "ReadTimeoutError", "AioReadTimeoutError", "TimeoutError"), "the storage does not answer",
     _REACH),
    (("SlowDown", "ServiceUnavailable", "InternalError", "500", "502", "503", "504"),
     "the storage is overloaded or down", "run the command again"),
    (("ConnectionClosedError", "ConnectionResetError", "ConnectionLost", "ResponseStreamingError", "IncompleteRead",
      "ClientPayloadError", "ServerDisconnectedError", "HTTPClientError"), "the connection broke off",
     "run the command again"),
)  # fmt: skip

_FULL = (28, 122)  # ENOSPC, EDQUOT
_QUERY = re.compile(r"(https?://[^\s\"'?]+)\?[^\s\"']*")


@contextmanager
def storage_errors(what: str, secrets: Iterable[str] = ()) -> Iterator[None]:
    """Turn whatever a storage's libraries raise into ExternalFailure, with the cause in words and no secret in it."""
    try:
        yield
    except known_errors() as error:
        message, hint = explain(error, secrets)
        raise ExternalFailure(f"{what}: {message}", hint=hint) from None
    except NotFound:
        raise ExternalFailure(f"{what}: it is not there") from None
    except InvalidInput as error:
        raise ExternalFailure(f"{what}: {error.message}", hint=error.hint) from None


def explain(error: BaseException, secrets: Iterable[str] = ()) -> tuple[str, str]:
    """What happened, and the hint."""
    said = _words(error, secrets)
    names = set(_names(error))
    for keys, meaning, hint in _MEANINGS:
        if any(key in names or (len(key) > 3 and re.search(rf"\b{key}\b", said)) for key in keys):
            return (meaning if meaning in said else f"{meaning} ({said})"), hint
    if isinstance(error, FileNotFoundError):
        return f"it is not there ({said})", ""
    return said, "free some space there" if getattr(error, "errno", None) in _FULL else ""


def _names(error: BaseException) -> Iterator[str]:
    """Class names and error codes of an error and its causes."""
    seen: BaseException | None = error
    for _ in range(20):
        if seen is None:
            return
        yield type(seen).__name__
        response = getattr(seen, "response", None)
        if isinstance(response, dict):
            yield str(response.get("Error", {}).get("Code", ""))
        seen = seen.__cause__ or seen.__context__


def _words(error: BaseException, secrets: Iterable[str]) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return _QUERY.sub(r"\1", without_secrets(" ".join(str(text).split()), secrets))[:300]


def known_errors() -> tuple[type[BaseException], ...]:
    """The errors of storages' libraries, as far as they are loaded: a storage that is not in use has none."""
    names = {
        "botocore.exceptions": ("BotoCoreError", "ClientError"),
        "dvc.exceptions": ("DvcException",),
        "dvc_objects.fs.errors": ("AuthError", "ConfigError", "RemoteMissingDepsError"),
        "aiohttp.client_exceptions": ("ClientError",),
        "asyncssh.misc": ("Error",),
        "asyncssh.public_key": ("KeyImportError", "KeyEncryptionError"),
    }
    found: list[type[BaseException]] = [OSError]
    for module, classes in names.items():
        if module in sys.modules:
            found += [getattr(sys.modules[module], name) for name in classes]
    return tuple(found)
