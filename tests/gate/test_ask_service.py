"""A baseline of another maker, asked over the Open Inference Protocol: our own server, and odd ones."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml_pipeline.gate import batches
from tests.odd_images import Answer
from tests.programs import Start, run, signature

pytestmark = pytest.mark.program

ROWS = {
    "age": np.array([20, 35, 38, 45, 70] * 500),
    "job": np.array(["clerk", "", "smith", "nurse", "smith"] * 500),
    "member": np.array([1.0, 0.0, np.nan, 1.0, 0.0] * 500),
    "seen": np.array([0.0, 1e9, np.nan, 1.5e9, 0.0] * 500),
}


@pytest.fixture
def asked(tmp_path: Path) -> Callable[..., tuple[dict[str, Any], list[str]]]:
    """Ask a service; return the arrays that were written ({} where none) and the lines of stderr."""
    batches.write_npz(tmp_path / "holdout.npz", ROWS)

    def ask(url: str, name: str = "club", **changes: Any) -> tuple[dict[str, Any], list[str]]:
        (tmp_path / "model.json").write_text(json.dumps(signature(**changes)))
        files = ("--input", tmp_path / "holdout.npz", "--model-json", tmp_path / "model.json")
        output = tmp_path / "predictions.npz"
        done = run("gate.ask_service", "--url", url, "--name", name, *files, "--output", output)
        assert done.returncode == (0 if output.exists() else 1), done.stderr
        return batches.read_npz(output) if output.exists() else {}, done.stderr.splitlines()

    return ask


def test_what_our_own_server_says_is_what_its_batch_command_says(
    onnx_folder: Path, start: Start, tmp_path: Path, asked: Callable[..., Any]
) -> None:
    found, _ = asked(f"http://127.0.0.1:{start(onnx_folder).port}")
    own = tmp_path / "own.npz"
    done = run(
        "serving.predict", "--input", tmp_path / "holdout.npz", "--output", own, ML_MODEL=str(onnx_folder)
    )
    assert done.returncode == 0, done.stderr
    wanted = batches.read_npz(own)
    assert found["predictions"].tolist() == wanted["predictions"].tolist()
    np.testing.assert_allclose(found["probabilities"], wanted["probabilities"], atol=1e-6)


def odd(*outputs: dict[str, Any], inputs: Any = None, names: tuple[str, ...] = ("club",)) -> Answer:
    """Serve models of some names that answer every request with the same outputs, cut to its rows."""

    def answer(path: str, body: bytes) -> tuple[int, str]:
        if path == "/v2/health/ready":
            return 200, "{}"
        if path == "/v2/repository/index":
            return 200, json.dumps([{"name": name} for name in names])
        *_, name = path.removesuffix("/infer").split("/")
        if name not in names:
            return 404, "no such model"
        if not path.endswith("/infer"):
            described = inputs or [{"name": "age", "datatype": "FP32", "shape": [-1, 1]}]
            return 200, json.dumps({"name": name, "inputs": described})
        rows = json.loads(body)["inputs"][0]["shape"][0]
        shaped = [
            {
                **out,
                "shape": [rows, *out["shape"][1:]],
                "data": np.resize(out["data"], (rows, *out["shape"][1:])).tolist(),
            }
            for out in outputs
        ]
        return 200, json.dumps({"outputs": shaped})

    return answer


LABELS = {"name": "label", "datatype": "BYTES", "shape": [-1, 1], "data": ["yes"]}
SHARES = {"name": "p", "datatype": "FP32", "shape": [-1, 2], "data": [0.8, 0.2]}
NUMBERS = {"name": "score", "datatype": "FP64", "shape": [-1], "data": [2.5]}


def test_labels_probabilities_and_numbers(
    odd_image: Callable[[Answer], str], asked: Callable[..., Any]
) -> None:
    both, _ = asked(odd_image(odd(SHARES, LABELS)))
    assert set(both["predictions"].tolist()) == {"yes"}
    assert both["probabilities"].shape == (2500, 2)
    only, _ = asked(odd_image(odd(SHARES, names=("other",))))
    assert set(only["predictions"].tolist()) == {"no"}, "the more probable class, of the only model"
    numbers, _ = asked(odd_image(odd(NUMBERS)), classes=None, task="regression")
    assert set(numbers["predictions"].tolist()) == {2.5}


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (
            odd(LABELS, names=("one", "two")),
            "has no model 'club' at /v2/models (status 404); there",
        ),
        (
            odd(LABELS, inputs=[{"name": "agee", "datatype": "INT64", "shape": [-1]}]),
            "the baseline reads 'agee'",
        ),
        (
            odd(LABELS, inputs=[{"name": "age", "datatype": "FP32", "shape": [-1, 7]}]),
            "'age' has shape [-1, 7]",
        ),
        (odd(LABELS, inputs=[{"name": "age", "shape": [-1]}]), "the baseline's input 'age' has no datatype"),
        (
            lambda path, _: (404 if path.startswith("/v2/models") else 200, '[{"id": 1}]'),
            "has no model 'club' at /v2/models (status 404); use",
        ),
        (
            odd(NUMBERS),
            "the baseline answered 1000 rows with score FP64 [1000], not with a label or a number",
        ),
        (odd(), "the baseline answered 1000 rows with nothing"),
        (lambda *_: (404, ""), "the image has no /v2/health/ready"),
        (
            lambda path, _: (200, "[]" if path.startswith("/v2/models") else ""),
            "the baseline's answer is not a JSON object: []",
        ),
        (
            lambda path, _: (500, "no\nmore") if path.endswith("/infer") else odd(LABELS)(path, b""),
            "the baseline answered 500 to /v2/models/club/infer: no more",
        ),
    ],
)
def test_services_that_do_not_fit(
    odd_image: Callable[[Answer], str], asked: Callable[..., Any], answer: Answer, cause: str
) -> None:
    found, (line,) = asked(odd_image(answer))
    assert found == {}
    assert line.startswith("predict-baseline: ")
    assert cause in line
