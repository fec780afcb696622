"""The requests in docs/serving.md get the answers that stand there."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.programs import Server, Start

pytestmark = pytest.mark.program

TEXT = (Path(__file__).parents[2] / "docs" / "serving.md").read_text(encoding="utf-8")
BLOCKS: list[Any] = [
    json.loads(block) for block in re.findall(r"^```json\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
]
ROWS, ANSWER, REGRESSION, ERROR, TENSORS, OUTPUTS = BLOCKS


@pytest.fixture(scope="module")
def server(start: Start, onnx_folder: Path) -> Server:
    return start(onnx_folder)


def test_rows_and_their_answer(server: Server) -> None:
    status, answer = server.predict(*ROWS["instances"])
    assert (status, answer.keys(), answer["predictions"]) == (200, ANSWER.keys(), ANSWER["predictions"])
    assert answer["model"] == ANSWER["model"]
    for row, expected in zip(answer["probabilities"], ANSWER["probabilities"], strict=True):
        assert row == pytest.approx(expected, abs=1e-6)


def test_an_error(server: Server) -> None:
    assert server.predict({"age": "old"}) == (422, ERROR)


def test_tensors_and_their_answer(server: Server) -> None:
    status, answer, _ = server.ask("POST", "/v2/models/club/infer", TENSORS)
    expected = OUTPUTS["outputs"][1].pop("data")
    assert status == 200
    assert answer["outputs"][1].pop("data") == pytest.approx(expected, abs=1e-6)
    assert answer == OUTPUTS


def test_a_regression_has_no_probabilities() -> None:
    assert REGRESSION.keys() == {"predictions", "model"}
