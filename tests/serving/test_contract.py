"""The protocol between versions: an image's label with its batch command, and images of before the label."""

import json

import pytest

from ml_pipeline.serving.contract import BATCH_COMMAND, batch_command, batch_label

BEFORE = ("/opt/venv/bin/python", "-m", "ml_pipeline.stages.predict")


def test_an_image_that_is_built_now_names_its_batch_command() -> None:
    assert batch_command(batch_label()) == ("/opt/venv/bin/python", "-m", "ml_pipeline.serving.predict")


@pytest.mark.parametrize("label", [None, ""])
def test_an_image_of_before_the_label_has_the_older_command(label: str | None) -> None:
    assert batch_command(label) == BEFORE


def test_a_later_version_may_name_another_command() -> None:
    assert batch_command('["/bin/answer", "--rows"]') == ("/bin/answer", "--rows")


@pytest.mark.parametrize("label", ["/opt/venv/bin/python", "[", "[]", "{}", '"python"', '["python", 3]', "1"])
def test_a_label_that_is_not_a_list_of_words_is_an_error_that_names_the_label(label: str) -> None:
    with pytest.raises(ValueError, match=BATCH_COMMAND) as refused:
        batch_command(label)
    assert not isinstance(refused.value, json.JSONDecodeError)
    assert repr(label) in str(refused.value)
