"""Secrets are taken out of what is shown, however they are written."""

import base64
import json
from urllib.parse import quote, quote_plus

import pytest

from ml_pipeline.common import redaction
from ml_pipeline.common.lines import one_line
from ml_pipeline.common.outcome import run_stage

SECRET = "c4n/ry+Wörd=of 23"  # noqa: S105 - of nobody


@pytest.fixture(autouse=True)
def hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_forms", set())
    redaction.hide(SECRET, None, "", "first-line\nsecond-line\n", "abc")


def encoded(before: str) -> str:
    return base64.b64encode(f"{before}{SECRET}:more".encode()).decode()


@pytest.mark.parametrize(
    "text",
    [
        SECRET,
        SECRET[::-1],
        SECRET.encode().hex(),
        SECRET.encode().hex().upper(),
        quote(SECRET, safe=""),
        quote_plus(SECRET),
        json.dumps(SECRET),
        repr(SECRET.encode().decode()),
        base64.b64encode(SECRET.encode()).decode(),
        base64.urlsafe_b64encode(f"me:{SECRET}".encode()).decode(),
        encoded(""),
        encoded("u"),
        encoded("us"),
        encoded("use"),
        "first-line",
        "Bearer first-line\nsecond-line",
        repr("first-line\nsecond-line"),
    ],
)
def test_no_form_of_a_secret_is_shown(text: str) -> None:
    shown = one_line(f"the server says: {text}")
    assert redaction.HIDDEN in shown
    for part in (SECRET, "23", "c4n", "first", "second", SECRET.encode().hex()[:12], encoded("")[:12]):
        assert part not in shown


def test_a_secret_is_not_cut_in_two() -> None:
    assert "c4n" not in one_line("x" * 290 + SECRET)


def test_other_texts_stay() -> None:
    assert one_line("abc and the line") == "abc and the line"


def test_what_a_program_says_last_has_none(capsys: pytest.CaptureFixture[str]) -> None:
    def body() -> dict[str, object]:
        raise ValueError(f"Invalid header value b'Bearer {SECRET}'")

    with pytest.raises(SystemExit) as ended:
        run_stage("track", body)
    text = capsys.readouterr().err
    assert ended.value.code == 1
    assert "ValueError: Invalid header value b'Bearer [hidden]'" in text
    assert SECRET not in text
