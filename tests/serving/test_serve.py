"""The server's two protocols, over real HTTP."""

import gzip
import json
import math
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.programs import Server, Start, signature

pytestmark = pytest.mark.program

ROW = {"age": 50, "job": "clerk", "member": True, "seen": None}


@pytest.fixture(scope="module")
def server(start: Start, onnx_folder: Path) -> Server:
    return start(onnx_folder)


def probability(age: float, job: float, member: float, seen: float) -> float:
    return 1 / (1 + math.exp(-((age - 40) / 10 + job + member / 2 + seen)))


def test_answers_rows_as_the_graph_does(server: Server) -> None:
    status, answer = server.predict(
        ROW, {"age": 20, "job": "smith", "member": None}, {"age": 40.0, "job": "?"}
    )
    assert status == 200
    assert answer["model"] == {"name": "club", "version": "0123456789ab"}
    assert answer["predictions"] == ["yes", "no", "no"]
    expected = [probability(50, 1, 1, 0), probability(20, -1, 0, 0), probability(40, 0, 0, 0)]
    assert [row[1] for row in answer["probabilities"]] == pytest.approx(expected, abs=1e-6)
    assert [sum(row) for row in answer["probabilities"]] == pytest.approx([1, 1, 1], abs=1e-6)


def test_times_are_iso_or_seconds(server: Server) -> None:
    for seen in ("2024-01-01", "2024-01-01T12:00:00Z", "2024-01-01T12:00:00+02:00", 1704067200, 1704067200.5):
        status, answer = server.predict(ROW | {"seen": seen})
        assert status == 200
        assert answer["probabilities"][0][1] == pytest.approx(probability(50, 1, 1, 1), abs=1e-6)


BAD_ROWS = [
    ({"age": "old"}, "instances[0].age: expected an integer, got 'old'"),
    ({"age": 1.5}, "instances[0].age: expected an integer, got 1.5"),
    ({"age": True}, "instances[0].age: expected an integer, got True"),
    ({"age": None}, "instances[0].age: expected an integer, got null"),
    ({}, "instances[0].age: expected an integer, got null"),
    ({"age": 1, "job": 7}, "instances[0].job: expected a string, got 7"),
    ({"age": 1, "job": ["clerk"]}, "instances[0].job: expected a string, got ['clerk']"),
    ({"age": 1, "member": 1}, "instances[0].member: expected true or false, got 1"),
    (
        {"age": 1, "seen": "noon"},
        "instances[0].seen: expected an ISO 8601 time or seconds since 1970, got 'noon'",
    ),
    ({"age": 1, "Job": "x"}, "instances[0].Job: the model has no such column; did you mean 'job'?"),
    ({"age": 2**63}, "instances[0].age: expected an integer of 64 bits, got 9223372036854775808"),
    ({"age": 2**64}, "instances[0].age: expected an integer of 64 bits, got 1.8446744073709552e+19"),
    ({"age": 1e300}, "instances[0].age: expected an integer of 64 bits, got 1e+300"),
    (
        {"age": 1, "seen": 1.7e12},
        "instances[0].seen: expected an ISO 8601 time or seconds since 1970, of the years 1 to 9999 (not",
    ),
    (7, "instances[0]: expected an object of columns, got 7"),
]


@pytest.mark.parametrize(("row", "message"), BAD_ROWS)
def test_a_bad_row_is_422_with_row_column_and_expectation(server: Server, row: Any, message: str) -> None:
    status, answer = server.predict(row)
    assert status == 422
    assert answer["error"].startswith(message)
    assert answer["row"] == 0
    assert answer["expected"]


def test_the_row_at_fault_is_named(server: Server) -> None:
    status, answer = server.predict(ROW, ROW, ROW | {"job": 1})
    assert (status, answer["row"], answer["column"], answer["expected"]) == (422, 2, "job", "a string")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "the body is not JSON"),
        (b"", "the body is not JSON"),
        (b'\xff{"instances": []}', "the body is not JSON: it is not UTF-8"),
        (b'{"instances": [{"age": NaN}]}', "the body is not JSON"),
        (b"[" * 100_000, "the body is not JSON"),
        (b"[]", "the body is not a JSON object but list"),
        (b"{}", "instances: expected a list of at least one object, got nothing"),
        (b'{"instances": []}', "instances: expected a list of at least one object, got an empty list"),
        (b'{"instances": {"age": 1}}', "instances: expected a list of at least one object, got dict"),
        (b'{"instance": [{"age": 1}]}', "instance: no such key; did you mean 'instances'?"),
    ],
)
def test_a_bad_body_is_422(server: Server, body: bytes, message: str) -> None:
    status, answer, _ = server.ask("POST", "/predict", body)
    assert status == 422
    assert answer["error"].startswith(message)


@pytest.mark.parametrize(("name", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_compressed_bodies_are_read(server: Server, name: str, pack: Callable[[bytes], bytes]) -> None:
    body = b'{"instances": [{"age": 50}, {"age": 20}]}'
    coding = {"Content-Encoding": name}
    assert server.ask("POST", "/predict", pack(body), **coding)[1]["predictions"] == ["yes", "no"]
    packed = pack(json.dumps(tensors()).encode())
    assert server.ask("POST", "/v2/models/club/infer", packed, **coding)[0] == 200
    bomb = pack(b" " * (9 << 20))
    for wrong, code, message in (
        (bomb, 413, "the body is larger than 8388608 bytes when it is decompressed"),
        (pack(body)[:-6], 422, f"the body is not {name}, as its Content-Encoding says"),
        (body, 422, f"the body is not {name}, as its Content-Encoding says"),
    ):
        assert server.ask("POST", "/predict", wrong, **coding)[:2] == (code, {"error": message, **more(code)})


def more(code: int) -> dict[str, str]:
    return {"expected": "gzip or deflate"} if code == 422 else {}


def test_an_unknown_compression_is_415(server: Server) -> None:
    status, answer, headers = server.ask("POST", "/predict", b"x", **{"Content-Encoding": "br"})
    assert (status, headers["Accept-Encoding"]) == (415, "gzip, deflate")
    assert answer == {"error": "Content-Encoding: expected gzip, deflate or none, got 'br'"}


def test_other_pages_and_methods(server: Server) -> None:
    assert server.ask("GET", "/nothing")[:2] == (404, {"error": "there is no page '/nothing'"})
    status, answer, headers = server.ask("GET", "/predict")
    assert (status, answer, headers["Allow"]) == (405, {"error": "GET is not allowed here"}, "POST")
    assert server.ask("GET", "/health")[:2] == (200, {"live": True})
    assert server.ask("GET", "/ready")[:2] == (200, {"ready": True})
    assert server.ask("GET", "/model")[1] == signature()


def test_a_body_too_large_is_413(start: Start, onnx_folder: Path) -> None:
    small = start(onnx_folder, ML_MAX_BODY="200")
    assert small.predict(ROW)[0] == 200
    status, answer = small.predict(*[ROW] * 20)
    assert (status, answer) == (413, {"error": "the body is larger than 200 bytes"})

    def chunks() -> Any:
        yield b'{"instances": ['
        yield b" " * 300

    connection = small.connect()
    connection.request("POST", "/predict", chunks(), {"Transfer-Encoding": "chunked"}, encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()


def tensors(**changes: Any) -> dict[str, Any]:
    inputs = {
        "age": {"datatype": "FP32", "shape": [2, 1], "data": [[50], [20]]},
        "job": {"datatype": "BYTES", "shape": [2], "data": ["clerk", "smith"]},
        "member": {"datatype": "BOOL", "shape": [2], "data": [True, False]},
        "seen": {"datatype": "FP64", "shape": [2], "data": [1.7e9, None]},
    }
    changed = {name: inputs[name] | changes.get(name, {}) for name in inputs}
    return {"id": "7", "inputs": [{"name": name, **tensor} for name, tensor in changed.items()]}


def test_open_inference_protocol(server: Server) -> None:
    assert server.ask("GET", "/v2/health/live")[0] == server.ask("GET", "/v2/health/ready")[0] == 200
    assert server.ask("GET", "/v2")[1]["extensions"] == ["binary_tensor_data"]
    assert server.ask("GET", "/v2/models/club/ready")[:2] == (200, {"name": "club", "ready": True})
    _, described, _ = server.ask("GET", "/v2/models/club")
    assert described["inputs"] == [
        {"name": "age", "datatype": "INT64", "shape": [-1]},
        {"name": "job", "datatype": "BYTES", "shape": [-1]},
        {"name": "member", "datatype": "BOOL", "shape": [-1]},
        {"name": "seen", "datatype": "FP64", "shape": [-1]},
    ]
    assert described["outputs"][1] == {"name": "probabilities", "datatype": "FP32", "shape": [-1, 2]}
    for path in ("/v2/models/club/infer", "/v2/models/club/versions/0123456789ab/infer"):
        status, answer, _ = server.ask("POST", path, tensors())
        assert (status, answer["id"], answer["model_name"]) == (200, "7", "club")
        label, scores = answer["outputs"]
        assert label == {"name": "prediction", "datatype": "BYTES", "shape": [2], "data": ["yes", "no"]}
        expected = [probability(50, 1, 1, 1), probability(20, -1, 0, 0)]
        assert scores["shape"] == [2, 2]
        assert scores["data"][1::2] == pytest.approx(expected, abs=1e-6)
    only = tensors() | {"outputs": [{"name": "prediction"}]}
    assert len(server.ask("POST", "/v2/models/club/infer", only)[1]["outputs"]) == 1


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("club", {"inputs": []}, 422, "inputs: expected a list of tensors"),
        ("club", tensors(job={"datatype": "FP32"}), 422, "inputs[1].datatype: expected BYTES, got 'FP32'"),
        ("club", tensors(age={"shape": [3]}), 422, "inputs[0].data: expected 3 values by its shape, got 2"),
        ("club", tensors(age={"shape": [1, 2]}), 422, "inputs[0].shape: expected [N] or [N, 1], got [1, 2]"),
        ("club", tensors(age={"name": "agee"}), 422, "inputs[0]: the model has no column 'agee'; did you"),
        ("club", tensors(age={"shape": [1], "data": [1]}), 422, "inputs: expected the same number of rows"),
        (
            "club",
            tensors(age={"data": [[1], [None]]}),
            422,
            "instances[1].age: expected an integer, got null",
        ),
        ("club", tensors() | {"outputs": [{"name": "x"}]}, 422, "outputs: the model has no output 'x'"),
        (
            "club",
            tensors() | {"outputs": [{"name": "prediction"}] * 2},
            422,
            "outputs[1]: 'prediction' is named twice",
        ),
        ("clubb", tensors(), 404, "there is no model 'clubb' here, only 'club' version '0123456789ab'"),
        ("club/versions/9", tensors(), 404, "there is no model 'club' version '9' here"),
    ],
)
def test_open_inference_protocol_refuses(
    server: Server, path: str, body: Any, status: int, message: str
) -> None:
    code, answer, _ = server.ask("POST", f"/v2/models/{path}/infer", body)
    assert (code, answer["error"][: len(message)]) == (status, message)


def test_python_runtime(start: Start, python_folder: Path) -> None:
    served = start(python_folder)
    status, answer = served.predict(
        {"age": 41, "job": "x"}, {"age": 41, "job": None}, {"age": 39, "job": "x"}
    )
    assert (status, answer["predictions"]) == (200, ["yes", "no", "no"])
    assert "probabilities" not in answer
    status, answer = served.predict({"age": 666, "job": "x"})
    assert (status, answer) == (500, {"error": "the model failed (RuntimeError)"})
    assert served.predict({"age": 41, "job": "x"})[0] == 200
