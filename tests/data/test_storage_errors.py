"""What object storage refuses, in words that say what to do."""

import pytest

from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.data import storage_errors

KEYS = "aws_access_key_id = A\naws_secret_access_key = B\n"


@pytest.mark.parametrize(
    "text",
    [
        f"[default]\n{KEYS}",
        f"[default]\n{KEYS}region = eu-west-1\nendpoint_url = http://x\n[other]\nendpoint_url = http://y\n",
        f"[default]\n{KEYS}role_arn = left from before\n",
        f"[DEFAULT]\nregion = us-east-1\n[default]\n{KEYS}",
        "[default]\nregion = us-east-1\n",
        "",
        "no section",
    ],
)
def test_a_file_that_a_stage_can_use_or_that_botocore_explains(text: str) -> None:
    storage_errors.check_credentials(text)


@pytest.mark.parametrize(
    ("text", "cause", "hint"),
    [
        (
            f"\ufeff[default]\n{KEYS}",
            "the file begins with a byte-order mark",
            "save it as UTF-8 without one",
        ),
        (
            f"[mine]\n{KEYS}[b]\n",
            "the file has no [default] section, only [mine], [b]",
            "name the one to use",
        ),
        ("[default]\ncredential_process = get\n", "credential_process runs a program", "export-credentials"),
        ("[default]\nsso_session = x\n", "sso_session needs a login in the browser", "export-credentials"),
        (
            "[default]\nrole_arn = r\nmfa_serial = d\n",
            "mfa_serial needs a code of a device",
            "export-credentials",
        ),
        (
            "[default]\nrole_arn = r\nweb_identity_token_file = /t\n",
            "web_identity_token_file needs",
            "export-credentials",
        ),
        (
            "[default]\nrole_arn = r\nsource_profile = b\n[b]\n",
            "role_arn needs a login",
            "export-credentials",
        ),
        (
            f"[default]\n{KEYS}[other]\nendpoint_url = http://x\n",
            "endpoint_url is under [other]",
            "[default]",
        ),
        (f"[default]\n{KEYS}s3 =\n  endpoint_url = http://x\n", "endpoint_url is under `s3 =`", "[default]"),
    ],
)
def test_a_file_that_no_stage_can_use(text: str, cause: str, hint: str) -> None:
    with pytest.raises(StageFailure) as raised:
        storage_errors.check_credentials(text)
    assert raised.value.cause.startswith(f"the credentials can't be used: {cause}")
    assert hint in raised.value.hint
    assert "--data-credentials" in raised.value.hint


@pytest.mark.parametrize(
    ("code", "answer", "shown", "hint"),
    [
        ("ExpiredToken", {}, "text (ExpiredToken)", "log in again"),
        ("301", {"Endpoint": "b.s3.eu-west-1.amazonaws.com"}, "is in b.s3.eu-west-1", "set `region`"),
        ("AuthorizationHeaderMalformed", {"Region": "eu-west-1"}, "is in eu-west-1)", "set `region`"),
        (
            "InvalidObjectState",
            {"StorageClass": "GLACIER"},
            "text (InvalidObjectState)",
            "restore the object",
        ),
        ("SlowDown", {}, "text (SlowDown)", "run it again later"),
        ("", {}, "text", "otherwise"),
    ],
)
def test_a_code_says_what_to_do(code: str, answer: dict[str, str], shown: str, hint: str) -> None:
    assert shown in storage_errors.cause(code, "text", answer)
    assert hint in storage_errors.hint(code, "otherwise")
