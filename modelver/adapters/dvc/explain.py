"""What a storage's error means, in words, and what mends it."""

import re

from modelver.adapters.dvc.secrets import without_secrets

_CREDENTIALS = "check the access key and secret (environment, ~/.aws/credentials, or dvc remote modify --local)"

# S3's error codes (https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html) and botocore's class names.
_MEANINGS = (
    (("SignatureDoesNotMatch",), "the secret access key is wrong", _CREDENTIALS),
    (("InvalidAccessKeyId",), "the access key id is unknown there", _CREDENTIALS),
    (("ExpiredToken", "RequestExpired", "InvalidToken"), "the session's token is not valid any more", "log in again"),
    (("NoCredentialsError", "PartialCredentialsError"), "no credentials were found", _CREDENTIALS),
    (("ProfileNotFound",), "the AWS profile does not exist", "aws configure list-profiles"),
    (("AccessDenied", "Forbidden", "403"), "access is denied", _CREDENTIALS),
    (("NoSuchBucket",), "the bucket does not exist", "make the bucket, or: dvc remote modify NAME url URL"),
    (("EndpointConnectionError", "ConnectTimeoutError", "ClientConnectorError"), "the storage can't be reached",
     "check the network and `dvc remote modify NAME endpointurl`"),
    (("RequestTimeTooSkewed",), "this machine's clock is wrong", "set the clock"),
    (("SlowDown", "ServiceUnavailable", "503"), "the storage is overloaded or down", "run the command again"),
)  # fmt: skip


def explain(error: BaseException) -> tuple[str, str]:
    """What happened, and the hint."""
    said = _words(error)
    names = " ".join(_names(error))
    for keys, meaning, hint in _MEANINGS:
        if any(re.search(rf"\b{key}\b", f"{names} {said}") for key in keys):
            return (meaning if meaning in said else f"{meaning} ({said})"), hint
    if isinstance(error, FileNotFoundError):
        return f"it is not there ({said})", ""
    return said, "free some space there" if getattr(error, "errno", None) in (28, 122) else ""


def _names(error: BaseException) -> list[str]:
    """Class names and error codes of an error and its causes."""
    found: list[str] = []
    seen: BaseException | None = error
    while seen is not None and len(found) < 20:
        found.append(type(seen).__name__)
        response = getattr(seen, "response", None)
        if isinstance(response, dict):
            found.append(str(response.get("Error", {}).get("Code", "")))
        seen = seen.__cause__ or seen.__context__
    return found


def _words(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return without_secrets(" ".join(str(text).split()))[:300]
