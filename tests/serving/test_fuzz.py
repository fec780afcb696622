"""Whatever is sent, the answer is the caller's fault in words, or right; and never a 500."""

import json
import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import schemathesis
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ml_pipeline.model.loaded import load
from ml_pipeline.model.rows import Reader
from ml_pipeline.model.values import BadInput, from_rows
from ml_pipeline.serving import openapi
from tests.programs import EXAMPLE, Server, Start

pytestmark = pytest.mark.program

QUIET = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
NAMES = list(EXAMPLE)
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | numbers | st.text()
anything = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)
rows = st.dictionaries(st.sampled_from(NAMES) | st.text(), scalars | anything)
likely = st.fixed_dictionaries(
    {"age": st.integers(-(2**70), 2**70) | st.floats(allow_nan=False)},
    optional={
        "job": st.text() | scalars,
        "member": st.none() | st.booleans(),
        "seen": scalars | st.datetimes().map(str),
    },
)


@pytest.fixture(scope="module")
def server(start: Start, onnx_folder: Path) -> Server:
    return start(onnx_folder)


def sent(server: Server, path: str, body: bytes, **headers: str) -> int:
    status, answer, _ = server.ask("POST", path, body, **headers)
    assert status in {200, 422, 413}, answer
    assert status == 200 or answer["error"]
    return status


def test_what_the_document_allows_is_answered(server: Server, onnx_folder: Path) -> None:
    """Schemathesis makes requests by /openapi.json, and checks the answers by it."""
    _, document, _ = server.ask("GET", "/openapi.json")
    assert document == openapi.document(load(onnx_folder))
    schema = schemathesis.openapi.from_dict(document)

    @given(case=schema["/predict"]["POST"].as_strategy())
    @QUIET
    def check(case: Any) -> None:
        response = case.call(base_url=f"http://127.0.0.1:{server.port}")
        case.validate_response(response)
        assert response.status_code in {200, 422}
        if response.status_code == 422:  # what no schema says: dates that are none, and the graph's types
            assert response.json()["column"] in {"seen", "age"}

    check()


@given(document=anything | st.fixed_dictionaries({"instances": st.lists(rows | likely, max_size=4)}))
@example(document={"instances": [{"age": 1, "job": "\0", "seen": "9999-12-31T23:59:59+14:00"}]})
@example(document={"instances": [{"age": 1, "seen": "0001-01-01T00:00:00+14:00"}]})
@example(document={"instances": [{"age": 1, "x" * 100_000: 1}]})
@QUIET
def test_any_document_is_answered_or_refused(server: Server, document: Any) -> None:
    sent(server, "/predict", json.dumps(document).encode())


@given(body=st.binary() | st.text().map(str.encode))
@example(body=b'{"instances": [{"age": 1' + b"0" * 100_000 + b"}]}")
@example(body=b'{"instances": [{"age": ' + b"[" * 900 + b"]" * 900 + b"}]}")
@example(body=b'{"instances": ' + b'[{"age": ' * 500 + b"1" + b"}]" * 500 + b"}")
@example(body=b'{"instances": [{"age": NaN}]}')
@example(body=b'{"instances": [{"age": 1e999}]}')
@example(body=b'{"instances": [{"age": 1, "age": "x"}]}')
@example(body=b'{"instances": [{"age": 1, "job": "\\ud800"}]}')
@QUIET
def test_any_bytes_are_answered_or_refused(server: Server, body: bytes) -> None:
    sent(server, "/predict", body)
    sent(server, "/v2/models/club/infer", body)


tensor = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(NAMES) | scalars,
        "datatype": st.sampled_from(["FP32", "INT64", "BYTES", "BOOL", "FP64"]) | anything,
        "shape": st.lists(st.integers(0, 3)) | anything,
        "data": st.lists(scalars) | anything,
        "parameters": st.fixed_dictionaries({"binary_data_size": st.integers(-1, 20)}) | anything,
    },
)
request = st.fixed_dictionaries(
    {"inputs": st.lists(tensor, max_size=4) | anything},
    optional={"outputs": st.lists(tensor) | anything, "id": anything, "parameters": anything},
)


@given(document=request, tail=st.binary(max_size=20), more=st.integers(-3, 3))
@QUIET
def test_any_tensors_are_answered_or_refused(server: Server, document: Any, tail: bytes, more: int) -> None:
    body = json.dumps(document).encode()
    sent(server, "/v2/models/club/infer", body)
    size = {"Inference-Header-Content-Length": str(len(body) + more)}
    sent(server, "/v2/models/club/infer", body + tail, **size)


@given(batch=st.lists(likely, min_size=1, max_size=5))
@QUIET
def test_the_quick_way_reads_as_the_slow_way_does(onnx_folder: Path, batch: list[dict[str, Any]]) -> None:
    """`model.rows` is a short cut: it may leave a request to `from_rows`, never differ from it."""
    model = loaded(onnx_folder)
    graph: Any = model._runtime
    read = Reader(graph.casts).read(batch)
    try:
        slow = graph.inputs(from_rows(batch, model.columns))
    except BadInput:
        assert read is None
        return
    if read is not None:
        assert read.keys() == slow.keys()
        for name, array in read.items():
            assert array.dtype == slow[name].dtype
            assert array.shape == slow[name].shape
            np.testing.assert_array_equal(array, slow[name])


@cache
def loaded(folder: Path) -> Any:
    return load(folder, 1)


def test_infinities_do_not_come_out_as_numbers(server: Server) -> None:
    status, answer = server.predict({"age": -(2**63)}, {"age": 2**63 - 1}, {"age": 1.0})
    assert status == 200
    assert all(share is None or math.isfinite(share) for row in answer["probabilities"] for share in row)
