"""Why object storage can't be read, and what to do: from its error codes and AWS's credentials file; pure."""

import configparser
from collections.abc import Mapping
from types import MappingProxyType

from ml_pipeline.common.outcome import StageFailure

SET_CREDENTIALS = (
    "check --data-credentials (its [default] section and endpoint_url) and what these credentials may read"
)
_REGION = "set `region` in the [default] section of --data-credentials to the bucket's"
_KEYS = (
    "pass a file whose [default] section has aws_access_key_id, aws_secret_access_key and aws_session_token, "
    "as `aws configure export-credentials` prints them"
)
_EXPIRED = f"log in again, and {_KEYS}"
_SLOWER = "run it again later, or ask for fewer objects"
# https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
_HINTS = MappingProxyType(
    {
        "ExpiredToken": _EXPIRED,
        "InvalidToken": _EXPIRED,
        "TokenRefreshRequired": _EXPIRED,
        "PermanentRedirect": _REGION,
        "301": _REGION,
        "AuthorizationHeaderMalformed": _REGION,
        "IllegalLocationConstraintException": _REGION,
        "RequestTimeTooSkewed": "set the clock of the engine's machine",
        "InvalidObjectState": "restore the object from its archive, or leave it out of the path",
        "SlowDown": _SLOWER,
        "ServiceUnavailable": _SLOWER,
        "503": _SLOWER,
    }
)
# Keys of a profile that need more than the file: a program, a browser or a device of the caller's machine.
_LOGINS = MappingProxyType(
    {
        "credential_process": "runs a program of your machine",
        "sso_session": "needs a login in the browser",
        "sso_start_url": "needs a login in the browser",
        "mfa_serial": "needs a code of a device",
        "web_identity_token_file": "needs a file of your machine",
        "role_arn": "needs a login for the role",
    }
)


def hint(code: str, otherwise: str) -> str:
    """Return what to do about an error code of S3."""
    return _HINTS.get(code, otherwise)


def cause(code: str, text: str, error: Mapping[str, str]) -> str:
    """Return an error as one reads it; `error` is what S3 answers beside its message."""
    place = error.get("Region") or error.get("Endpoint")
    where = f", the bucket is in {place}" if place and _HINTS.get(code) == _REGION else ""
    return f"{text} ({code}{where})" if code else text


def check_credentials(text: str) -> None:
    """Refuse a credentials file that no stage can use, in words of the file. Raises StageFailure."""
    if text.startswith("\ufeff"):
        raise _unusable("the file begins with a byte-order mark", "save it as UTF-8 without one")
    file = configparser.RawConfigParser(strict=False, default_section="")
    try:
        file.read_string(text)
    except configparser.Error:
        return  # botocore reads it in its own way, and says what it can't
    sections = file.sections()
    if "default" not in sections:
        if not sections:
            return
        others = ", ".join(f"[{name}]" for name in sections[:5])
        raise _unusable(f"the file has no [default] section, only {others}", "name the one to use [default]")
    default = file["default"]
    for key, why in _LOGINS.items():
        if key in default and "aws_access_key_id" not in default:
            raise _unusable(f"{key} {why}, which a container can't do", _KEYS)
    elsewhere = [name for name in sections if name != "default" and "endpoint_url" in file[name]]
    nested = [key for key, value in default.items() if "endpoint_url" in value and key != "endpoint_url"]
    if "endpoint_url" not in default and (elsewhere or nested):
        place = f"[{elsewhere[0]}]" if elsewhere else f"`{nested[0]} =`"
        raise _unusable(f"endpoint_url is under {place}", "write it under [default]")


def _unusable(why: str, what: str) -> StageFailure:
    return StageFailure(f"the credentials can't be used: {why}", f"{what} (--data-credentials)")
